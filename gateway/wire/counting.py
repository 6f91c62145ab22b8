"""Counting the tokens of a request without answering it: whole, one number, in two languages."""

from collections.abc import Mapping
from functools import cache
from typing import Final, Protocol, cast

from msgspec import Raw
from msgspec.json import decode

from gateway.errors import GatewayError, UpstreamBroken, UpstreamError
from gateway.features import Request, Whole
from gateway.wire import PLAIN, Addressed, Pattern, Wire, openai_error, raw
from gateway.wire.codec import codec
from gateway.wire.dialect import Dialect, apply
from gateway.wire.ir import Ask
from gateway.wire.losses import Losses
from gateway.wire.opaque import OpaqueMeter

# Operation -> the language it is asked in.
COUNTS: Final[Mapping[str, str]] = {"count_tokens": "anthropic_messages", "gemini_count": "gemini"}


class CountCodec(Protocol):
    """A language that can ask for a count."""

    name: str

    def check_count(self, request: Request) -> None: ...

    def read_count(self, request: Request) -> Ask: ...

    def write_count_request(self, ask: Ask, model: str, losses: Losses) -> dict[str, Raw]: ...

    def name_model(self, fields: dict[str, Raw], model: str) -> None:
        """Put the model where a request of this language holds it."""

    def read_count_answer(self, body: bytes) -> int:
        """UpstreamError for an error told instead, ValueError or RecursionError where there is no count."""

    def write_count(self, tokens: int) -> bytes: ...

    def read_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError: ...

    def write_error(self, error: GatewayError, request_id: str) -> bytes: ...


class Counting:
    """Counts in the caller's language, by a backend of the same or of the other one."""

    error_headers = staticmethod(openai_error.no_headers)

    def __init__(
        self,
        inbound: CountCodec,
        outbound: CountCodec,
        *,
        paths: Mapping[str, str] | None = None,
        patterns: tuple[Pattern, ...] = (),
        passes: tuple[bytes, ...] = (),
    ) -> None:
        self._inbound = inbound
        self._outbound = outbound
        self.paths = paths or {}
        self.patterns = patterns
        self.passes = passes

    def read_request(self, body: bytes, addressed: Addressed = PLAIN) -> Request:
        fields = raw.read_fields(body)
        request = Request(fields, addressed.model or raw.read_model(fields), query=addressed.query)
        self._inbound.check_count(request)
        return request

    def write_request(
        self, request: Request, model: Raw, dialect: Dialect, *, ask_usage: bool
    ) -> tuple[bytes, list[str]]:
        del ask_usage
        losses = Losses()
        if self._inbound is self._outbound:
            fields = request.fields.copy()
            self._outbound.name_model(fields, decode(model, type=str))
        else:
            ask = self._inbound.read_count(request)
            fields = self._outbound.write_count_request(ask, decode(model, type=str), losses)
        changed = apply(dialect, fields)
        return raw.write_fields(fields), losses.names() + changed

    def read_whole(self, request: Request, content_type: str, body: bytes) -> Whole:
        del request
        raw.check_answer(content_type, body)
        try:
            tokens = self._outbound.read_count_answer(body)
        except (ValueError, RecursionError) as error:
            raise UpstreamBroken("The upstream's answer has no count.") from error
        return Whole(body=None if self._inbound is self._outbound else self._inbound.write_count(tokens))

    def check_stream(self, content_type: str) -> None:
        del content_type
        raise UpstreamBroken("Counts are not streamed.")

    def meter(self, request: Request, event_bytes: int) -> OpaqueMeter:
        del request, event_bytes
        return OpaqueMeter()

    def read_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        return self._outbound.read_error(status, headers, body)

    def write_error(self, error: GatewayError, request_id: str) -> bytes:
        return self._inbound.write_error(error, request_id)


@cache
def counting(inbound: str, outbound: str) -> Wire:
    """The wire for counts asked in one language and made in the other."""
    return Counting(cast("CountCodec", codec(inbound)), cast("CountCodec", codec(outbound)))
