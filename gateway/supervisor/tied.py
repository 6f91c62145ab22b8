"""Become another program that ends when its parent does: `python tied.py PARENT_PID PROGRAM ARGUMENT…`.

Run as a file by an isolated interpreter, so that nothing of the gateway is imported twice. The kernel keeps the request
across exec. Where the system can't promise it, the program runs all the same.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(words: list[str]) -> None:
    """Replace this process; comes back only by an exception."""
    parent, *command = words
    with_prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if with_prctl is not None:
        with_prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    # It may have died before we asked.
    if os.getppid() != int(parent):
        raise SystemExit(0)
    os.execv(command[0], command)  # noqa: S606  (the supervisor's own interpreter and arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
