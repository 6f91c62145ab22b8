"""A real model's stream is cut after each of its events, and its caller reads on as if nothing had happened.

caller ─► gateway ─► cutter ─► llama.cpp        cut after the k-th event
                └────────────► llama.cpp        goes on
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import openai
import pytest
from msgspec import Struct
from openai.types.chat import ChatCompletionChunk

from gateway.exchange import Exchange
from gateway.routing.policy import Policy, Retry
from gateway.settings.catalogue import catalogue_path, read_catalogue
from gateway.settings.findings import Findings
from gateway.settings.shape import Backend, Settings, Target
from tests.doubles.inside import CALLER, KEY, Inside
from tests.real.asking import client
from tests.real.llamas import MODEL, PYTHON, Llama
from tests.real.processes import ROOT, Program

pytestmark = pytest.mark.real

SERVER = ROOT / "tests" / "real" / "llama_server_steady.py"
TOKENS = 40
ASKED = "Name three colours."
CEILING_S = 600.0
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
SCHEMA = {"type": "object", "properties": {"colours": {"type": "array", "items": {"type": "string"}}}}


class Steady(Llama):
    """A server whose answers don't depend on how much of a text was given to it (llama_server_steady.py)."""

    def start(self) -> None:
        self.program = Program([str(PYTHON), str(SERVER), str(self.port)])


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Llama, Llama]]:
    first, second = Steady(), Steady()
    for one in (first, second):
        one.start()
    for one in (first, second):
        one.ready()
    yield first, second
    first.close()
    second.close()


class Cutter:
    """Stands before a server, and ends each of its streams after so many events (0: never)."""

    def __init__(self, server: Llama) -> None:
        self._server = server
        self.after = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Cutter"]:
        self._listener = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        try:
            yield self
        finally:
            self._listener.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, to_them = await asyncio.open_connection("127.0.0.1", self._server.port)
        try:
            async with asyncio.TaskGroup() as group:
                ways = [group.create_task(self._ask(reader, to_them)), group.create_task(self._answer(theirs, writer))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
        finally:
            # At once, on both sides: the server stops working, the gateway sees its stream end.
            to_them.transport.abort()
            writer.close()

    @staticmethod
    async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen = 0
        try:
            writer.write(await reader.readuntil(b"\r\n\r\n"))
            while seen != self.after or not self.after:
                writer.write(await reader.readuntil(b"\n\n"))
                seen += 1
        except asyncio.IncompleteReadError as end:
            writer.write(end.partial)
        await writer.drain()


class Answer(Struct):
    """What the official client made of a stream; `error` is the code it raised, "" where it didn't."""

    chunks: list[ChatCompletionChunk]
    error: str = ""

    @property
    def text(self) -> str:
        return "".join(choice.delta.content or "" for chunk in self.chunks for choice in chunk.choices)

    @property
    def finish(self) -> list[str | None]:
        return [choice.finish_reason for chunk in self.chunks for choice in chunk.choices if choice.finish_reason]

    @property
    def roles(self) -> int:
        return sum(choice.delta.role is not None for chunk in self.chunks for choice in chunk.choices)

    @property
    def identities(self) -> set[tuple[str, str, str | None]]:
        """Not its time: this server says in each event when that was."""
        return {(chunk.id, chunk.model, chunk.system_fingerprint) for chunk in self.chunks}

    @property
    def usage(self) -> list[tuple[int, int, int]]:
        used = [chunk.usage for chunk in self.chunks if chunk.usage is not None]
        return [(one.prompt_tokens, one.completion_tokens, one.total_tokens) for one in used]


def settings(*urls: str) -> Settings:
    """A gateway for one model on these servers, in their order."""
    row = read_catalogue(catalogue_path(), Findings())["llamacpp"]
    rows = [Backend(name=name, provider=row, base_urls=(url,)) for name, url in zip(("one", "two"), urls, strict=True)]
    return Settings(
        models={MODEL: tuple(Target(backend, MODEL, order=at) for at, backend in enumerate(rows))},
        backends={backend.name: backend for backend in rows},
        callers=(CALLER,),
        state="memory",
        policies=(Policy("goes-on", resume=True, retry=Retry(attempts=2)),),
    )


async def ask(gateway: Inside, **fields: object) -> Answer:
    told = {"temperature": 0, "max_tokens": TOKENS, "stream_options": {"include_usage": True}, **fields}
    answer = Answer([])
    async with client(f"{gateway.url}/v1", KEY) as asks:
        try:
            stream = await asks.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": ASKED}],
                stream=True,
                extra_body={"cache_prompt": False, **told},
            )
            answer.chunks += [chunk async for chunk in stream]
        except openai.APIError as error:
            answer.error = error.code or type(error).__name__
    return answer


async def cut(cutter: Cutter, second: Llama, after: int, **fields: object) -> tuple[Answer, Exchange]:
    """The answer to a request whose stream is cut after so many events; its gateway has seen nothing before."""
    cutter.after = after
    async with Inside(settings(cutter.url, second.url)) as gateway:
        answer = await ask(gateway, **fields)
        await gateway.until(lambda settled: len(settled) == 1, CEILING_S)
        assert gateway.bugs == []
        return answer, gateway.settled[0]


async def test_a_stream_cut_after_any_event_is_the_same_answer(
    pair: tuple[Llama, Llama], figures: dict[str, object]
) -> None:
    first, second = pair
    async with asyncio.timeout(CEILING_S), Cutter(first).open() as cutter:
        whole, _ = await cut(cutter, second, 0)
        events = len(whole.chunks)
        assert len(whole.identities) == whole.roles == 1
        resumed = 0
        for after in range(1, events + 1):
            answer, exchange = await cut(cutter, second, after)
            assert answer.error == ""
            assert answer.text == whole.text, f"cut after {after}"
            assert answer.finish == whole.finish
            assert len(answer.identities) == answer.roles == 1, f"cut after {after}"
            assert exchange.outcome == "answered"
            if len(exchange.attempts) == 2:
                resumed += 1
                assert answer.usage == whole.usage, f"cut after {after}"
    figures["resumed"] = {"events": events, "cut": resumed, "equal": resumed}
    # Of the first event, a role, nothing was heard: that is a request like any other. With its finish it is complete.
    assert resumed == events - 2 == TOKENS + 1


async def test_servers_that_read_prompts_in_batches_go_on_from_the_same_words(
    llamas: tuple[Llama, Llama], figures: dict[str, object]
) -> None:
    """As everybody runs them: no word is lost or said twice, though another word may be a hair likelier than before."""
    first, second = llamas
    async with asyncio.timeout(CEILING_S), Cutter(first).open() as cutter:
        whole, _ = await cut(cutter, second, 0)
        cuts = range(2, len(whole.chunks) - 2, 4)
        equal = 0
        for after in cuts:
            answer, exchange = await cut(cutter, second, after)
            heard = "".join(chunk.choices[0].delta.content or "" for chunk in whole.chunks[:after])
            assert answer.error == ""
            assert answer.text.startswith(heard)
            assert len(answer.finish) == len(answer.identities) == answer.roles == 1
            assert answer.usage[0][0] == whole.usage[0][0]
            assert [attempt.outcome for attempt in exchange.attempts] == ["upstream_truncated", "answered"]
            equal += answer.text == whole.text
    figures["resumed_in_batches"] = {"cut": len(cuts), "equal": equal}


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [TOOL]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "colours", "schema": SCHEMA}}},
        {"response_format": {"type": "json_object"}},
    ],
    ids=["tools", "schema", "json"],
)
async def test_what_can_not_be_exact_ends_with_the_error(pair: tuple[Llama, Llama], fields: dict[str, object]) -> None:
    first, second = pair
    async with asyncio.timeout(CEILING_S), Cutter(first).open() as cutter:
        answer, exchange = await cut(cutter, second, 6, **fields)
    assert answer.error == exchange.outcome == "upstream_truncated"
    assert [attempt.target.backend.name for attempt in exchange.attempts] == ["one"]
    assert second.busy() == 0
