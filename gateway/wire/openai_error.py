"""OpenAI's error shape, both ways: what a backend's refusal means, and how we say ours (reliability 0.1 and 5.3)."""

import re
from collections.abc import Mapping

from msgspec import DecodeError, Struct
from msgspec.json import Decoder, Encoder

from gateway.errors import (
    CallerError,
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
)

TYPES: dict[type[GatewayError], str] = {
    CallerError: "invalid_request_error",
    Forbidden: "permission_error",
    RateLimited: "rate_limit_error",
    UpstreamError: "server_error",
    UpstreamRefused: "invalid_request_error",
    UpstreamBusy: "rate_limit_error",
    UpstreamOverloaded: "service_unavailable_error",
    GatewayFault: "service_unavailable_error",
    GatewayError: "server_error",
}

# What a caller may be told of a backend's refusal of his own request (HTTP.md, Bodies and streams).
CALLERS_OWN = frozenset((400, 404, 409, 413, 422))
MESSAGE_BYTES = 2048
RETRY_AFTER_MOST_S = 60.0

_encode = Encoder().encode

_MASKS = (
    (re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s\"'<>]+"), "[url]"),
    (re.compile(r"\b(?:sk|pk|gsk|key|api|xai|nvapi|hf|AIza|Bearer)[-_ ][A-Za-z0-9_\-*.]{6,}"), "[key]"),
    (re.compile(r"\b(?:AIza|hf_|gsk_|AKIA|ya29\.)[A-Za-z0-9_\-]{8,}"), "[key]"),
    (re.compile(r"\b(?=[A-Za-z0-9_\-]*\d)(?=[A-Za-z0-9_\-]*[A-Za-z])[A-Za-z0-9_\-]{32,}\b"), "[key]"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), "[host]"),
    (re.compile(r"\b(?:[a-zA-Z0-9-]+\.)+(?:com|net|org|io|ai|dev|cloud|local|internal|svc|lan)(?::\d+)?\b"), "[host]"),
    (re.compile(r"\blocalhost(?::\d+)?\b"), "[host]"),
)
_WORD = re.compile(r"[A-Za-z0-9_.\[\]-]{1,128}\Z")


class _Inner(Struct):
    message: object = None
    type: object = None
    param: object = None
    code: object = None


class _Outer(Struct):
    error: _Inner | str | None = None
    message: object = None
    param: object = None
    code: object = None
    detail: object = None


_read = Decoder(_Outer)


def mask(text: str) -> str:
    """A backend's words without keys, addresses and hosts, cut to 2 KiB, on one line."""
    for pattern, word in _MASKS:
        text = pattern.sub(word, text)
    text = "".join(c if c.isprintable() else " " for c in text)
    return text.encode()[:MESSAGE_BYTES].decode(errors="ignore")


def read_retry_after(headers: Mapping[bytes, bytes]) -> float | None:
    """Seconds a backend asks us to wait; dates are left to nobody, since clocks differ."""
    for name, unit in ((b"retry-after-ms", 0.001), (b"retry-after", 1.0)):
        value = headers.get(name)
        if value is not None and value.isdigit() and len(value) < 10:
            return int(value) * unit
    return None


def read_error(status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
    """What a backend's answer outside 2xx means for this request."""
    words = _words_of(body)
    retry_after_s = read_retry_after(headers)
    if status == 429 and words.code in ("insufficient_quota", "billing_hard_limit_reached"):
        # Our account is empty: the caller is never told, and another place may serve him (row F17).
        return UpstreamDenied("The upstream refused our account.", upstream_status=status)
    if status == 429:
        return UpstreamBusy("The upstream is rate limited.", retry_after_s=retry_after_s, upstream_status=status)
    if status in (503, 529):
        return UpstreamOverloaded("The upstream is overloaded.", retry_after_s=retry_after_s, upstream_status=status)
    if status in (401, 402, 403):
        return UpstreamDenied("The upstream refused our credentials.", upstream_status=status)
    if status in CALLERS_OWN:
        return UpstreamRefused(
            words.message or "The model's server refused the request.",
            code=words.code or None,
            param=words.param or None,
            upstream_status=status,
        )
    if status in (408, 504):
        return UpstreamSlow("The upstream took too long.", upstream_status=status)
    return UpstreamBroken("The upstream failed.", upstream_status=status)


class _Words(Struct):
    message: str = ""
    param: str = ""
    code: str = ""


def _words_of(body: bytes) -> _Words:
    try:
        outer = _read.decode(body)
    except (DecodeError, RecursionError):
        return _Words()
    inner = outer.error
    if isinstance(inner, str):
        return _Words(message=mask(inner))
    if inner is None:
        inner = _Inner(message=outer.message or outer.detail, param=outer.param, code=outer.code)
    message = mask(inner.message) if isinstance(inner.message, str) else ""
    return _Words(message=message, param=_word(inner.param), code=_word(inner.code))


def _word(value: object) -> str:
    return value if isinstance(value, str) and _WORD.match(value) and mask(value) == value else ""


def type_of(error: GatewayError) -> str:
    """OpenAI's `type` for an error: the nearest ancestor that has one."""
    for kind in type(error).__mro__:
        if kind in TYPES:
            return TYPES[kind]
    return TYPES[GatewayError]


def error_object(error: GatewayError) -> dict[str, str | None]:
    return {"message": error.message, "type": type_of(error), "param": error.param, "code": error.reason}


def write_error(error: GatewayError, request_id: str) -> bytes:
    """A whole error body. The request id goes in the header `x-request-id`, as OpenAI has it."""
    del request_id
    return _encode({"error": error_object(error)})


def error_frame(error: GatewayError, chunk_id: str, created: int, model: str, kind: str) -> bytes:
    """The last frame of a chat stream that broke: an error official clients raise on, and no [DONE] after it."""
    choice: dict[str, object] = {"index": 0, "finish_reason": "error"}
    choice["text" if kind == "text_completion" else "delta"] = "" if kind == "text_completion" else {}
    body: dict[str, object] = {"id": chunk_id, "object": kind, "created": created, "model": model}
    return b"data: %b\n\n" % _encode({**body, "choices": [choice], "error": error_object(error)})
