"""The stand-in model servers of `--dev`: one process, tied to its supervisor's life.

Started before anything heavy is imported, told which servers to be when that is known, so that both sides load at once.
Run as a program this module is that process: one line of JSON says what to be, one says where they are.
"""

import asyncio
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from msgspec import Struct
from msgspec.json import decode, encode

from gateway.supervisor import tied

PROGRAM = (sys.executable, "-m", "gateway.supervisor.stand_ins")
ANSWER_S = 15.0


class Role(Struct, frozen=True):
    """One server to be: `place` is what its text says, times are seconds."""

    name: str
    model: str
    place: str
    ttft_s: float
    tpot_s: float


class StandInsMissing(Exception):
    """The stand-ins' process did not say where they are."""


class StandIns:
    """The running process."""

    def __init__(self, program: Sequence[str] = PROGRAM) -> None:
        command = (sys.executable, "-I", str(Path(tied.__file__)), str(os.getpid()), *program)
        # A session of its own: Ctrl-C is the supervisor's to hear, who ends this last.
        self._process = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )

    def play(self, roles: Sequence[Role]) -> dict[str, str]:
        """Let them be these servers; where each is, by its name. StandInsMissing."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with suppress(BrokenPipeError):
            stdin.write(encode(roles) + b"\n")
            stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            line = stdout.readline() if selector.select(ANSWER_S) else b""
        if not line:
            raise StandInsMissing("the stand-in model servers did not start")
        return decode(line, type=dict[str, str])

    def close(self) -> None:
        """End the process and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        for end in (self._process.stdin, self._process.stdout):
            if end is not None:
                with suppress(BrokenPipeError):
                    end.close()


async def main() -> None:
    """Be the stand-ins until told to end."""
    from gateway.mock.options import MockOptions  # noqa: PLC0415  (the supervisor needs none of this)
    from gateway.mock.server import MockServer  # noqa: PLC0415  (see above)

    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with AsyncExitStack() as stack:
        urls = {}
        for role in decode(sys.stdin.buffer.readline(), type=list[Role]):
            options = MockOptions(models=(role.model,), place=role.place, ttft_s=role.ttft_s, tpot_s=role.tpot_s)
            server = await stack.enter_async_context(MockServer(options))
            urls[role.name] = server.url
        sys.stdout.buffer.write(encode(urls) + b"\n")
        sys.stdout.flush()
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
