"""What a request asks, as facts that two readings of it can be compared by.

`said` is the conversation without its trimmings: text, calls and results in their order, texts side by side of one
speaker as one. Everything else is known by its feature, as the reviewed table has it, and by the word that a loss of it
has. They are the same but for what one language alone can say: that is lost by its own name.
"""

import base64
import json
from collections.abc import Iterator

from msgspec import Raw, Struct

from gateway.wire.ir import (
    Ask,
    Block,
    Cache,
    Foreign,
    Media,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from tests.conformance.recorded.claims import parsed

Said = tuple[str, str, object]
Known = tuple[str, str]
FILES = {"image": "images", "document": "documents", "audio": "audio", "video": "video"}
_NO_ARGUMENTS: tuple[object, ...] = (None, {}, {"type": "object"})
_EMPTY: tuple[object, ...] = (None, "", [], {}, (), False)


class Facts(Struct, frozen=True):
    """`system`, `said`, `tools` (names) and `stream` are never lost; `texts` are those of `said`, each by itself."""

    system: str
    said: list[Said]
    texts: list[str]
    tools: list[str]
    stream: bool
    others: dict[Known, object]


def facts(ask: Ask) -> Facts:
    """The facts of a request."""
    conversation = list(_conversation(ask.messages))
    return Facts(
        system="".join(text.text for text in ask.system),
        said=_merged(conversation),
        texts=[str(what) for kind, _, what in conversation if kind == "text"],
        tools=[tool.name for tool in ask.tools if isinstance(tool, Tool)],
        stream=ask.stream,
        others={known: value for known, value in _others(ask) if value not in _EMPTY},
    )


def is_all_spoken(said: Facts, now: Facts) -> bool:
    """Whether every text is still there and nothing else, whoever speaks it: system turns may have become others."""
    there = _bare(now.system, *now.texts)
    return all(_bare(text) in there for text in (said.system, *said.texts)) and len(there) == len(
        _bare(said.system, *said.texts)
    )


def _bare(*texts: str) -> str:
    """Texts as one, without white space."""
    return "".join("".join(text.split()) for text in texts)


# --- the conversation -------------------------------------------------------------------------------------------------


def _conversation(turns: list[Turn]) -> Iterator[Said]:
    calls: list[str] = []
    for turn in turns:
        for block in turn.content:
            match block:
                case Text(text=text) | Refusal(text=text):
                    yield "text", turn.role, text
                case ToolCall():
                    calls.append(block.id)
                    yield "call", block.name, _plain(parsed(block.arguments))
                case ToolResult():
                    # Ids may be others; which call is meant may not.
                    meant = str(_last(calls, block.call_id))
                    yield "result", meant, _plain(parsed("".join(_texts(block.content))))
                case _:
                    pass


def _last(calls: list[str], call_id: str) -> int:
    return max((at for at, known in enumerate(calls) if known == call_id), default=-1)


def _texts(blocks: list[Block]) -> Iterator[str]:
    for block in blocks:
        if isinstance(block, Text):
            yield block.text


def _merged(said: list[Said]) -> list[Said]:
    merged: list[Said] = []
    for kind, who, what in said:
        if kind == "text" and merged and merged[-1][:2] == ("text", who):
            merged[-1] = ("text", who, f"{merged[-1][2]}{what}")
        elif kind != "text" or what:
            merged.append((kind, who, what))
    return merged


def _plain(value: object) -> object:
    """A JSON value in a form in which equal ones are equal, whatever the order of their fields."""
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value


# --- everything else --------------------------------------------------------------------------------------------------


def _others(ask: Ask) -> Iterator[tuple[Known, object]]:
    for name, raw in ask.other.items():
        yield ("own_fields", name), _plain(_value(raw))
    for tool in ask.tools:
        if isinstance(tool, Foreign):
            yield ("own_tools", tool.kind), _plain(_value(tool.raw))
    yield from _own_blocks(ask)
    for word, value in _settings(ask):
        yield (word, word), value


def _own_blocks(ask: Ask) -> Iterator[tuple[Known, object]]:
    found: dict[str, list[object]] = {}
    for turn in ask.messages:
        for block in turn.content:
            if isinstance(block, Foreign):
                found.setdefault(block.kind, []).append(_plain(_value(block.raw)))
    yield from ((("own_blocks", kind), held) for kind, held in found.items())


def _settings(ask: Ask) -> Iterator[tuple[str, object]]:
    for name, number in ask.sampling.items():
        yield name, _value(number)
    yield "max_tokens", ask.max_tokens
    yield "stop", ask.stop
    yield "logprobs", None if ask.logprobs is None else [ask.logprobs]
    yield "n", ask.n if ask.n != 1 else None
    yield "user", ask.user
    yield "metadata", ask.metadata
    yield "service_tier", ask.service_tier
    yield "cache_key", ask.cache_key
    yield from _thinking(ask)
    yield from _format(ask)
    yield from _choice(ask)
    yield from _tools(ask)
    yield from _blocks(ask)
    yield from _marks(ask)


def _thinking(ask: Ask) -> Iterator[tuple[str, object]]:
    effort = ask.thinking
    if effort is not None:
        yield "thinking", [effort.level, effort.tokens] if effort.level or effort.tokens is not None else None
        yield "thinking.shown", effort.shown


def _format(ask: Ask) -> Iterator[tuple[str, object]]:
    wanted = ask.format
    if wanted is not None:
        yield "format", [_plain(_value(wanted.schema)) if wanted.schema is not None else "json"]
        yield "format.name", [wanted.name, wanted.description] if wanted.name or wanted.description else None
        yield "format.strict", wanted.strict


def _choice(ask: Ask) -> Iterator[tuple[str, object]]:
    choice = ask.choice
    if choice is not None:
        yield "tool_choice", choice.mode if choice.mode != "auto" else None
        yield "tool_choice.names", list(choice.names)
        yield "tool_choice.parallel", None if choice.parallel is not False else "no"


def _tools(ask: Ask) -> Iterator[tuple[str, object]]:
    """Of each tool, by its name, what is said of it."""
    own = [tool for tool in ask.tools if isinstance(tool, Tool)]
    for word, told in (
        ("tools.description", {tool.name: tool.description for tool in own}),
        ("tools.schema", {tool.name: _schema(tool.schema) for tool in own}),
        ("tools.strict", {tool.name: tool.strict for tool in own}),
    ):
        yield word, {name: what for name, what in told.items() if what}


def _schema(schema: Raw | None) -> object:
    value = None if schema is None else _value(schema)
    if isinstance(value, dict):
        value = {name: held for name, held in value.items() if held not in ([], {}) or name not in _OFTEN_EMPTY}
    return "" if value in _NO_ARGUMENTS else _plain(value)


_OFTEN_EMPTY = ("properties", "required")


def _blocks(ask: Ask) -> Iterator[tuple[str, object]]:
    """Blocks that aren't said, by their words: the same kind in its order."""
    found: dict[str, list[object]] = {}
    for turn in ask.messages:
        if turn.name:
            found.setdefault("name", []).append(turn.name)
        for block in turn.content:
            for word, what in _block(block):
                found.setdefault(word, []).append(what)
    yield from found.items()


def _block(block: Block, inside: str = "") -> Iterator[tuple[str, object]]:
    match block:
        case Media():
            yield from _media(block, inside)
        case Thinking():
            yield "thinking.blocks", [block.text, block.signature, block.redacted]
        case ToolCall(signature=signature) if signature:
            yield "thinking.signature", signature
        case ToolResult():
            if block.is_error:
                yield "tool_results.error", "yes"
            for inner in block.content:
                yield from _block(inner, "tool_results.")
        case Refusal():
            yield "refusal", block.text
        case Text() if block.citations:
            yield "citations", [citation.url or citation.title for citation in block.citations]
        case _:
            pass


def _media(block: Media, inside: str) -> Iterator[tuple[str, object]]:
    word = FILES[block.kind]
    if block.file:
        yield "files", block.file
    else:
        yield f"{inside}{word}", _held(block)
    if block.detail not in {"", "auto"}:
        yield "images.detail", block.detail
    if block.title or block.context:
        yield "documents.title", [block.title, block.context]
    if block.cites:
        yield "documents.citations", "yes"


def _held(block: Media) -> str:
    """What is held; a document of text as that, whether it was said as base64 or not."""
    if block.data and block.media_type.startswith("text/"):
        return base64.b64decode(block.data).decode(errors="replace")
    return block.data or block.url or block.text


def _marks(ask: Ask) -> Iterator[tuple[str, object]]:
    """Marks of the cache: how many, and how long each is to be kept."""
    marked: list[Cache] = [one.cache for one in [*ask.system, *ask.tools] if not isinstance(one, Foreign) and one.cache]
    for turn in ask.messages:
        marked += [block.cache for block in turn.content if isinstance(block, _MARKABLE) and block.cache is not None]
    if ask.cache is not None:
        marked.append(ask.cache)
    yield "cache", len(marked) or None
    ttls = [mark.ttl for mark in marked]
    yield "cache.ttl", ttls if any(ttls) else None


_MARKABLE = (Text, Media, ToolCall, ToolResult)


def _value(raw: Raw | None) -> object:
    """A raw slice as a value."""
    return None if raw is None else json.loads(bytes(raw))
