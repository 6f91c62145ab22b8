"""The turns of a request, written from the inner form."""

import base64
import re
from collections.abc import Mapping
from typing import Final

from msgspec import DecodeError, Raw
from msgspec.json import Decoder, Encoder

from gateway.wire import ir
from gateway.wire.anthropic_messages.shapes import NAME
from gateway.wire.anthropic_messages.thought import is_proven
from gateway.wire.losses import Losses

# What a field's, or a whole block's, own words in this language were; see kept.py.
Placed = Mapping[str, Mapping[str, Raw]]
Said = dict[str, object]

_PDF: Final = "application/pdf"
_PLAIN: Final = "text/plain"
# Documents that are text under another name (Messages API, PlainTextSource takes text/plain alone).
_texts: Final = re.compile(r"text/|application/(?:json|xml|yaml|x-yaml|toml|javascript|x-ndjson|sql)\b").match
_odd: Final = re.compile(r"[^a-zA-Z0-9_-]")
MEDIA_WORDS: Final = {"image": "images", "document": "documents", "audio": "audio", "video": "video"}

_encode: Final = Encoder().encode
_object: Final = Decoder(dict[str, Raw]).decode
_anything: Final = Decoder(Raw).decode


class ContentOut:
    """Writes the blocks of one request. What was read from this language is written as it was, at its own place.

    `fetches`: who is asked fetches what an address names, and has what was stored with Anthropic.
    """

    __slots__ = ("_fetches", "_last", "_losses", "_own", "_placed")

    def __init__(self, ask: ir.Ask, placed: Placed, losses: Losses, *, fetches: bool = True) -> None:
        self._own = ask.origin == NAME
        self._fetches = fetches
        self._placed = placed
        self._losses = losses
        users = [at for at, turn in enumerate(ask.messages) if turn.role == "user"]
        self._last = users[-1] if users else -1

    def turns(self, turns: list[ir.Turn]) -> list[Said]:
        said = [one for at, turn in enumerate(turns) if (one := self._turn(turn, at)) is not None]
        return said if self._own else _merged(said)

    def texts(self, texts: list[ir.Text]) -> object:
        """The system prompt."""
        said = [self._placing(self._text(text), f"system[{at}]") for at, text in enumerate(texts)]
        return _shortest(said)

    def _turn(self, turn: ir.Turn, at: int) -> Said | None:
        place = f"messages[{at}]"
        role: str = turn.role
        if role == "system" and not self._own:
            # Only the newest models take one (Mid-conversation system messages): its words stand where they stood.
            self._losses.mapped("system")
            role = "user"
        if turn.name:
            self._losses.dropped("name")
        blocks = self._blocks(turn.content, f"{place}.content", turn.role, last=at == self._last)
        if not blocks and not (self._own and self._fetches):
            return None
        return {"role": role, "content": _shortest(blocks), **self._placed.get(place, {})}

    def _blocks(self, content: list[ir.Block], place: str, role: str, *, last: bool) -> list[object]:
        said: list[object] = []
        for at, block in enumerate(content):
            one = self._block(block, f"{place}[{at}]", role, last=last)
            if one is not None:
                said.append(self._placing(one, f"{place}[{at}]"))
        return said

    def _placing(self, said: Said | Raw, place: str) -> Said | Raw:
        """What Anthropic alone said at this place is put back."""
        kept = self._placed.get(place)
        if kept is None or isinstance(said, Raw):
            return said
        return kept.get("whole", {**said, **kept})

    def _block(self, block: ir.Block, place: str, role: str, *, last: bool) -> Said | Raw | None:
        match block:
            case ir.Text():
                # "text content blocks must contain non-whitespace text", they say; other languages have no such rule.
                return self._text(block) if self._own or block.text.strip() else None
            case ir.ToolCall():
                return self._call(block)
            case ir.ToolResult():
                return self._result(block, place, last=last)
            case ir.Media():
                return self._media(block, role, last=last)
            case ir.Thinking():
                return self._thought(block)
            case ir.Refusal():
                self._losses.mapped("refusal")
                return {"type": "text", "text": block.text} if block.text.strip() else None
            case _:
                if block.origin == NAME:
                    return block.raw
                self._losses.dropped(block.kind)
                return None

    def _text(self, text: ir.Text) -> Said:
        said: Said = {"type": "text", "text": text.text}
        cited = [one.raw for one in text.citations if one.origin == NAME]
        if len(cited) < len(text.citations):
            self._losses.dropped("citations")  # Anthropic checks that it made them itself
        if cited:
            said["citations"] = cited
        return marked(said, text.cache)

    def _call(self, call: ir.ToolCall) -> Said:
        if call.signature:
            self._losses.dropped("thinking.signature")
        said: Said = {
            "type": "tool_use",
            "id": tool_id(call.id),
            "name": call.name,
            "input": arguments(call.arguments, self._losses),
        }
        return marked(said, call.cache)

    def _result(self, result: ir.ToolResult, place: str, *, last: bool) -> Said:
        said: Said = {"type": "tool_result", "tool_use_id": tool_id(result.call_id)}
        said["content"] = _shortest(self._blocks(result.content, f"{place}.content", "user", last=last))
        if result.is_error:
            said["is_error"] = True
        return marked(said, result.cache)

    def _thought(self, thought: ir.Thinking) -> Said | None:
        """A thought goes back only to who signed it: Anthropic refuses any other, and any without its signature."""
        if not is_proven(thought, NAME):
            self._losses.dropped("thinking.blocks")
            return None
        if thought.redacted:
            return {"type": "redacted_thinking", "data": thought.redacted}
        return {"type": "thinking", "thinking": thought.text, "signature": thought.signature}

    def _media(self, media: ir.Media, role: str, *, last: bool) -> Said | None:
        sayable = media.kind in ("image", "document") and (role != "assistant" or self._own)
        stored = media.file and not (self._own and self._fetches)
        there = not stored and (self._fetches or not media.url)
        source = _source(media, self._losses) if sayable and there else None
        if source is None:
            word = "files" if sayable and stored else MEDIA_WORDS[media.kind]
            # What the question itself may be about is never left out of it.
            if last:
                self._losses.refused(word)
            self._losses.dropped(word)
            return None
        said: Said = {"type": media.kind, "source": source}
        if media.detail not in ("", "auto"):
            self._losses.dropped("images.detail")
        if media.kind == "document":
            _describe(said, media)
        return marked(said, media.cache)


def marked(said: Said, cache: ir.Cache | None) -> Said:
    if cache is not None:
        said["cache_control"] = {"type": "ephemeral", "ttl": cache.ttl} if cache.ttl else {"type": "ephemeral"}
    return said


def tool_id(told: str) -> str:
    """An id as Anthropic takes it (`^[a-zA-Z0-9_-]+$`); each other sign becomes its number."""
    return _odd.sub(lambda sign: f"_{ord(sign[0]):x}_", told)


def arguments(text: str, losses: Losses) -> Raw:
    """A call's arguments as an object, as `input` must be; what a model wrote otherwise stands inside one."""
    if not text or text.isspace():
        return Raw(ir.NO_ARGUMENTS.encode())
    try:
        _object(text)
    except (DecodeError, RecursionError):
        losses.mapped("tools.arguments")
        return Raw(_encode({"arguments": _value(text)}))
    return Raw(text.strip().encode())


def _value(text: str) -> Raw | str:
    try:
        return _anything(text)
    except (DecodeError, RecursionError):
        return text


def _source(media: ir.Media, losses: Losses) -> Said | None:
    """What a block consists of; None where Anthropic has no such source."""
    if media.url:
        return {"type": "url", "url": media.url}
    if media.file:
        return {"type": "file", "file_id": media.file}
    if media.kind == "image":
        return {"type": "base64", "media_type": media.media_type or "image/png", "data": media.data}
    if not media.data:
        return {"type": "text", "media_type": _PLAIN, "data": media.text}
    if not _texts(media.media_type):
        kind = media.media_type or _PDF
        return {"type": "base64", "media_type": kind, "data": media.data} if kind == _PDF else None
    try:
        text = base64.b64decode(media.data).decode()
    except ValueError:
        return None
    if media.media_type != _PLAIN:
        losses.mapped("documents")
    return {"type": "text", "media_type": _PLAIN, "data": text}


def _describe(said: Said, media: ir.Media) -> None:
    if media.title or media.name:
        said["title"] = media.title or media.name
    if media.context:
        said["context"] = media.context
    if media.cites:
        said["citations"] = {"enabled": True}


def _shortest(blocks: list[object] | list[Said | Raw]) -> object:
    """Content as a string where it is one plain text: the form that every host of this language reads."""
    if not blocks:
        return ""
    first = blocks[0]
    if len(blocks) == 1 and isinstance(first, dict) and first.keys() == {"type", "text"} and first["text"]:
        return first["text"]
    return blocks


def _merged(turns: list[Said]) -> list[Said]:
    """Turns that alternate, with the results of tools before all else: an assistant's calls are answered at once."""
    merged: list[Said] = []
    for turn in turns:
        if merged and merged[-1]["role"] == turn["role"]:
            merged[-1]["content"] = [*_listed(merged[-1]["content"]), *_listed(turn["content"])]
        else:
            merged.append(turn)
    for turn in merged:
        if turn["role"] == "user" and isinstance(turn["content"], list):
            turn["content"].sort(key=_is_no_result)
    return merged


def _listed(content: object) -> list[object]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def _is_no_result(block: object) -> bool:
    return not isinstance(block, dict) or block.get("type") != "tool_result"
