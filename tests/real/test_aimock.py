"""aimock behind the gateway: every answer comes whole or as an error, whatever it does to them."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import orjson
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.real.aimocks import Aimock
from tests.real.asking import Caller, client, together
from tests.real.endings import Kind, count
from tests.real.gateways import Gateway, backend
from tests.real.node_client import NodeCaller

pytestmark = pytest.mark.real

KINDS: tuple[Kind, ...] = ("stream", "chat", "stream", "embeddings")  # it has no text completions
CALLS = 60
LANES = 3
CEILING_S = 120.0
# A kept connection that ends before a byte of the answer may just have been too old: the same place is asked once more.
ONCE_OR_STALE = {1, 2}


class Row:
    """Two aimocks behind one gateway, which asks the first and then the second."""

    def __init__(self, folder: pytest.TempPathFactory, first: Aimock, second: Aimock) -> None:
        self.first, self.second = first, second
        places = {"first": first, "second": second}
        self.gateway = Gateway(
            folder.mktemp("aimock"),
            {name: backend("openai", aimock.url, api_key="${AIMOCK_ACCOUNT}") for name, aimock in places.items()},
            {"both": [{"backend": name, "model": "gpt-4o-mini", "order": at} for at, name in enumerate(places)]},
            {"AIMOCK_ACCOUNT": "sk-aimock-account"},
            drain="100ms",
        )


@pytest.fixture(scope="module")
def _row(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Row]:
    with ExitStack() as stack:
        pair = [Aimock() for _ in range(2)]
        for aimock in pair:
            stack.enter_context(aimock.program)
        row = Row(tmp_path_factory, *pair)
        stack.callback(row.gateway.close)
        yield row


@pytest.fixture
def row(_row: Row) -> Row:
    for aimock in (_row.first, _row.second):
        aimock.breaks()
        aimock.forget()
    _row.gateway.forget()
    return _row


def asks(words: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": words}]


async def test_text_beyond_ascii_comes_whole_in_any_cut(row: Row) -> None:
    async with client(row.gateway.url) as openai:
        whole = await openai.chat.completions.create(model="both", messages=asks("hello"))
        pieces = [
            chunk.choices[0].delta.content or ""
            async for chunk in await openai.chat.completions.create(model="both", messages=asks("hello"), stream=True)
        ]
    assert whole.choices[0].message.content is not None
    assert whole.choices[0].message.content.startswith("Grüße aus")
    assert "".join(pieces) == whole.choices[0].message.content


async def test_a_streamed_tool_call_comes_whole(row: Row) -> None:
    async with client(row.gateway.url) as openai:
        calls = [
            call.function
            async for chunk in await openai.chat.completions.create(
                model="both", messages=asks("the weather"), stream=True
            )
            for call in chunk.choices[0].delta.tool_calls or []
        ]
    assert [call.name for call in calls if call and call.name] == ["get_weather"]
    arguments = "".join(call.arguments or "" for call in calls if call)
    assert orjson.loads(arguments) == {"city": "Zürich", "unit": "°C"}


async def test_embeddings_come_from_a_provider_others_wrote(row: Row) -> None:
    async with client(row.gateway.url) as openai:
        answer = await openai.embeddings.create(model="both", input=["one", "two"], encoding_format="float")
    assert len(answer.data) == 2
    assert answer.data[0].embedding != answer.data[1].embedding


async def test_an_answer_that_is_cut_after_content_is_an_error(row: Row) -> None:
    async with client(row.gateway.url) as openai:
        ending = await Caller(openai, "both").call("stream", "a cut answer")
    assert ending.outcome == "broken"
    assert ending.error in {"upstream_disconnected", "upstream_truncated"}
    assert len(row.second.journal()) == 0


async def test_an_answer_that_every_place_cuts_before_content_is_an_error_of_its_own(row: Row) -> None:
    async with client(row.gateway.url) as openai:
        ending = await Caller(openai, "both").call("stream", "an answer cut at once")
    assert ending.outcome == "failed"
    assert [len(aimock.journal()) in ONCE_OR_STALE for aimock in (row.first, row.second)] == [True, True]


@pytest.mark.parametrize("kind", ["stream", "chat", "embeddings"])
@pytest.mark.parametrize(
    ("rate", "code"),
    [
        ("dropRate", "upstream_invalid_response"),
        ("malformedRate", "upstream_invalid_response"),
        ("disconnectRate", "upstream_disconnected"),
        ("rateLimitRate", "rate_limit_exceeded"),
    ],
)
async def test_what_every_place_breaks_is_an_error_after_one_try_in_each(
    row: Row, kind: Kind, rate: str, code: str
) -> None:
    for aimock in (row.first, row.second):
        aimock.breaks(**{rate: 1.0})
    async with client(row.gateway.url) as openai:
        ending = await Caller(openai, "both").call(kind, "hello")
    assert (ending.outcome, ending.error) == ("failed", code)
    tries = ONCE_OR_STALE if rate == "disconnectRate" else {1}
    assert [len(aimock.journal()) in tries for aimock in (row.first, row.second)] == [True, True]


async def test_no_call_of_either_client_fails_while_one_place_breaks_every_other_answer(
    row: Row, figures: dict[str, object]
) -> None:
    row.first.breaks(dropRate=0.15, malformedRate=0.15, disconnectRate=0.15, rateLimitRate=0.15)
    done = asyncio.Event()

    def changed() -> None:
        if all(len(caller.endings) >= CALLS for caller in (python, node)):
            done.set()

    async with client(row.gateway.url) as openai:
        python = Caller(openai, "both", changed, KINDS)
        node = NodeCaller(row.gateway.url, "both", LANES, changed, KINDS)
        await node.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(node.listen())
            group.create_task(together(python, lanes=LANES))
            async with asyncio.timeout(CEILING_S):
                await done.wait()
            python.stop()
            node.stop()

    endings = [*python.endings, *node.endings]
    chaos = Counter(entry.response.chaos for entry in row.first.journal() if entry.response.chaos)
    figures["aimock_chaos"] = {"calls": len(endings), **count(endings), "first_broke": dict(chaos)}
    assert {ending.outcome for ending in endings} == {"whole"}
    # Once the first is known for it, it is asked now and then only: of its four ways to break, some may be missing.
    assert chaos
    lines = [row.gateway.of(ending.request_id) for ending in endings]
    helped = sum(len(line.attempts) == 2 for line in lines)
    assert len(row.second.journal()) == sum(line.attempts[-1].backend == "second" for line in lines)
    assert chaos.total() - chaos["disconnect"] <= helped <= chaos.total()
