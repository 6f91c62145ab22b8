"""A model server dies, under the hands of both official clients, and another takes over."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import chain

import orjson
import pytest

from tests.real.asking import WHOLE_LENGTH, Caller, client, together
from tests.real.conftest import SMOLLM
from tests.real.endings import Ending, count
from tests.real.gateways import KEY, Gateway
from tests.real.llamas import Llama
from tests.real.node_client import NodeCaller

pytestmark = pytest.mark.real

ROUNDS = 3
LANES = 2
CEILING_S = 120.0
# What a caller may be told when the server behind his stream is gone.
GONE = {"upstream_disconnected", "upstream_truncated"}


class Scene:
    """Both clients at work, and a way to wait for what they see."""

    def __init__(self, gateway: Gateway) -> None:
        self._changed = asyncio.Event()
        self.openai = client(gateway.url)
        self.python = Caller(self.openai, SMOLLM, self._changed.set)
        self.node = NodeCaller(gateway.url, SMOLLM, LANES, self._changed.set)
        self.callers: tuple[Caller | NodeCaller, ...] = (self.python, self.node)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(CEILING_S):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    def endings(self) -> list[Ending]:
        return [*self.python.endings, *self.node.endings]

    def seen(self) -> tuple[int, int]:
        """A moment: how many calls of each client have ended."""
        return len(self.python.endings), len(self.node.endings)

    def each_has(self, since: tuple[int, int], backend: str, at_least: int) -> bool:
        """Whether both clients have had so many whole answers from this backend since then."""
        return all(
            sum(ending.backend == backend and ending.outcome == "whole" for ending in caller.endings[start:])
            >= at_least
            for caller, start in zip(self.callers, since, strict=True)
        )

    def in_the_midst(self) -> bool:
        """Whether each client reads a stream, and somebody waits for an answer."""
        return all(caller.midway for caller in self.callers) and any(caller.waiting for caller in self.callers)


async def test_only_streams_that_had_begun_notice_that_their_server_was_killed(
    gateway: Gateway, llamas: tuple[Llama, Llama], figures: dict[str, object]
) -> None:
    first, _ = llamas
    scene = Scene(gateway)
    await scene.node.start()
    async with asyncio.TaskGroup() as group:
        group.create_task(scene.node.listen())
        group.create_task(together(scene.python, lanes=LANES))
        for _ in range(ROUNDS):
            await scene.until(scene.in_the_midst)
            first.kill()
            killed = scene.seen()
            await scene.until(partial(scene.each_has, killed, "second", 3))
            first.start()
            await asyncio.to_thread(first.ready)
            # Without a word from its operator it would be asked again after half a minute.
            await asyncio.to_thread(gateway.resume, "first")
            back = scene.seen()
            await scene.until(partial(scene.each_has, back, "first", 2))
        scene.python.stop()
        scene.node.stop()
    await scene.openai.close()

    endings = scene.endings()
    counted = count(endings)
    lines = [gateway.of(ending.request_id) for ending in endings]
    rescued = Counter(
        line.attempts[0].outcome for line in lines if len(line.attempts) == 2 and line.outcome == "answered"
    )
    figures["takeover"] = {
        "kills": ROUNDS,
        **{client: count(one for one in endings if one.client == client) for client in ("python", "node")},
        "answered_by": dict(Counter(ending.backend for ending in endings if ending.outcome == "whole")),
        "rescued_after": dict(rescued),
        "broken_said": dict(Counter(ending.error for ending in endings if ending.outcome == "broken")),
    }

    assert (counted["failed"], counted["silent"]) == (0, 0), [one for one in endings if one.outcome != "whole"]
    for name in ("python", "node"):
        # Whoever has just come back has few streams yet that could notice the next kill.
        assert count(one for one in endings if one.client == name)["broken"] >= 1
    assert {ending.error for ending in endings if ending.outcome == "broken"} <= GONE
    # The log tells the same story.
    assert [line.outcome == "answered" for line in lines] == [ending.outcome == "whole" for ending in endings]
    assert all(len(line.attempts) == 1 for line in lines if line.outcome != "answered")
    assert rescued["upstream_unreachable"] > 0


async def test_a_killed_servers_stream_ends_in_an_error_frame_and_never_in_a_clean_end(
    gateway: Gateway, llamas: tuple[Llama, Llama]
) -> None:
    body = orjson.dumps(
        {
            "model": SMOLLM,
            "messages": [{"role": "user", "content": "Say hello."}],
            "max_tokens": 200,
            "stream": True,
            **WHOLE_LENGTH,
        }
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {KEY}\r\n"
    writer.write(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    async with asyncio.timeout(CEILING_S):
        heard = await reader.readuntil(b'"content":"')
        llamas[0].kill()
        heard += await reader.read()
    writer.close()

    frames = [line for line in heard.splitlines() if line.startswith(b"data: ")]
    assert orjson.loads(frames[-1].removeprefix(b"data: "))["error"]["code"] in GONE
    assert sum(b'"error"' in frame for frame in frames) == 1
    assert b"[DONE]" not in heard
    assert heard.endswith(b"\r\n0\r\n\r\n")
    request_id = re.search(rb"x-request-id: (\S+)\r\n", heard)
    assert request_id
    line = gateway.of(request_id[1].decode())
    assert [one.backend for one in line.attempts] == ["first"]
    assert line.outcome in GONE


@pytest.mark.parametrize("kind", ["stream", "chat", "completion", "embeddings"])
async def test_a_caller_without_content_notices_nothing_of_the_kill(
    kind: str, gateway: Gateway, llamas: tuple[Llama, Llama]
) -> None:
    first, _ = llamas
    async with client(gateway.url) as openai:
        caller = Caller(openai, SMOLLM)
        await gateway.until_in_flight("first", 0)
        first.freeze()
        async with asyncio.TaskGroup() as group:
            calling = group.create_task(caller.call(kind, "Say hello."))  # type: ignore[arg-type]  # pytest hands over a str
            await gateway.until_in_flight("first", 1)
            first.kill()
    ending = calling.result()
    assert (ending.outcome, ending.backend) == ("whole", "second")
    line = gateway.of(ending.request_id)
    assert [one.backend for one in line.attempts] == ["first", "second"]
    # On a kept connection that was lost unanswered it is asked once more by a new one, and nobody is there.
    assert line.attempts[0].outcome in {*GONE, "upstream_unreachable"}


async def test_while_a_server_loads_its_model_its_calls_go_to_the_next(
    gateway: Gateway, llamas: tuple[Llama, Llama], figures: dict[str, object]
) -> None:
    first, _ = llamas
    first.kill()
    async with client(gateway.url) as openai:
        caller = Caller(openai, SMOLLM)
        first.start()
        async with asyncio.timeout(CEILING_S):
            while not caller.endings or caller.endings[-1].backend != "first":
                await caller.call("embeddings", "Say hello.")
    first.ready()
    lines = [gateway.of(ending.request_id) for ending in caller.endings]
    tries = Counter(
        one.outcome for one in chain.from_iterable(line.attempts for line in lines) if one.backend == "first"
    )
    figures["loading"] = {"calls": len(lines), "first_said": dict(tries)}
    assert {ending.outcome for ending in caller.endings} == {"whole"}
    assert tries["overloaded"] > 0
