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
    """A request body as far as it was read: its top-level fields as raw JSON slices, and what we act on.

    `query` is the address's, raw. `inner` is the inner form, once a bridge has needed it (gateway/wire/ir.py, Ask).
    """

    fields: dict[str, Raw]
    model: str
    stream: bool = False
    wants_usage: bool = False
    query: str = ""
    inner: object = None


class Whole(Struct, frozen=True):
    """What a whole answer says of itself. `body` is what the caller gets instead, where he speaks another language.

    `lost` names what that body could not carry.
    """

    usage: Usage | None = None
    finish: str = ""
    body: bytes | None = None
    lost: tuple[str, ...] = ()
