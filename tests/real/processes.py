"""A program as a user starts it: its lines as they come, ended by its id, and never outliving the tests."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from gateway.clock import RealClock
from gateway.settings.load import own_environment
from gateway.supervisor import tied

ROOT = Path(__file__).parent.parent.parent
NODE_FOLDER = Path(__file__).parent / "node"
START_S = 60.0
END_S = 30.0
_TAIL_LINES = 40
# A key of the person who runs this must not be found by `--dev`, nor his settings by a gateway of ours.
_OURS = re.compile(r"(GATEWAY_|OTEL_|LLMOCK_|AIMOCK_)|.*_(API_KEY|TOKEN|BASE_URL)$")


def surroundings(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a started program: this one's without keys and settings, and what is given."""
    return {name: value for name, value in own_environment().items() if not _OURS.match(name)} | dict(more or {})


def tie(command: Sequence[str]) -> list[str]:
    """The command that ends when this process does, whatever ends it."""
    return [sys.executable, "-I", str(Path(tied.__file__)), str(os.getpid()), *command]


class Program:
    """A running program. `heard` sees each of its lines, on a thread of its own."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path = ROOT,
        heard: Callable[[bytes], None] | None = None,
    ) -> None:
        self.name = Path(command[0]).name
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._lines: list[bytes] = []
        self._spoke = threading.Condition()
        self._ended = False
        self._heard = heard
        # A group of its own, as a shell gives it: Ctrl-C is sent to all of it.
        self.process = subprocess.Popen(
            tie(command),
            cwd=folder,
            env=surroundings(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop()

    def says(self, pattern: str, within_s: float = START_S) -> re.Match[str]:
        """The first of its lines that has this in it, once it came."""
        found = re.compile(pattern)
        seen = 0
        deadline = RealClock.monotonic() + within_s
        with self._spoke:
            while True:
                while seen < len(self._lines):
                    match = found.search(self._lines[seen].decode(errors="replace"))
                    if match:
                        return match
                    seen += 1
                left = deadline - RealClock.monotonic()
                assert not self._ended, f"{self.name} ended without saying {pattern!r}:\n{self.tail()}"
                assert left > 0, f"{self.name} did not say {pattern!r} within {within_s} s:\n{self.tail()}"
                self._spoke.wait(left)

    def wait_until(self, true: Callable[[], bool], within_s: float = END_S) -> None:
        """Wait for something that its lines bring about."""
        with self._spoke:
            assert self._spoke.wait_for(true, within_s), f"{self.name} did not get there:\n{self.tail()}"

    def tail(self) -> str:
        return "\n".join(self._tail)

    def text(self) -> str:
        """All it has said."""
        with self._spoke:
            return b"".join(self._lines).decode(errors="replace")

    def interrupt(self) -> None:
        """Press Ctrl-C where it runs."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """End it at once, as a crash would, and wait until it is gone."""
        self.process.kill()
        self._over()

    def stop(self) -> int:
        """Ask it to end, then insist; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
        return self._over()

    def ends(self) -> int:
        """Its exit code, once it ends by itself."""
        self.process.wait(END_S)
        return self._over()

    def _over(self) -> int:
        code = self.process.wait(END_S)
        self._listening.join(END_S)
        for end in (self.process.stdin, self.process.stdout):
            if end is not None and not end.closed:
                end.close()
        return code

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._spoke:
                self._lines.append(line)
                self._tail.append(line.decode(errors="replace").rstrip())
                if self._heard is not None:
                    self._heard(line)
                self._spoke.notify_all()
        with self._spoke:
            self._ended = True
            self._spoke.notify_all()
