"""Which models a key may call, and what is known of them, in the shape of whoever asks.

OpenAI's unless the request says otherwise: by `anthropic-version` it is Anthropic's, by its path or a header of
Google's clients Gemini's. What isn't known is left out. A model has what some target of it has, since a request goes to
one that fits it; its price is that of the dearest target whose price is known.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import parse_qs, unquote

from msgspec import Struct
from msgspec.json import Encoder

from gateway.errors import BadRequest
from gateway.exchange import Call
from gateway.pipeline import Runtime
from gateway.settings.shape import Target
from gateway.stages.permit import may_call, unknown_model
from gateway.upstream.prices import Units
from gateway.wire import load

# Paths that end in the name of a model.
ONE: Final = ("/v1/models/", "/v1beta/models/")
CREATED: Final = 0  # when a model was made, which a gateway can't know
# Anthropic: "May be set to an epoch value if the release date is unknown" (platform.claude.com, Models API).
CREATED_AT: Final = "1970-01-01T00:00:00Z"
# Page sizes: usual, largest (platform.claude.com/docs/en/api/models-list; ai.google.dev/api/models).
ANTHROPIC_PAGE: Final = (20, 1000)
GEMINI_PAGE: Final = (50, 1000)

_ANTHROPIC: Final = b"anthropic-version"
# google-genai lists under /v1 by default, and sends both of these.
_GOOGLES: Final = frozenset((b"x-goog-api-client", b"x-goog-api-key"))
_BETA: Final = "/v1beta/"
_VERBS: Final = "/v1beta/models/"
# Our words for capabilities by Anthropic's.
_CAPABILITIES: Final = {
    "image_input": "vision",
    "pdf_input": "documents",
    "structured_outputs": "json_schema",
    "thinking": "thinking",
}

_encode: Final = Encoder().encode
Row = dict[str, object]


class Listed(Struct, frozen=True):
    """What is known of a model: tokens of its window (0 unknown), capabilities (none: unknown), places, price, verbs.

    `verbs` are Gemini's, which only its shape asks for.
    """

    name: str
    context_window: int
    capabilities: tuple[str, ...]
    regions: tuple[str, ...]
    price: tuple[Units, ...]
    verbs: Callable[[], list[str]]


def models(call: Call, runtime: Runtime) -> tuple[int, bytes]:
    """The models this key may call by a name of their own."""
    listed = [
        _listed(name, found.targets, runtime)
        for name in runtime.catalogue.names
        if may_call(call.caller, name) and (found := runtime.catalogue.find(name)) is not None
    ]
    if _is_geminis(call.path, call.headers):
        return 200, _encode(_gemini_page(listed, call.query))
    if _is_anthropics(call.headers):
        return 200, _encode(_anthropic_page(listed, call.query))
    return 200, _encode({"object": "list", "data": list(map(_openai, listed))})


def model(call: Call, runtime: Runtime) -> tuple[int, bytes]:
    """One model, by any of its names; unknown and forbidden ones answer alike."""
    asked = next(call.path[len(start) :] for start in ONE if call.path.startswith(start))
    found = runtime.catalogue.find(unquote(asked))
    if found is None or not may_call(call.caller, found.name):
        raise unknown_model()
    listed = _listed(found.name, found.targets, runtime)
    geminis, anthropics = _is_geminis(call.path, call.headers), _is_anthropics(call.headers)
    return 200, _encode(_gemini(listed) if geminis else _anthropic(listed) if anthropics else _openai(listed))


def asker(path: str, headers: Mapping[bytes, bytes]) -> str:
    """The language of who asks for models: three have the same path for it."""
    if _is_geminis(path, headers):
        return "gemini"
    return "anthropic_messages" if _is_anthropics(headers) else "openai_chat"


def _is_geminis(path: str, headers: Mapping[bytes, bytes]) -> bool:
    return path.startswith(_BETA) or not _GOOGLES.isdisjoint(headers)


def _is_anthropics(headers: Mapping[bytes, bytes]) -> bool:
    return _ANTHROPIC in headers


def _listed(name: str, targets: tuple[Target, ...], runtime: Runtime) -> Listed:
    prices = runtime.settler.prices
    return Listed(
        name,
        max(map(prices.context_window, targets)),
        _each(capability for target in targets for capability in target.capabilities),
        _each(target.backend.region for target in targets),
        max(map(prices.tiers, targets), key=_usd),
        lambda: _verbs(name, runtime),
    )


def _each(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, words)))


def _usd(tiers: tuple[Units, ...]) -> float:
    """By what the dearest is found; no price is the least."""
    return tiers[-1].usd_in + tiers[-1].usd_out if tiers else -1.0


def _verbs(name: str, runtime: Runtime) -> list[str]:
    """What may be done with a model in Gemini's language."""
    verbs = {
        pattern.after.removeprefix(":"): runtime.catalogue.plan(name, pattern.operation, wire).places
        for wire in ("gemini", "gemini_count")
        for pattern in load(wire).patterns
        if pattern.before == _VERBS
    }
    return [verb for verb, places in verbs.items() if places]


def _openai(listed: Listed) -> Row:
    row: Row = {"id": listed.name, "object": "model", "created": CREATED, "owned_by": "meridian"}
    if listed.context_window:
        row["context_window"] = listed.context_window
    if listed.capabilities:
        row["capabilities"] = listed.capabilities
    return row | _ours(listed)


def _ours(listed: Listed) -> Row:
    """What no vendor's shape has a field for."""
    row: Row = {}
    if listed.price:
        *above, usual = listed.price
        row["price"] = _price(usual)
        if above:
            row["price_above"] = [{"input_tokens": units.above, **_price(units)} for units in reversed(above)]
    if listed.regions:
        row["regions"] = listed.regions
    return row


def _price(units: Units) -> Row:
    """US dollars, by the million tokens; cached and written ones where they cost something else."""
    row: Row = {"usd_per_mtok_in": _million(units.usd_in), "usd_per_mtok_out": _million(units.usd_out)}
    if units.usd_cached != units.usd_in:
        row["usd_per_mtok_cached"] = _million(units.usd_cached)
    if units.usd_written != units.usd_in:
        row["usd_per_mtok_cache_written"] = _million(units.usd_written)
    if units.usd_request:
        row["usd_per_request"] = units.usd_request
    return row


def _million(usd: float) -> float:
    return round(usd * 1e6, 6)


def _anthropic(listed: Listed) -> Row:
    row: Row = {
        "type": "model",
        "id": listed.name,
        "display_name": listed.name,
        "created_at": CREATED_AT,
        "lifecycle": "active",  # "available for use": it is
    }
    if listed.context_window:
        row["max_input_tokens"] = listed.context_window
    if listed.capabilities:
        row["capabilities"] = {
            theirs: {"supported": ours in listed.capabilities} for theirs, ours in _CAPABILITIES.items()
        }
    return row | _ours(listed)


def _anthropic_page(listed: list[Listed], query: str) -> Row:
    asked = _asked(query)
    most = _size(asked, "limit", ANTHROPIC_PAGE)
    if most > ANTHROPIC_PAGE[1]:
        raise _wrong("limit", f"must be at most {ANTHROPIC_PAGE[1]}")
    if "after_id" in asked and "before_id" in asked:
        raise _wrong("before_id", "can't be given together with 'after_id'")
    if "before_id" in asked:
        end = _index(listed, asked, "before_id")
        start = max(0, end - most)
        more = start > 0
    else:
        start = _index(listed, asked, "after_id") + 1 if "after_id" in asked else 0
        end = start + most
        more = end < len(listed)
    rows = list(map(_anthropic, listed[start:end]))
    return {
        "data": rows,
        "has_more": more,
        "first_id": rows[0]["id"] if rows else None,
        "last_id": rows[-1]["id"] if rows else None,
    }


def _gemini(listed: Listed) -> Row:
    row: Row = {
        "name": f"models/{listed.name}",
        "displayName": listed.name,
        "supportedGenerationMethods": listed.verbs(),
    }
    if listed.context_window:
        row["inputTokenLimit"] = listed.context_window
    if listed.capabilities:
        row["thinking"] = "thinking" in listed.capabilities
        row["capabilities"] = listed.capabilities
    return row | _ours(listed)


def _gemini_page(listed: list[Listed], query: str) -> Row:
    asked = _asked(query)
    most = min(_size(asked, "pageSize", GEMINI_PAGE), GEMINI_PAGE[1])
    start = _index(listed, asked, "pageToken") + 1 if "pageToken" in asked else 0
    shown = listed[start : start + most]
    page: Row = {"models": list(map(_gemini, shown))}
    if start + most < len(listed):
        page["nextPageToken"] = shown[-1].name  # so that it holds through a reload
    return page


def _asked(query: str) -> dict[str, str]:
    """The query's fields; of several of a name the last."""
    return {name: values[-1] for name, values in parse_qs(query).items()}


def _size(asked: dict[str, str], name: str, page: tuple[int, int]) -> int:
    value = asked.get(name)
    if value is None:
        return page[0]
    if not (value.isascii() and value.isdigit()) or len(value) > 9 or int(value) == 0:
        raise _wrong(name, "must be a positive whole number")
    return int(value)


def _index(listed: list[Listed], asked: dict[str, str], name: str) -> int:
    """Where the model is that a page begins or ends beside."""
    for at, one in enumerate(listed):
        if one.name == asked[name]:
            return at
    raise _wrong(name, "names no model of this list")


def _wrong(name: str, what: str) -> BadRequest:
    return BadRequest(f"The query's '{name}' {what}.", code="invalid_value", param=name)
