"""OpenAI's error shape, both ways: what a backend's refusal means, and how we say ours (reliability 0.1 and 5.3)."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.json import Decoder, Encoder

from gateway.errors import (
    Bug,
    CallerError,
    DeadlineExceeded,
    Forbidden,
    GatewayError,
    GatewayFault,
    RateLimited,
    UpstreamBroken,
    UpstreamBusy,
    UpstreamDenied,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamSlow,
    UpstreamUnavailableHere,
)
from gateway.wire.masking import mask

# A kind that isn't here is its nearest ancestor.
TYPES: Final[Mapping[type[GatewayError], str]] = {
    CallerError: "invalid_request_error",
    Forbidden: "permission_error",
    RateLimited: "rate_limit_error",
    UpstreamError: "server_error",
    UpstreamRefused: "invalid_request_error",
    UpstreamBusy: "rate_limit_error",
    UpstreamOverloaded: "service_unavailable_error",
    GatewayFault: "service_unavailable_error",
    DeadlineExceeded: "server_error",
    Bug: "server_error",
    GatewayError: "server_error",
}

# What a caller may be told of a backend's refusal of his own request (HTTP.md, Bodies and streams).
CALLERS_OWN: Final = frozenset((400, 404, 409, 413, 422))
# Our account is empty or closed (row F17): OpenAI's words, Moonshot's, Zhipu's number.
_BROKE: Final = frozenset(
    ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "exceeded_current_quota_error", "1113")
)
# OpenAI's word (403) for a country it doesn't serve; those who pass its words on keep it.
_NOT_HERE: Final = "unsupported_country_region_territory"
# Others say it in a sentence only, with 400: Gemini (also where it isn't served without billing, as its page on errors
# has it), and Bedrock for Anthropic's models. At its start, where no word of the caller's can stand.
_NOT_FROM_HERE: Final = re.compile(
    r"User location is not supported|Gemini API free tier is not available in your country"
    r"|Access to \w+ models is not allowed from unsupported countries"
)
# 498: Groq's flex tier is full.
_BUSY: Final = frozenset((429, 498))
_FULL: Final = frozenset((503, 529))
# 524: Cloudflare gave up waiting for the host behind it.
_SLOW: Final = frozenset((408, 504, 524))

# Some say 400 to a key of ours that isn't good (xAI, Gemini); the caller must not look for a mistake in his own.
_OUR_KEY: Final = re.compile(
    r"\b(?:incorrect|invalid|valid|missing|expired|no) api[ _-]?key"
    r"|\bapi[ _-]?key (?:is )?(?:not|invalid|expired|missing)",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"[A-Za-z0-9_.\[\]-]{1,128}\Z")
_SECONDS: Final = re.compile(rb"\d{1,9}(?:\.\d{1,9})?\Z")
_HTTP_DATE: Final = "%a, %d %b %Y %H:%M:%S GMT"
_MOST_DETAILS: Final = 8

_encode: Final = Encoder().encode
_read: Final = Decoder(object).decode


class Words(Struct, frozen=True):
    """What a backend says of its failure, the message fit for callers; "" and 0 where it doesn't say."""

    message: str = ""
    param: str = ""
    code: str = ""
    kind: str = ""
    status: int = 0


def read_retry_after(headers: Mapping[bytes, bytes]) -> float | None:
    """Seconds a backend asks us to wait; a date counts from the answer's own: clocks differ (RFC 9110, 10.2.3)."""
    for name, unit in ((b"retry-after-ms", 0.001), (b"retry-after", 1.0)):
        value = headers.get(name)
        if value is not None and _SECONDS.match(value):
            return float(value) * unit
    until, now = _date(headers.get(b"retry-after")), _date(headers.get(b"date"))
    return max(0.0, (until - now).total_seconds()) if until is not None and now is not None else None


def _date(value: bytes | None) -> datetime | None:
    """A date as HTTP writes it today (RFC 9110, 5.6.7); None for its two old forms and for what is none."""
    try:
        return datetime.strptime(value.decode("latin-1"), _HTTP_DATE) if value else None  # noqa: DTZ007  (all are GMT)
    except ValueError:
        return None


def read_error(status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
    """What a backend's answer outside 2xx means for this request."""
    words = read_words(body)
    if status not in CALLERS_OWN:
        return _failure(status, words, read_retry_after(headers))
    if _OUR_KEY.search(words.message):
        return _failure(401, words, None)
    if _is_not_here(words):
        return _not_here(status)
    return UpstreamRefused(
        words.message or "The model's server refused the request.",
        code=words.code or None,
        param=words.param or None,
        upstream_status=status,
    )


def read_inside(told: bytes) -> UpstreamError:
    """What an error told inside a 200 means: never the caller's to read, and the next place may not have it."""
    words = read_words(told)
    status = words.status
    said = f"{words.code} {words.kind}".lower()
    if "rate_limit" in said:
        status = 429
    elif "overloaded" in said:
        status = 529
    failure = _failure(status, words, None)
    if type(failure) is UpstreamBroken:
        failure.reason = "upstream_error"
    return failure


def _is_not_here(words: Words) -> bool:
    return words.code == _NOT_HERE or _NOT_FROM_HERE.match(words.message) is not None


def _not_here(status: int) -> UpstreamError:
    return UpstreamUnavailableHere("The upstream does not serve this place.", upstream_status=status)


def _failure(status: int, words: Words, retry_after_s: float | None) -> UpstreamError:
    if _is_not_here(words):
        return _not_here(status)
    if status in (401, 402, 403) or words.code in _BROKE or words.kind in _BROKE:
        return UpstreamDenied("The upstream refused our account.", upstream_status=status)
    if status in _BUSY:
        return UpstreamBusy("The upstream is rate limited.", retry_after_s=retry_after_s, upstream_status=status)
    if status in _FULL:
        return UpstreamOverloaded("The upstream is overloaded.", retry_after_s=retry_after_s, upstream_status=status)
    if status in _SLOW:
        return UpstreamSlow("The upstream took too long.", upstream_status=status)
    return UpstreamBroken("The upstream failed.", upstream_status=status)


def read_words(body: bytes) -> Words:
    """The words of an error body, in any of the shapes that speakers of OpenAI's language use."""
    try:
        said = _read(body)
        if isinstance(said, list) and said:
            said = said[0]  # Gemini's
        inner = said.get("error") if isinstance(said, dict) else None
        if not isinstance(inner, dict):
            inner = said if isinstance(said, dict) else {}
        message = mask(_sentence(said))
    except (ValueError, RecursionError):
        return Words()
    code = inner.get("code")
    status = next((n for n in map(inner.get, ("code", "status", "status_code")) if isinstance(n, int)), 0)
    return Words(
        message=message,
        param=_word(inner.get("param")),
        code=_word(code),
        kind=_word(inner.get("type")),
        status=status,
    )


def _sentence(said: object) -> str:
    """The first message in an error body; FastAPI's and Mistral's lists of details become one line."""
    if isinstance(said, str):
        return said
    if isinstance(said, list):
        return "; ".join(filter(None, map(_sentence, said[:_MOST_DETAILS])))
    if not isinstance(said, dict):
        return ""
    words = filter(None, map(_sentence, map(said.get, ("error", "message", "msg", "detail", "errors", "title"))))
    found = next(words, "")
    where = said.get("loc")
    return f"{'.'.join(map(str, where))}: {found}" if found and isinstance(where, list) else found


def _word(value: object) -> str:
    return value if isinstance(value, str) and _WORD.match(value) and mask(value) == value else ""


def type_of(error: GatewayError) -> str:
    """OpenAI's `type` for an error: the nearest ancestor's that has one."""
    return next(TYPES[kind] for kind in type(error).__mro__ if kind in TYPES)


def error_object(error: GatewayError) -> dict[str, str | None]:
    return {"message": error.message, "type": type_of(error), "param": error.param, "code": error.reason}


def write_error(error: GatewayError, request_id: str) -> bytes:
    """A whole error body. The request id goes in the header `x-request-id`, as OpenAI has it."""
    del request_id
    return _encode({"error": error_object(error)})


def error_frame(error: GatewayError, chunk_id: str, created: int, model: str, kind: str) -> bytes:
    """The last frame of a stream that broke: an error official clients raise on, and no [DONE] after it (5.3)."""
    choice: dict[str, object] = {"index": 0}
    if kind == "text_completion":
        choice["text"] = ""
    else:
        choice["delta"] = {}
    choice["finish_reason"] = "error"
    return b"data: %b\n\n" % _encode(
        {
            "id": chunk_id,
            "object": kind,
            "created": created,
            "model": model,
            "choices": [choice],
            "error": error_object(error),
        }
    )


def no_headers(error: GatewayError) -> tuple[tuple[str, str], ...]:
    """OpenAI's errors, and most others', say everything in their body."""
    del error
    return ()
