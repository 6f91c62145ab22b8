"""The exception tree: whose fault it is first, then what may be done about it.

Each class carries its facts as data: the HTTP `status`, a stable `code`, whether another place may be tried, whether
the failure speaks against the place that failed, and whether the caller's connection must end. Messages are our own
constants: they never hold what a caller or an upstream sent (reliability 0.1). Each wire maps the kinds to its own
error shape once.
"""

from typing import ClassVar, Final

# The code of a request that nobody may serve where it must stay; with a Bug, of one that was stopped on its way out.
RESIDENCY: Final = "residency_violation"


class GatewayError(Exception):
    """Anything that ends a request other than with its answer."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    try_elsewhere: ClassVar[bool] = False
    hurts_health: ClassVar[bool] = False
    closes: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = code or self.code
        self.param = param
        self.retry_after_s = retry_after_s
        self.headers = headers

    @property
    def answer_status(self) -> int:
        """The HTTP status the caller is given."""
        return self.status


# --- the caller's -----------------------------------------------------------------------------------------------------


class CallerError(GatewayError):
    """The request can't be served as it stands, here or anywhere."""

    status = 400
    code = "bad_request"


class BadRequest(CallerError):
    code = "invalid_request"


class UnsupportedFeature(BadRequest):
    """What was asked can't be said in the language of the place that would serve it."""

    code = "unsupported_feature"


class MalformedHttp(CallerError):
    """The bytes aren't HTTP we accept; where the next request starts is unknown, so the connection ends."""

    code = "malformed_http"
    closes = True


class Unauthorized(CallerError):
    status = 401
    code = "invalid_api_key"


class Forbidden(CallerError):
    status = 403
    code = "model_not_allowed"


class UnknownModel(CallerError):
    status = 404
    code = "model_not_found"


class UnknownRoute(CallerError):
    status = 404
    code = "unknown_route"


class WrongMethod(CallerError):
    status = 405
    code = "method_not_allowed"


class ReceiveTimeout(CallerError):
    status = 408
    code = "request_timeout"
    closes = True


class TooLarge(CallerError):
    status = 413
    code = "request_too_large"
    closes = True


class UriTooLong(CallerError):
    status = 414
    code = "uri_too_long"
    closes = True


class UnsupportedMedia(CallerError):
    status = 415
    code = "unsupported_media_type"


class ExpectationFailed(CallerError):
    status = 417
    code = "expectation_failed"
    closes = True


class RateLimited(CallerError):
    status = 429
    code = "rate_limit_exceeded"


class HeadersTooLarge(CallerError):
    status = 431
    code = "headers_too_large"
    closes = True


class VersionNotSupported(CallerError):
    status = 505
    code = "http_version_not_supported"
    closes = True


class LoopDetected(CallerError):
    status = 508
    code = "loop_detected"


class CallerLeft(CallerError):
    """Nobody is there to read the answer; nothing is ever written for it."""

    status = 499
    code = "caller_left"


# --- an upstream's ----------------------------------------------------------------------------------------------------


class UpstreamError(GatewayError):
    """One attempt at one place failed; `target` names it in logs and explain, never to callers."""

    status = 502
    code = "upstream_error"
    try_elsewhere = True
    hurts_health = True

    def __init__(
        self,
        message: str,
        *,
        target: str = "",
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        upstream_status: int = 0,
    ) -> None:
        super().__init__(message, code=code, param=param, retry_after_s=retry_after_s)
        self.target = target
        self.upstream_status = upstream_status


class UpstreamRefused(UpstreamError):
    """The caller's own 4xx, said by the backend: deterministic, so trying again can't help."""

    status = 400
    code = "invalid_request"
    try_elsewhere = False
    hurts_health = False

    @property
    def answer_status(self) -> int:
        return self.upstream_status or self.status


class UpstreamBusy(UpstreamError):
    """429, 503 with Retry-After, 529: alive, but not now. Cools the place and doesn't count as broken."""

    status = 429
    code = "rate_limit_exceeded"
    hurts_health = False


class UpstreamOverloaded(UpstreamBusy):
    """503 or 529: the whole place is full, whoever asks."""

    status = 503
    code = "overloaded"


class UpstreamDenied(UpstreamError):
    """401 or 403 of our own key; the caller is never told to change his."""

    code = "upstream_denied"


class UpstreamUnavailableHere(UpstreamError):
    """The provider doesn't serve the country this POP calls from: true here, and no fault of the place or our key."""

    code = "upstream_unavailable_here"
    hurts_health = False


class UpstreamSlow(UpstreamError):
    status = 504
    code = "upstream_timeout"


class UpstreamUnreachable(UpstreamError):
    """Refused, no such host, TLS failed: nothing was sent."""

    code = "upstream_unreachable"


class UpstreamBroken(UpstreamError):
    """5xx, a reset, an answer that is no answer."""

    code = "upstream_invalid_response"


class UpstreamTruncated(UpstreamBroken):
    """The answer ended without its end."""

    code = "upstream_truncated"


class UpstreamDisconnected(UpstreamBroken):
    code = "upstream_disconnected"


# --- ours -------------------------------------------------------------------------------------------------------------


class GatewayFault(GatewayError):
    """We can't, and it is nobody else's doing."""

    status = 503
    code = "overloaded"


class NoRoute(GatewayFault):
    """No place may or can serve this now."""

    code = "no_backend_available"


class Overloaded(GatewayFault):
    code = "overloaded"


class Draining(GatewayFault):
    code = "draining"


class DeadlineExceeded(GatewayFault):
    """The whole request ran out of its time."""

    status = 504
    code = "deadline_exceeded"


class Bug(GatewayFault):
    """Anything we didn't foresee, caught at the door only."""

    status = 500
    code = "internal_error"


# --- start-up ---------------------------------------------------------------------------------------------------------


class ConfigProblem(Exception):
    """One thing wrong in a configuration file, and its mend."""

    def __init__(self, file: str, line: int, key: str, what: str, mend: str = "") -> None:
        super().__init__(f"{file}:{line}: {key}: {what}" + (f"; {mend}" if mend else ""))
        self.file = file
        self.line = line
        self.key = key
        self.what = what
        self.mend = mend


class ConfigUnusable(Exception):
    """Every problem found in one reading of the configuration; exit code 78 at start, 1 in `gateway check`."""

    def __init__(self, problems: list[ConfigProblem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
