"""One event of a messages stream, or one whole message, as far as it must be known (platform.claude.com, Streaming)."""

from typing import Final

from msgspec import Raw, Struct, ValidationError, convert
from msgspec.json import Decoder

from gateway.features import Usage

UNSAID: Final = Raw(b"null")
# Above this no model can have used anything (reliability, row F38).
MOST_TOKENS: Final = 1_000_000_000


class Details(Struct, gc=False):
    """What of the output was thought."""

    thinking_tokens: int | None = None


class Spent(Struct, gc=False):
    """A `usage` object; `input_tokens` leaves out what was read from a cache or written to one."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: Details | None = None

    def over(self, earlier: "Spent") -> "Spent":
        """These counts, and the earlier ones where these say nothing: counts are of the whole answer so far."""
        return Spent(
            self.input_tokens if self.input_tokens is not None else earlier.input_tokens,
            self.output_tokens if self.output_tokens is not None else earlier.output_tokens,
            self.cache_read_input_tokens
            if self.cache_read_input_tokens is not None
            else earlier.cache_read_input_tokens,
            self.cache_creation_input_tokens
            if self.cache_creation_input_tokens is not None
            else earlier.cache_creation_input_tokens,
            self.output_tokens_details or earlier.output_tokens_details,
        )

    def usage(self) -> Usage | None:
        """In our words; None where nothing was said, or what no model can have used."""
        if self.input_tokens is None and self.output_tokens is None:
            return None
        read, written = self.cache_read_input_tokens or 0, self.cache_creation_input_tokens or 0
        plain, output = self.input_tokens or 0, self.output_tokens or 0
        if not 0 <= min(plain, output, read, written) <= max(plain, output, read, written) <= MOST_TOKENS:
            return None
        thought = self.output_tokens_details.thinking_tokens if self.output_tokens_details is not None else None
        return Usage(plain + read + written, output, read, written, min(max(thought or 0, 0), output))


class Part(Struct, gc=False):
    """A delta, or the start of a content block. Tool input comes as `partial_json`."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class Message(Struct, gc=False):
    """A whole answer, or the beginning of a streamed one. `input_tokens` alone is the answer to a count."""

    type: str = ""
    content: list[Raw] | None = None
    stop_reason: str | None = None
    usage: Spent | None = None
    error: Raw = UNSAID
    input_tokens: int | None = None


class Event(Struct, gc=False):
    type: str = ""
    delta: Part | None = None
    content_block: Part | None = None
    message: Message | None = None
    usage: Spent | None = None
    error: Raw = UNSAID


_event: Final = Decoder(Event).decode
_message: Final = Decoder(Message).decode
_anything: Final = Decoder(object).decode
# Blocks that begin empty and say something only as they grow.
_GROWING: Final = frozenset(("text", "thinking"))


def read_event(payload: bytes) -> Event:
    """An event, or its type alone where it doesn't fit. ValueError or RecursionError where it is no object."""
    try:
        return _event(payload)
    except ValidationError:
        return convert({"type": _type(payload)}, Event)


def read_message(body: bytes) -> Message:
    """A whole answer. ValueError or RecursionError where it is no object; what doesn't fit the types is left out."""
    try:
        return _message(body)
    except ValidationError:
        fields = _anything(body)
        if not isinstance(fields, dict):
            raise
        content, usage = fields.get("content"), fields.get("usage")
        return Message(
            type=_type(body),
            content=[UNSAID] * len(content) if isinstance(content, list) else None,
            stop_reason=reason if isinstance(reason := fields.get("stop_reason"), str) else None,
            usage=_spent(usage) if isinstance(usage, dict) else None,
        )


def says_something(event: Event) -> bool:
    """Whether the answer has begun with this event (HTTP.md, First content): content, a tool's call, or its end."""
    if event.type == "content_block_start":
        block = event.content_block
        return block is not None and (block.type not in _GROWING or bool(block.text or block.thinking))
    if event.type == "content_block_delta":
        delta = event.delta
        return delta is None or bool(delta.text or delta.thinking or delta.partial_json)
    return event.type == "message_delta" and event.delta is not None and bool(event.delta.stop_reason)


def _type(body: bytes) -> str:
    fields = _anything(body)
    kind = fields.get("type") if isinstance(fields, dict) else None
    if not isinstance(fields, dict):
        raise ValidationError("Expected an object")
    return kind if isinstance(kind, str) else ""


def _spent(fields: dict[str, object]) -> Spent:
    counts = {name: fields.get(name) for name in Spent.__struct_fields__}
    return convert({name: count for name, count in counts.items() if type(count) is int}, Spent)
