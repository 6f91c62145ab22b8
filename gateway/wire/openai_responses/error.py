"""How a response that failed is told: inside a stream, since an answer that is whole has a status of its own."""

from typing import Final

from gateway.errors import GatewayError, UpstreamBroken, UpstreamError
from gateway.wire import openai_error
from gateway.wire.openai_responses.parts import Written

FAILED: Final = "response.failed"


def error_object(error: GatewayError) -> Written:
    """The `error` of a failed response. Codex tries again unless its code says that it can't help."""
    return {"code": error.reason, "message": error.message}


def failure_in(told: bytes) -> UpstreamError:
    """What an event that tells an error means, or a response that holds one."""
    return openai_error.read_inside(told)


def cancelled() -> UpstreamError:
    return UpstreamBroken("The upstream gave up its answer.", code="upstream_error")
