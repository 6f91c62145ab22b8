"""What callers bring from other gateways: fields and headers of OpenRouter, LiteLLM, Portkey and Cloudflare.

They may narrow the places and order them, never add one, and every model they name must be the key's to call. A name
that is recognised and not acted on is taken out of the request and declared in `x-gateway-dropped`.
Sources: openrouter.ai/docs (provider routing, model routing), docs.litellm.ai (reliability, tags),
portkey.ai/docs (headers), developers.cloudflare.com/ai-gateway (headers).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Raw, Struct, ValidationError
from msgspec.json import Decoder, decode, encode

from gateway.errors import BadRequest
from gateway.features import Request
from gateway.settings.shape import Target
from gateway.upstream.catalogue import Place

SOURCES: Final = ("openrouter", "litellm", "portkey", "cloudflare")
_FIELDS: Final[Mapping[str, str]] = {
    "models": "openrouter",
    "provider": "openrouter",
    "route": "openrouter",
    "transforms": "openrouter",
    "fallbacks": "litellm",
    "context_window_fallbacks": "litellm",
}
_HEADERS: Final[Mapping[bytes, str]] = {
    b"x-litellm-timeout": "litellm",
    b"x-litellm-tags": "litellm",
    b"x-portkey-metadata": "portkey",
    b"x-portkey-trace-id": "portkey",
    b"x-portkey-request-timeout": "portkey",
    b"cf-aig-cache-ttl": "cloudflare",
    b"cf-aig-cache-key": "cloudflare",
    b"cf-aig-skip-cache": "cloudflare",
    b"cf-aig-request-timeout": "cloudflare",
}
# Header -> how many of its units are a second.
_TIMEOUTS: Final[Mapping[bytes, float]] = {
    b"x-litellm-timeout": 1.0,
    b"x-portkey-request-timeout": 1000.0,
    b"cf-aig-request-timeout": 1000.0,
}
_LITELLM_TAGS: Final = "metadata.tags"
_MOST_NAMES: Final = 16
_NAMES: Final = frozenset(_FIELDS)
_HEADER_NAMES: Final = frozenset(_HEADERS)


class _MaxPrice(Struct):
    """US dollars a million tokens."""

    prompt: float | str | None = None
    completion: float | str | None = None


class _Provider(Struct):
    order: list[str] | None = None
    only: list[str] | None = None
    ignore: list[str] | None = None
    sort: str | None = None
    max_price: _MaxPrice | None = None


class Borrowed(Struct):
    """What a request brought along: models to fall back to, how to narrow and order, when to give up (seconds).

    `dropped` names what was recognised and has no effect.
    """

    models: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    cheapest: bool = False
    usd_per_mtok_in: float | None = None
    usd_per_mtok_out: float | None = None
    timeout_s: float | None = None
    dropped: tuple[str, ...] = ()


# What a million tokens in and out cost at a target; None where no price is known.
PriceOf = Callable[[Target], tuple[float, float] | None]

_provider: Final = Decoder(_Provider).decode
_names: Final = Decoder(list[str | dict[str, object]]).decode


def brings(request: Request, headers: Mapping[bytes, bytes]) -> bool:
    """Whether there is anything to look at: nearly always there isn't."""
    fields = request.fields
    return (
        not _NAMES.isdisjoint(fields)
        or not _HEADER_NAMES.isdisjoint(headers)
        or ("metadata" in fields and b'"tags"' in bytes(fields["metadata"]))
    )


def borrow(request: Request, headers: Mapping[bytes, bytes], on: frozenset[str]) -> Borrowed:
    """Take what was brought out of the request; what comes from a gateway that isn't `on` is dropped.

    BadRequest where a name that is on holds what it can't.
    """
    found = Borrowed()
    dropped: list[str] = []
    for name, source in _FIELDS.items():
        value = request.fields.pop(name, None)
        if value is not None and not (source in on and _take(found, name, value)):
            dropped.append(name)
    if _without_tags(request):
        dropped.append(_LITELLM_TAGS)
    for header, source in _HEADERS.items():
        said = headers.get(header)
        if said is None:
            continue
        if source in on and header in _TIMEOUTS:
            found.timeout_s = _seconds(header, said)
        else:
            dropped.append(header.decode())
    found.dropped = tuple(dropped)
    return found


def narrow(places: Sequence[Place], borrowed: Borrowed, price_of: PriceOf) -> tuple[Place, ...]:
    """The places a caller still allows, in the order he asks for. BadRequest where none is left."""
    left = [place for place in places if _allowed(place, borrowed, price_of)]
    if places and not left:
        raise BadRequest(
            "No backend of this model is left by 'provider'.", code="unsupported_feature", param="provider"
        )
    if borrowed.cheapest:
        left.sort(key=lambda place: sum(price_of(place.target) or (float("inf"),)))
    if borrowed.order:
        wanted = borrowed.order
        left.sort(
            key=lambda place: min((at for at, name in enumerate(wanted) if _is(place, name)), default=len(wanted))
        )
    return tuple(left)


def _take(found: Borrowed, name: str, value: Raw) -> bool:
    """Keep what a field says; False where it has no effect here."""
    if bytes(value) == b"null":
        return True
    if name in ("models", "fallbacks"):
        found.models += _model_names(name, value)
        return True
    if name != "provider":
        return False
    try:
        asked = _provider(value)
        limit = asked.max_price or _MaxPrice()
        found.usd_per_mtok_in = None if limit.prompt is None else float(limit.prompt)
        found.usd_per_mtok_out = None if limit.completion is None else float(limit.completion)
    except ValueError as error:  # a ValidationError is one
        raise BadRequest("The field 'provider' can't be read.", code="invalid_type", param="provider") from error
    found.order, found.only, found.ignore = map(_few, (asked.order, asked.only, asked.ignore))
    found.cheapest = asked.sort == "price"
    return True


def _model_names(field: str, value: Raw) -> tuple[str, ...]:
    """Models to fall back to. LiteLLM's may be objects with the model inside."""
    try:
        rows = _names(value)
    except ValidationError as error:
        raise BadRequest(f"The field '{field}' must be a list of models.", code="invalid_type", param=field) from error
    names = [row if isinstance(row, str) else row.get("model") for row in rows[:_MOST_NAMES]]
    return tuple(name for name in names if isinstance(name, str))


def _few(names: Iterable[str] | None) -> tuple[str, ...]:
    return tuple(map(_plain, names or ()))[:_MOST_NAMES]


def _plain(name: str) -> str:
    """`Google Vertex`, `google-vertex` and `google_vertex` are one."""
    return name.lower().replace("-", "_").replace(" ", "_").partition("/")[0]


def _is(place: Place, name: str) -> bool:
    backend = place.target.backend
    return name in (_plain(backend.provider.name), _plain(backend.name))


def _allowed(place: Place, borrowed: Borrowed, price_of: PriceOf) -> bool:
    if borrowed.only and not any(_is(place, name) for name in borrowed.only):
        return False
    if any(_is(place, name) for name in borrowed.ignore):
        return False
    if borrowed.usd_per_mtok_in is None and borrowed.usd_per_mtok_out is None:
        return True
    price = price_of(place.target)
    # What costs nobody knows what is not known to be cheap enough.
    return (
        price is not None
        and (borrowed.usd_per_mtok_in is None or price[0] <= borrowed.usd_per_mtok_in)
        and (borrowed.usd_per_mtok_out is None or price[1] <= borrowed.usd_per_mtok_out)
    )


def _without_tags(request: Request) -> bool:
    """Take LiteLLM's tags, a list, out of `metadata`, whose values are strings in OpenAI's language."""
    metadata = request.fields.get("metadata")
    if metadata is None or b'"tags"' not in bytes(metadata):
        return False
    inside = decode(metadata)
    if not isinstance(inside, dict) or not isinstance(inside.get("tags"), list):
        return False
    del inside["tags"]
    if inside:
        request.fields["metadata"] = Raw(encode(inside))
    else:
        del request.fields["metadata"]
    return True


def _seconds(header: bytes, said: bytes) -> float:
    name = header.decode()
    try:
        seconds = float(said) / _TIMEOUTS[header]
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise BadRequest(f"The header '{name}' must be a positive number.", code="invalid_header")
    return seconds
