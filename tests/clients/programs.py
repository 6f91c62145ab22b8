"""A program that runs to its end: in an environment of its own, without a way out of this machine, in bounded time."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from gateway.settings.load import own_environment
from tests.real.processes import END_S, ROOT, tie

# Nobody listens there: whatever a client wants of the world outside fails at once.
_NOWHERE = "http://127.0.0.1:9"


class Ended(Struct, frozen=True):
    """What it said, and its exit code; None where it had to be ended."""

    code: int | None
    out: bytes
    err: bytes

    def complaint(self) -> str:
        """The last of what it said of itself, in a line."""
        end = "was ended, it took too long" if self.code is None else f"ended with {self.code}"
        return f"it {end}: {' / '.join(self.err.decode(errors='replace').strip().splitlines()[-3:])}"


def surroundings(home: Path, more: Mapping[str, str]) -> dict[str, str]:
    """All of a program's environment: nothing of who runs this, not even his home."""
    return {
        "PATH": own_environment().get("PATH", os.defpath),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "HTTP_PROXY": _NOWHERE,
        "HTTPS_PROXY": _NOWHERE,
        "NO_PROXY": "127.0.0.1",
        **more,
    }


def run(command: Sequence[str], environment: Mapping[str, str], *, within_s: float, folder: Path = ROOT) -> Ended:
    """Run it, and end it with all that it started where it takes longer."""
    process = subprocess.Popen(
        tie(command),
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    )
    try:
        out, err = process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate(timeout=END_S)
        return Ended(None, out, err)
    return Ended(process.returncode, out, err)
