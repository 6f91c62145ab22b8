"""A gateway as a user starts it: a supervisor in a process of its own, with workers that are doubles or real ones."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson
from msgspec import Struct

from gateway.settings.load import own_environment

ROOT = Path(__file__).parent.parent.parent
DOUBLE = (sys.executable, "-m", "tests.doubles.worker")
CEILING_S = 30.0
TOKEN = "admin-token-0123456789"

_PROGRAM = """
import sys
from msgspec.json import decode
from gateway.settings.options import ServeOptions
from gateway.supervisor import run
options, command = decode(sys.argv[1], type=tuple[ServeOptions, list[str]])
sys.exit(run(options, worker_command=command or None))
"""


class Answer(Struct):
    status: int
    body: bytes

    def json(self) -> dict[str, object]:
        read: dict[str, object] = orjson.loads(self.body)
        return read


class Held:
    """A request that a worker has begun to answer and will not finish before somebody asks it for /release."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def begin(cls, port: int) -> Self:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /hold HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(CEILING_S):
            await reader.readuntil(b"\r\n\r\n")
        return cls(reader, writer)

    @property
    def over(self) -> bool:
        return self._reader.at_eof()

    async def rest(self) -> dict[str, object]:
        """What came when it was released. ConnectionResetError where it was broken off."""
        try:
            async with asyncio.timeout(CEILING_S):
                body = await self._reader.read()
        finally:
            self._writer.close()
        if not body:
            raise ConnectionResetError("broken off")
        read: dict[str, object] = orjson.loads(body)
        return read


async def refused(port: int) -> None:
    """Returns when nobody takes connections on this port any more."""
    async with asyncio.timeout(CEILING_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                return
            writer.close()


def configuration(folder: Path, pop: str = "one", more: str = "") -> Path:
    """A configuration that says nothing but which `pop` it is; rewriting it is how a test tells reloads apart."""
    (folder / "callers.yaml").write_text(
        "teams: {t: {}}\nkeys: {k: {team: t, hash: " + "ab" * 32 + "}}\n", encoding="utf-8"
    )
    path = folder / "gateway.yaml"
    path.write_text(f"pop: {pop}\nstate: memory\ncallers: callers.yaml\ndrain: 20s\n{more}", encoding="utf-8")
    return path


class Gateway:
    """Use as an async context: it is at work inside, and every process of it has ended behind."""

    def __init__(
        self,
        config: Path | None = None,
        *,
        workers: int = 1,
        port: int = 0,
        dev: bool = False,
        command: Sequence[str] = DOUBLE,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.port = 0
        self.control_port = 0
        self.events: list[dict[str, object]] = []
        self.text: list[str] = []
        self.process: asyncio.subprocess.Process
        options = {"config": str(config) if config else None, "dev": dev, "port": port, "control_port": 0}
        self._arguments = orjson.dumps([{**options, "workers": workers}, list(command)]).decode()
        self._environment = environment or {}
        self._spoke = asyncio.Condition()
        self._ended = False
        self._reading: asyncio.Task[None]

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _PROGRAM,
            self._arguments,
            cwd=ROOT,
            env={**own_environment(), "GATEWAY_ADMIN_TOKEN": TOKEN, **self._environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def __aenter__(self) -> Self:
        await self.start()
        serving = await self.says("serving")
        self.port, self.control_port = int(str(serving["port"])), int(str(serving["control_port"]))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGINT)
        await self.ends()

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            async with self._spoke:
                if line.startswith(b"{"):
                    self.events.append(orjson.loads(line))
                else:
                    self.text.append(line.decode().rstrip())
                self._spoke.notify_all()
        async with self._spoke:
            self._ended = True
            self._spoke.notify_all()

    async def says(self, event: str, times: int = 1) -> dict[str, object]:
        """The line of this event, the `times`th of them, once it came."""

        def found() -> list[dict[str, object]]:
            return [line for line in self.events if line["event"] == event]

        async with asyncio.timeout(CEILING_S), self._spoke:
            await self._spoke.wait_for(lambda: len(found()) >= times or self._ended)
        assert len(found()) >= times, f"it ended without saying {event!r}: {self.events} {await self.complaint()}"
        return found()[times - 1]

    async def shows(self, title: str) -> str:
        """What its banner says under this title, once it is there."""

        def found() -> list[str]:
            return [line.strip().removeprefix(title).strip() for line in self.text if line.strip().startswith(title)]

        async with asyncio.timeout(CEILING_S), self._spoke:
            await self._spoke.wait_for(lambda: found() or self._ended)
        return found()[0]

    async def complaint(self) -> str:
        """What it wrote on stderr until it ended."""
        assert self.process.stderr is not None
        async with asyncio.timeout(CEILING_S):
            return (await self.process.stderr.read()).decode()

    async def ends(self) -> int:
        """Its exit code, once it and everything that writes where it does has ended."""
        async with asyncio.timeout(CEILING_S):
            await self._reading
            return await self.process.wait()

    def told(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def get(self, path: str = "/", *, control: bool = False, token: str = "") -> Answer:
        """A GET on a connection of its own. ConnectionError where it is refused or broken."""
        return await self._exchange(f"GET {path}", self.control_port if control else self.port, token, "")

    async def post(self, path: str, body: str, key: str) -> Answer:
        """JSON sent to the callers' port."""
        return await self._exchange(f"POST {path}", self.port, key, body)

    async def _exchange(self, asked: str, port: int, token: str, body: str) -> Answer:
        lines = [f"{asked} HTTP/1.1", "host: gateway", "connection: close"]
        lines += [f"authorization: Bearer {token}"] if token else []
        lines += [f"content-length: {len(body)}", "content-type: application/json"] if body else []
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write("\r\n".join([*lines, "", body]).encode())
            async with asyncio.timeout(CEILING_S):
                answer = await reader.read()
        finally:
            writer.close()
        if not answer:
            raise ConnectionResetError("no answer")
        head, _, content = answer.partition(b"\r\n\r\n")
        return Answer(int(head.split(b" ")[1]), content)

    async def until(self, path: str, status: int) -> Answer:
        """The control port's answer once it has this status."""
        async with asyncio.timeout(CEILING_S):
            while True:
                answer = await self.get(path, control=True)
                if answer.status == status:
                    return answer
