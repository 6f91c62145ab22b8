"""Words that languages and decisions share."""

from msgspec import Raw, Struct


class Usage(Struct, frozen=True):
    """What an answer used, in tokens. `input_tokens` includes cached ones; `estimated` where we counted ourselves."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_written_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False


class Request(Struct):
    """A request body as far as it was read: its top-level fields as raw JSON slices, and what we act on."""

    fields: dict[str, Raw]
    model: str
    stream: bool = False
    wants_usage: bool = False


class Whole(Struct, frozen=True):
    """What a whole answer says of itself."""

    usage: Usage | None = None
    finish: str = ""
