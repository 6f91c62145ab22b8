"""How many steps of the interpreter one request takes, and where: `python -m tests.bench.steps`.

A step is one bytecode of ours that runs. Their number is the same on every machine and however busy it is, and under
load a request's CPU time goes with it: so a change that makes requests dearer is seen before it is measured. Whole
chats are asked one after the other, of a gateway in this process with telemetry on and two backends to choose from.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import CodeType, FrameType

import msgspec
import uvloop
from msgspec.structs import replace

import gateway
from gateway.routing.estimate import Lengths
from gateway.settings.shape import Price, Settings
from gateway.stages.lengths import Learner
from gateway.stages.settle import Settler
from gateway.telemetry import slots
from gateway.telemetry.batch import Batch
from gateway.telemetry.log import AccessLog
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.slots import SlotWriter
from gateway.upstream.prices import Prices
from tests.bench.bodies import chat_answer, chat_request
from tests.bench.lineup import CHAT_PATH
from tests.doubles.inside import KEY, Inside, backend, settings_for

WARM = 16
REQUESTS = 64
_OURS = str(Path(gateway.__file__).parent)
_MODEL = "mock-model"
_PRICE = Price(0.0, 0.15, 0.6)


class Steps(msgspec.Struct, frozen=True):
    """Steps a request, in all and by function (file and name), the most expensive first."""

    total: float
    where: dict[str, float]


class _Lines:
    def put(self, line: bytes) -> None:
        del line


async def measure(body_bytes: int = 400, requests: int = REQUESTS) -> Steps:
    """The steps of one whole chat of so many bytes."""
    answering: set[asyncio.Task[None]] = set()
    server = await asyncio.start_server(partial(_answer, answering), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    places = [backend(name, f"http://127.0.0.1:{port}") for name in ("one", "two")]
    told = settings_for({_MODEL: places})
    told = replace(
        told,
        models={name: tuple(replace(one, order=0, price=_PRICE) for one in to) for name, to in told.models.items()},
    )
    with tempfile.TemporaryDirectory() as folder:
        async with Inside(told) as inside:
            batch = telemetry(folder, told, inside.bug)
            inside.door.use(replace(inside.runtime, settler=Settler(Prices(), (batch,))))
            reader, writer = await asyncio.open_connection("127.0.0.1", inside.port)
            asked = request(chat_request(_MODEL, body_bytes))
            await _ask(reader, writer, asked, WARM)
            with counted() as counts:
                await _ask(reader, writer, asked, requests)
            batch.tell()
            writer.close()
            await writer.wait_closed()
        server.close()
        await asyncio.gather(*answering)
    named: Counter[str] = Counter()
    for code, steps in counts.items():
        named[f"{code.co_filename[len(_OURS) + 1 :]}:{code.co_name}"] += steps
    where = {name: steps / requests for name, steps in named.most_common()}
    return Steps(sum(where.values()), where)


def telemetry(folder: str, told: Settings, bug: Callable[[BaseException, str], None]) -> Batch:
    """What a worker tells of every request, but for the writing of its log."""
    path = f"{folder}/slots"
    slots.create(path)
    metrics = Metrics(SlotWriter(path))
    access = AccessLog(_Lines(), metrics.log_lines_withheld)
    metrics.configure(told)
    access.configure(told)
    return Batch((metrics, access, Learner(Lengths())), bug)


@contextmanager
def counted() -> Iterator[Counter[CodeType]]:
    """Counts the steps of our code that run meanwhile, by function."""
    counts: Counter[CodeType] = Counter()

    def trace(frame: FrameType, event: str, arg: object) -> Callable[..., object] | None:
        del arg
        code = frame.f_code
        if not code.co_filename.startswith(_OURS):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            counts[code] += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]  # typeshed's own type for it has no public name
    try:
        yield counts
    finally:
        sys.settrace(before)


def request(body: bytes) -> bytes:
    return (
        b"POST %b HTTP/1.1\r\nhost: gw\r\nauthorization: Bearer %b\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b"
    ) % (CHAT_PATH.encode(), KEY.encode(), len(body), body)


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: bytes, times: int) -> None:
    for _ in range(times):
        writer.write(asked)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ValueError(head.decode())
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))


async def _answer(
    answering: set[asyncio.Task[None]], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """A model server that answers everything with the same chat."""
    task = asyncio.current_task()
    assert task is not None
    answering.add(task)
    body = chat_answer()
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            writer.write(answer)
    except (asyncio.IncompleteReadError, ConnectionResetError):
        writer.close()
        with suppress(ConnectionResetError):
            await writer.wait_closed()


if __name__ == "__main__":
    found = uvloop.run(measure())
    for name, steps in list(found.where.items())[:60]:
        print(f"{steps:7.1f}  {name}")
    print(f"{found.total:7.1f}  in all")
