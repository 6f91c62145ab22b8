"""A worker in a process of its own, led as its supervisor leads it: by what it inherits and what the channel says.

async with led(settings) as worker:
    heard = await worker.hears(asked(close=True))
    await worker.tell(Drain(5.0))
    assert await worker.ends() == 0
"""

import asyncio
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
from msgspec import Struct

from gateway.channel import Backends, Configure, Drained, Message, Ready, Unframer, frame
from gateway.settings.load import own_environment
from gateway.settings.shape import Settings
from gateway.telemetry.slots import create
from tests.doubles.mock_caller import Heard

ROOT = Path(__file__).parent.parent.parent
CEILING_S = 20.0

_PROGRAM = """
import sys
from gateway.app import run_worker
{before}
sys.exit(run_worker(int(sys.argv[1]), [int(fd) for fd in sys.argv[3:]], sys.argv[2]))
"""


class Line(Struct):
    """One line of the worker's log."""

    fields: dict[str, object]

    @property
    def event(self) -> object:
        return self.fields["event"]


class Led:
    """The supervisor's side of one worker."""

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket, listening: socket.socket) -> None:
        self.process = process
        self.slots_path = ""
        self.channel = channel
        self.listening = listening
        self.heard: list[Message] = []
        self.log: list[Line] = []
        self.complaint = b""
        self._news = asyncio.Condition()
        self._reading = asyncio.Event()
        self._reading.set()
        self._stopped = asyncio.Event()

    @property
    def port(self) -> int:
        return int(self.listening.getsockname()[1])

    # --- the channel --------------------------------------------------------------------------------------------------

    async def tell(self, message: Message) -> None:
        await asyncio.get_running_loop().sock_sendall(self.channel, frame(message))

    async def configure(self, settings: Settings) -> str:
        """The problem the worker has with these settings, "" for none."""
        before = len(self.answers)
        await self.tell(Configure(settings))
        await self.until(lambda: len(self.answers) > before)
        return self.answers[before].problem

    @property
    def answers(self) -> list[Ready]:
        return [message for message in self.heard if isinstance(message, Ready)]

    @property
    def tables(self) -> list[Backends]:
        return [message for message in self.heard if isinstance(message, Backends)]

    @property
    def drained(self) -> bool:
        return any(isinstance(message, Drained) for message in self.heard)

    async def leaves_unread(self) -> None:
        """Stop reading, and wait until something lies in the channel."""
        self._reading.clear()
        loop = asyncio.get_running_loop()
        some = asyncio.Event()
        async with asyncio.timeout(CEILING_S):
            await self._stopped.wait()
            loop.add_reader(self.channel, some.set)
            await some.wait()
        loop.remove_reader(self.channel)

    def go_on_reading(self) -> None:
        self._reading.set()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for what the channel and the log will show."""
        async with asyncio.timeout(CEILING_S), self._news:
            await self._news.wait_for(true)

    async def take_in(self) -> None:
        """Everything the worker says on its channel, until it hangs up."""
        loop = asyncio.get_running_loop()
        unframer = Unframer()
        while True:
            if not self._reading.is_set():
                self._stopped.set()
                await self._reading.wait()
            try:
                data = await loop.sock_recv(self.channel, 1 << 16)
            except OSError:
                return
            if not data:
                return
            messages = unframer.feed(data)
            async with self._news:
                self.heard += messages
                self._news.notify_all()

    async def read_log(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            async with self._news:
                self.log.append(Line(orjson.loads(line)))
                self._news.notify_all()

    async def read_complaint(self) -> None:
        assert self.process.stderr is not None
        self.complaint = await self.process.stderr.read()

    async def ends(self) -> int:
        """Its exit code, once it has ended."""
        async with asyncio.timeout(CEILING_S):
            return await self.process.wait()

    # --- callers ------------------------------------------------------------------------------------------------------

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def hears(self, data: bytes) -> Heard:
        """One request on a connection of its own that it asks to close, and all that came back."""
        reader, writer = await self.connect()
        try:
            writer.write(data)
            async with asyncio.timeout(CEILING_S):
                return Heard(await reader.read(), "fin")
        finally:
            writer.close()


@asynccontextmanager
async def led(settings: Settings | None = None, *, before: str = "", unix: Path | None = None) -> AsyncIterator[Led]:
    """A worker at work under these settings; without any, one that waits to be told. `before` is run in it first."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    sockets = [listening]
    if unix is not None:
        local = socket.socket(socket.AF_UNIX)
        local.bind(str(unix))
        sockets.append(local)
    with tempfile.NamedTemporaryFile(prefix="gateway-test-") as slots:
        create(slots.name)
        fds = [one.fileno() for one in sockets]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _PROGRAM.format(before=before)),
            *(str(theirs.fileno()), slots.name, *map(str, fds)),
            cwd=ROOT,
            env=own_environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(theirs.fileno(), *fds),
            start_new_session=True,
        )
        theirs.close()
        worker = Led(process, ours, listening)
        worker.slots_path = slots.name
        loop = asyncio.get_running_loop()
        listeners = [loop.create_task(work()) for work in (worker.take_in, worker.read_log, worker.read_complaint)]
        try:
            if settings is not None:
                problem = await worker.configure(settings)
                assert problem == "", problem
            yield worker
        finally:
            if process.returncode is None:
                process.kill()
            await worker.ends()
            worker.go_on_reading()
            await asyncio.gather(*listeners)
            for one in (ours, *sockets):
                one.close()
    assert worker.complaint == b"", worker.complaint.decode()
