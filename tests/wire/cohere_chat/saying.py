"""Requests, answers and streams that Cohere's language carries, for the laws about them."""

from collections.abc import Callable
from itertools import pairwise

from hypothesis import strategies as st
from msgspec import Raw
from msgspec.json import encode

from gateway.features import Usage
from gateway.wire.cohere_chat.words import CITATION, NAME, PLAN
from gateway.wire.ir import (
    Answer,
    Ask,
    Block,
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Citation,
    Effort,
    Event,
    Finish,
    Finished,
    Foreign,
    Format,
    Media,
    Started,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)

LONG = 1_000_000
WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
NUMBERS = st.sampled_from([Raw(b"0"), Raw(b"0.7"), Raw(b"1.0"), Raw(b"12345678901234567890")])
OBJECTS = st.dictionaries(WORDS, st.integers() | WORDS, max_size=2).map(lambda fields: Raw(encode(fields)))
ARGUMENTS = OBJECTS.map(lambda raw: bytes(raw).decode())


def cited(kind: str = "TEXT_CONTENT", index: int | None = None) -> st.SearchStrategy[Raw]:
    def raw(start: int, text: str, url: str) -> Raw:
        said: dict[str, object] = {
            "start": start,
            "end": start + 2,
            "text": text,
            "sources": [{"type": "document", "id": "d", "document": {"url": url, "title": "t", "text": "q"}}],
            "type": kind,
        }
        return Raw(encode(said if index is None else said | {"content_index": index}))

    return st.builds(raw, st.integers(0, 9), WORDS, WORDS)


def citation(raw: Raw, url: str, start: int) -> Citation:
    return Citation(NAME, raw, url, "t", "q", start, start + 2)


@st.composite
def citations(draw: st.DrawFn, index: int) -> Citation:
    """A citation as it is read from its raw form, of the content block `index`."""
    start, text, url = draw(st.integers(0, 9)), draw(WORDS), draw(WORDS)
    raw = Raw(
        encode(
            {
                "start": start,
                "end": start + 2,
                "text": text,
                "sources": [{"type": "document", "id": "d", "document": {"url": url, "title": "t", "text": "q"}}],
                "content_index": index,
                "type": "TEXT_CONTENT",
            }
        )
    )
    return citation(raw, url, start)


FOREIGN = WORDS.map(lambda text: Foreign(NAME, "video", Raw(encode({"type": "video", "of": text}))))
STRAYS = cited("PLAN").map(lambda raw: Foreign(NAME, CITATION, raw))
IMAGES = st.builds(
    Media,
    st.just("image"),
    st.just("image/png"),
    data=st.sampled_from(["AAAA", "iVBORw0="]),
    detail=st.sampled_from(["", "low", "auto", "high"]),
) | st.builds(Media, st.just("image"), url=st.sampled_from(["https://a.example/b.png", "data:,x"]))


def documents(cites: st.SearchStrategy[bool]) -> st.SearchStrategy[Media]:
    bare = st.builds(Media, st.just("document"), text=WORDS, name=st.sampled_from(["", "d1"]), cites=cites)
    fields = st.builds(
        Media,
        st.just("document"),
        st.just("text/plain"),
        text=WORDS,
        name=st.sampled_from(["", "d1"]),
        title=st.sampled_from(["", "t"]),
        context=st.sampled_from(["", "c"]),
        cites=cites,
    )
    data = st.builds(Media, st.just("document"), st.just("application/json"), text=ARGUMENTS, cites=cites)
    return bare | fields | data.filter(lambda media: '"text"' not in media.text)


@st.composite
def contents(draw: st.DrawFn) -> list[Block]:
    """What a model says before its plan and its calls, each citation with the block it names."""
    blocks: list[Block] = []
    for at in range(draw(st.integers(0, 3))):
        text = st.builds(Text, WORDS, citations=st.lists(citations(at), max_size=2))
        blocks.append(draw(text | WORDS.map(Thinking) | FOREIGN))
    return blocks


@st.composite
def said(draw: st.DrawFn, ids: Callable[[], str]) -> list[Block]:
    """A model's whole message, in the order in which its fields are read."""
    blocks: list[Block] = draw(contents())
    blocks += draw(st.lists(STRAYS, max_size=1))
    blocks += draw(st.lists(WORDS.map(lambda plan: Thinking(plan, origin=NAME, id=PLAN)), max_size=1))
    blocks += [ToolCall(ids(), draw(WORDS), draw(ARGUMENTS)) for _ in range(draw(st.integers(0, 2)))]
    return blocks


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    made: list[str] = []

    def new_id() -> str:
        made.append(f"call_{len(made)}")
        return made[-1]

    turns: list[Turn] = []
    for _ in range(draw(st.integers(1, 3))):
        turns.append(Turn("user", draw(st.lists(WORDS.map(Text) | IMAGES | FOREIGN, min_size=1, max_size=3))))
        blocks = draw(said(new_id)) or [Text("")]
        turns.append(Turn("assistant", blocks))
        results: list[Block] = [
            ToolResult(block.id, draw(st.lists(WORDS.map(Text) | documents(st.just(True)), min_size=1, max_size=2)))
            for block in blocks
            if isinstance(block, ToolCall)
        ]
        if results:
            turns.append(Turn("user", results))
        if draw(st.booleans()):
            turns.append(Turn("system", [Text(draw(WORDS))]))
    cites = draw(st.booleans())
    users = [turn for turn in turns if turn.role == "user" and not isinstance(turn.content[0], ToolResult)]
    users[-1].content[:0] = draw(st.lists(documents(st.just(cites)), max_size=2))
    strict = draw(st.none() | st.booleans())
    return Ask(
        NAME,
        draw(WORDS),
        turns,
        system=draw(st.lists(WORDS.map(Text), max_size=2)),
        stream=draw(st.booleans()),
        tools=draw(st.lists(st.builds(Tool, WORDS, st.sampled_from(["", "d"]), OBJECTS, st.just(strict)), max_size=2)),
        choice=draw(st.sampled_from([None, ToolChoice("required"), ToolChoice("none")])),
        max_tokens=draw(st.none() | st.integers(1, 2**31 - 1)),
        stop=draw(st.lists(WORDS, max_size=2)),
        sampling=draw(
            st.dictionaries(
                st.sampled_from(["temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty"]),
                NUMBERS,
            )
        ),
        thinking=draw(st.none() | st.sampled_from([Effort("none"), Effort(), Effort(tokens=512)])),
        format=draw(st.none() | st.builds(Format, st.none() | OBJECTS)),
        logprobs=draw(st.sampled_from([None, 0])),
        other=draw(st.dictionaries(st.sampled_from(["safety_mode", "priority", "tomorrow"]), NUMBERS)),
    )


USAGES = st.none() | st.builds(
    Usage, st.integers(50, LONG), st.integers(0, LONG), st.integers(0, 50), st.just(0), st.just(0)
)
FINISHES: st.SearchStrategy[Finish] = st.sampled_from(("stop", "sequence", "length", "tools", "filter", "other"))


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    made: list[str] = []

    def new_id() -> str:
        made.append(f"call_{len(made)}")
        return made[-1]

    content = draw(said(new_id))
    finish = draw(FINISHES)
    tokens: list[dict[str, object]] = [
        {"token": token, "logprob": -0.5, "bytes": None, "top_logprobs": []} for token in draw(st.lists(WORDS))
    ]
    return Answer(
        content,
        "tools" if made and finish == "stop" else finish,
        id=draw(WORDS),
        usage=draw(USAGES),
        logprobs=Raw(encode(tokens)) if tokens else None,
    )


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """Events as they are read: a block at a time, its text in pieces."""
    events: list[Event] = [Started(draw(WORDS))]
    contents_ = calls = at = 0
    planned = False
    for kind in draw(st.lists(st.sampled_from(["text", "thinking", "plan", "call", "stray"]), max_size=5)):
        if kind == "plan" and planned:
            continue
        planned = kind == "plan"
        block: Block
        if kind == "text":
            block = Text("")
        elif kind == "thinking":
            block = Thinking()
        elif kind == "plan":
            block = Thinking(origin=NAME, id=PLAN)
        elif kind == "call":
            block = ToolCall(f"call_{calls}", draw(WORDS))
        else:
            events += (BlockOpened(at, draw(STRAYS)), BlockClosed(at))
            at += 1
            continue
        events.append(BlockOpened(at, block))
        events += [BlockGrew(at, piece) for piece in draw(st.lists(WORDS, min_size=1, max_size=3))]
        if kind == "text":
            logprobs = Raw(encode([{"token": "x", "logprob": -0.25, "bytes": None, "top_logprobs": []}]))
            events += [BlockGrew(at, piece, logprobs=logprobs) for piece in draw(st.lists(st.just("x"), max_size=1))]
            events += [BlockGrew(at, citation=one) for one in draw(st.lists(citations(contents_), max_size=2))]
        events.append(BlockClosed(at))
        contents_ += kind in ("text", "thinking")
        calls += kind == "call"
        at += 1
    finish = draw(FINISHES)
    events.append(Finished("tools" if calls and finish == "stop" else finish, usage=draw(USAGES)))
    return events


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({min(place, len(stream)) for place in places} | {0, len(stream)})
    return [stream[start:end] for start, end in pairwise(ends)]
