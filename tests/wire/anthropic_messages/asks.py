"""Requests and answers of every shape this language carries, for its laws."""

import json

from hypothesis import strategies as st
from msgspec import Raw
from msgspec.json import encode

from gateway.features import Request, Usage
from gateway.wire import raw
from gateway.wire.anthropic_messages import citation
from gateway.wire.anthropic_messages.shapes import NAME
from gateway.wire.ir import (
    Answer,
    Ask,
    Block,
    Cache,
    Citation,
    Effort,
    Foreign,
    Format,
    Media,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)

WORDS = st.text(max_size=6)
SAID = st.text(min_size=1, max_size=6)
NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,8}", fullmatch=True)
MARKS = st.sampled_from([None, Cache(), Cache("5m"), Cache("1h")])
OBJECTS = st.dictionaries(WORDS, st.one_of(st.integers(), WORDS, st.none(), st.booleans()), max_size=3)
JSON = OBJECTS.map(lambda value: json.dumps(value, separators=(",", ":")))
PLACES = [
    {"type": "char_location", "cited_text": "a", "document_index": 0, "document_title": "T", "start_char_index": 0},
    {"type": "page_location", "cited_text": "b", "document_title": None, "start_page_number": 1},
    {"type": "content_block_location", "cited_text": "c", "start_block_index": 0, "end_block_index": 1},
    {"type": "web_search_result_location", "cited_text": "d", "url": "https://a.example", "encrypted_index": "x"},
    {"type": "search_result_location", "cited_text": "e", "source": "https://b.example", "title": "S"},
    {"type": "search_result_location", "cited_text": "f", "source": "shelf 7"},
]


def request(body: object) -> Request:
    """A request as the gateway has it after its first look."""
    fields = raw.read_fields(encode(body))
    return Request(fields, raw.read_model(fields), raw.read_flag(fields, "stream"))


def cited(place: object) -> Citation:
    return citation.read(Raw(encode(place)), NAME)


def texts() -> st.SearchStrategy[Text]:
    return st.builds(Text, WORDS, MARKS, st.lists(st.sampled_from(PLACES).map(cited), max_size=2))


def media() -> st.SearchStrategy[Media]:
    described = {"title": WORDS, "context": WORDS, "cites": st.booleans(), "cache": MARKS}
    document = st.just("document")
    return st.one_of(
        st.builds(Media, st.just("image"), st.just("image/png"), SAID, cache=MARKS),
        st.builds(Media, st.just("image"), url=SAID, cache=MARKS),
        st.builds(Media, st.sampled_from(["image", "document"]), file=SAID, cache=MARKS),
        st.builds(Media, document, st.just("application/pdf"), SAID, **described),
        st.builds(Media, document, url=SAID, **described),
        st.builds(Media, document, st.just("text/plain"), text=SAID, **described),
    )


def foreign() -> st.SearchStrategy[Foreign]:
    return JSON.map(
        lambda text: Foreign(NAME, "server_tool_use", Raw(b'{"type":"server_tool_use","input":%b}' % text.encode()))
    )


def thoughts() -> st.SearchStrategy[Thinking]:
    return st.one_of(
        st.builds(Thinking, WORDS, NAMES, origin=st.just(NAME)),
        st.builds(Thinking, redacted=NAMES, origin=st.just(NAME)),
    )


@st.composite
def turns(draw: st.DrawFn) -> list[Turn]:
    """Questions, and answers whose calls are answered by the next turn."""
    conversation: list[Turn] = []
    for at in range(draw(st.integers(1, 3))):
        asked: list[Block] = [*draw(st.lists(st.one_of(texts(), media(), foreign()), max_size=3))]
        conversation.append(Turn(draw(st.sampled_from(["user", "system"])), asked))
        answer: list[Block] = [*draw(st.lists(st.one_of(texts(), thoughts(), foreign()), max_size=2))]
        calls = [
            ToolCall(f"{draw(NAMES)}-{at}-{nth}", draw(SAID), draw(JSON), cache=draw(MARKS))
            for nth in range(draw(st.integers(0, 2)))
        ]
        conversation.append(Turn("assistant", [*answer, *calls]))
        results: list[Block] = [
            ToolResult(
                call.id,
                [*draw(st.lists(st.one_of(texts(), media()), max_size=2))],
                call.name,
                draw(st.booleans()),
                draw(MARKS),
            )
            for call in calls
        ]
        if results:
            conversation.append(Turn("user", results))
    return conversation


TOOLS = st.builds(
    Tool,
    NAMES,
    WORDS,
    JSON.map(lambda text: Raw(b'{"type":"object","properties":%b}' % text.encode())),
    st.sampled_from([None, True, False]),
    MARKS,
)
SERVER_TOOLS = st.just(Foreign(NAME, "web_search_20250305", Raw(b'{"type":"web_search_20250305","name":"web_search"}')))
CHOICES = st.one_of(
    st.builds(ToolChoice, st.sampled_from(["auto", "required"]), parallel=st.sampled_from([None, True, False])),
    st.just(ToolChoice("none")),
    NAMES.map(lambda name: ToolChoice("tool", (name,))),
)
EFFORTS = st.one_of(
    st.builds(
        Effort,
        st.sampled_from(["", "low", "medium", "high", "xhigh", "max"]),
        shown=st.sampled_from([None, True, False]),
    ),
    st.just(Effort("none")),
    st.builds(Effort, st.sampled_from(["", "low"]), st.integers(1024, 9000), st.sampled_from([None, True, False])),
)
OTHERS = st.dictionaries(
    st.sampled_from(["inference_geo", "mcp_servers", "speed"]), JSON.map(lambda text: Raw(text.encode()))
)


def asks() -> st.SearchStrategy[Ask]:
    return st.builds(
        Ask,
        st.just(NAME),
        st.just("claude-sonnet-4-5"),
        turns(),
        system=st.lists(texts(), max_size=2),
        stream=st.booleans(),
        tools=st.lists(st.one_of(TOOLS, SERVER_TOOLS), max_size=2),
        choice=st.none() | CHOICES,
        max_tokens=st.integers(1, 2**31 - 1),
        stop=st.lists(WORDS, max_size=2),
        sampling=st.dictionaries(st.sampled_from(["temperature", "top_p", "top_k"]), st.just(Raw(b"0.50"))),
        thinking=st.none() | EFFORTS,
        format=st.none() | st.just(Format(Raw(b'{"type":"object"}'))),
        user=WORDS,
        service_tier=st.sampled_from(["", "auto", "standard_only"]),
        cache=MARKS,
        wants_usage=st.just(True),
        other=OTHERS,
    )


USAGES = st.builds(
    lambda plain, cached, written, output, thought: Usage(
        plain + cached + written, output, cached, written, min(thought, output)
    ),
    *(st.integers(0, 10**6),) * 5,
)


def answers() -> st.SearchStrategy[Answer]:
    said = st.builds(Text, SAID, citations=st.lists(st.sampled_from(PLACES).map(cited), max_size=2))
    calls = st.builds(ToolCall, NAMES, SAID, JSON)
    return st.builds(
        Answer,
        st.lists(st.one_of(said, calls, thoughts(), foreign()), max_size=4),
        st.sampled_from(["stop", "sequence", "length", "tools", "refusal", "pause", "context"]),
        WORDS,
        id=WORDS,
        model=SAID,
        usage=USAGES,
        service_tier=st.sampled_from(["", "standard", "priority", "batch"]),
    )
