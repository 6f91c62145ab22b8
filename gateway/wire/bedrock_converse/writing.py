"""Our blocks of content to Converse's, in requests and answers; reading.py says which stand for two."""

import re
from binascii import b2a_base64
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Raw
from msgspec.json import Decoder, Encoder

from gateway.wire.anthropic_messages.thought import seal
from gateway.wire.bedrock_converse.media import NAME, WORDS, Names, write_media
from gateway.wire.bedrock_converse.reading import DOUBLES, POINT, SIGNER, UNPARSED
from gateway.wire.ir import Block, Cache, Citation, Foreign, Media, Refusal, Text, Thinking, ToolCall, ToolResult
from gateway.wire.losses import Losses

Piece = Mapping[str, object]

_TTLS: Final = frozenset(("5m", "1h"))
# The API reference's patterns for toolUseId (ToolUseBlock).
_ID: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,64}\Z")
_NO_INPUT: Final = Raw(b"{}")
# What a tool's result can hold (API reference, ToolResultContentBlock).
_IN_RESULTS: Final = frozenset(("image", "document", "video"))

_encode: Final = Encoder().encode
_object: Final = Decoder(dict[str, Raw]).decode


def point(cache: Cache, losses: Losses, *, known: bool) -> list[Piece]:
    """A cache point, where the model knows any; one whose time Converse doesn't know stands for its default."""
    if not known:
        losses.dropped("cache")
        return []
    said = {"type": "default"}
    if cache.ttl in _TTLS:
        said["ttl"] = cache.ttl
    elif cache.ttl:
        losses.dropped("cache.ttl")
    return [{POINT: said}]


def input_of(arguments: str, losses: Losses) -> Raw:
    """A tool's input: the model's own JSON text where it is an object, else an object that holds the text.

    A call that no one could parse must not make every later turn of its conversation fail, which a 400 would.
    """
    if not arguments.strip():
        return _NO_INPUT
    try:
        _object(arguments)
    except (ValueError, RecursionError):
        losses.mapped("tools.arguments")
        return Raw(_encode({UNPARSED: arguments}))
    return Raw(arguments.encode())


def proof_of(thinking: Thinking) -> str:
    """What is sent back with a thought: its signature, or what hides it, with what else its origin needs."""
    if thinking.origin == NAME:
        return thinking.redacted or thinking.signature
    return seal(thinking, SIGNER)


def hidden(thinking: Thinking) -> Piece:
    """A thought that nobody may read; see reading.redacted."""
    proof = proof_of(thinking)
    if thinking.origin != NAME:
        proof = b2a_base64(proof.encode(), newline=False).decode()
    return {"reasoningContent": {"redactedContent": proof}}


def write_citation(citation: Citation, losses: Losses) -> Raw | None:
    """Where words have come from, by title, quote and address; None where none of them is known."""
    if citation.origin == NAME:
        return citation.raw
    said: dict[str, object] = {}
    if citation.title:
        said["title"] = citation.title
    if citation.quote:
        said["sourceContent"] = [{"text": citation.quote}]
    if citation.url:
        said["location"] = {"web": {"url": citation.url}}
    if not said:
        losses.dropped("citations")
        return None
    losses.mapped("citations")
    return Raw(_encode(said))


def _once(content: list[Block]) -> Iterator[tuple[Block, bool]]:
    """Each block, and whether the Foreign before it has said all of it."""
    told = False
    for block in content:
        yield block, told
        told = isinstance(block, Foreign) and block.origin == NAME and block.kind in DOUBLES


class Writing:
    """The blocks of one conversation. `asking`: they stand in a request, not in an answer.

    `own`: it was read from Converse. `caches`: the model that is asked takes cache points.
    """

    __slots__ = ("_asking", "_caches", "_ids", "_losses", "_names", "_own", "calls")

    def __init__(self, losses: Losses, *, asking: bool, own: bool = False, caches: bool = False) -> None:
        self._losses = losses
        self._asking = asking
        self._own = own
        self._caches = caches
        self._names = Names(losses)
        self._ids: dict[str, str] = {}
        self.calls: dict[str, None] = {}  # the names of the tools that were called, in order

    def blocks(self, content: list[Block], *, mine: bool = False, last: bool = False) -> list[Piece]:
        """`mine`: the assistant's turn. `last`: the turn that is to be answered, of which no file may be left out."""
        out: list[Piece] = []
        lone = len(content) == 1
        for block, told in _once(content):
            if told:
                pass
            elif isinstance(block, Text):
                if block.text or lone:
                    out.append(self._text(block))
            elif isinstance(block, ToolCall):
                out.append(self._call(block))
            elif isinstance(block, ToolResult):
                out.append(self._result(block))
            elif isinstance(block, Media):
                self._media(block, out, mine=mine, last=last)
            elif isinstance(block, Thinking):
                out += self._thought(block)
            elif isinstance(block, Refusal):
                self._losses.mapped("refusal")
                out.append({"text": block.text})
            elif block.origin == NAME:
                out.append(_object(block.raw))
            else:
                self._losses.dropped(block.kind)
            cache = self._mark_of(block)
            if cache is not None:
                out += point(cache, self._losses, known=self._caches and bool(out))
        return out

    def _mark_of(self, block: Block) -> Cache | None:
        """The mark on a block; one inside a tool's result stands after it, for inside none may be."""
        if isinstance(block, Thinking | Refusal | Foreign):
            return None
        if isinstance(block, ToolResult) and block.cache is None:
            inside = next(filter(None, map(self._mark_of, block.content)), None)
            if inside is not None:
                self._losses.mapped("cache")
            return inside
        return block.cache

    def point(self, cache: Cache) -> list[Piece]:
        return point(cache, self._losses, known=self._caches)

    def _text(self, text: Text) -> Piece:
        if not text.citations:
            return {"text": text.text}
        if self._asking and any(citation.origin != NAME for citation in text.citations):
            # A model that cites knows the places it cited by their index here, which others don't say.
            self._losses.dropped("citations")
            return {"text": text.text}
        written = [write_citation(citation, self._losses) for citation in text.citations]
        citations = [citation for citation in written if citation is not None]
        if not citations:
            return {"text": text.text}
        return {"citationsContent": {"content": [{"text": text.text}], "citations": citations}}

    def _call(self, call: ToolCall) -> Piece:
        if call.signature:
            self._losses.dropped("thinking.signature")
        self.calls[call.name] = None
        said = {"toolUseId": self._id(call.id), "name": call.name, "input": input_of(call.arguments, self._losses)}
        return {"toolUse": said}

    def _result(self, result: ToolResult) -> Piece:
        content: list[Piece] = []
        for block, told in _once(result.content):
            if told:
                continue
            if isinstance(block, Text | Refusal):
                if block.text:
                    content.append({"text": block.text})
            elif isinstance(block, Media):
                written = write_media(block, self._names, self._losses) if block.kind in _IN_RESULTS else None
                if written is not None:
                    content.append(written)
                else:
                    self._losses.dropped(f"tool_results.{WORDS[block.kind]}")
            elif isinstance(block, Foreign) and block.origin == NAME:
                content.append(_object(block.raw))
            else:
                self._losses.dropped(block.kind if isinstance(block, Foreign) else "tool_results")
        said: dict[str, object] = {"toolUseId": self._id(result.call_id), "content": content}
        if result.is_error:
            said["status"] = "error"
        return {"toolResult": said}

    def _id(self, call_id: str) -> str:
        """A call's id, as it was where Converse takes it, else one of ours for all of this conversation."""
        if self._asking and _ID.match(call_id):
            return call_id
        if not self._asking and call_id:
            return call_id
        return self._ids.setdefault(call_id, f"tooluse_{len(self._ids) + 1}")

    def _media(self, media: Media, out: list[Piece], *, mine: bool, last: bool) -> None:
        word = "files" if media.file else WORDS[media.kind]
        # No model on Bedrock takes back a file it made itself.
        strange = self._asking and mine and not self._own
        written = None if strange else write_media(media, self._names, self._losses)
        if written is not None:
            out.append(written)
        elif last:
            self._losses.refused(word)
        else:
            self._losses.dropped(word)

    def _thought(self, thinking: Thinking) -> list[Piece]:
        if self._asking and not (thinking.origin == NAME or (thinking.origin == SIGNER and proof_of(thinking))):
            self._losses.dropped("thinking.blocks")
            return []
        if thinking.redacted and not thinking.text:
            return [hidden(thinking)]
        said = {"text": thinking.text}
        proof = proof_of(thinking)
        if proof:
            said["signature"] = proof
        return [{"reasoningContent": {"reasoningText": said}}] if any(said.values()) else []
