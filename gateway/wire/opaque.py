"""Anything else that has a model's name: route it, and read no more of it than its errors and its usage."""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw

from gateway.errors import GatewayError, UpstreamBroken, UpstreamError
from gateway.features import Request, Usage, Whole
from gateway.wire import PLAIN, Addressed, Pattern, openai_error, raw
from gateway.wire.dialect import Dialect, apply
from gateway.wire.openai_answer import read_answer

_PAGE: Final = "text/html"
_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream"


class OpaqueMeter:
    """Lets bytes pass as they come: any byte is content, and the transport's framing alone says where they end.

    So it is never `done`: where the transport broke, the answer did.
    """

    media_type = b""
    lost: tuple[str, ...] = ()
    __slots__ = ("committed", "done", "error", "finish", "pieces", "usage")

    def __init__(self) -> None:
        self.committed = False
        self.done = False
        self.error: UpstreamError | None = None
        self.usage: Usage | None = None
        self.finish = ""
        self.pieces = 0

    def feed(self, data: bytes) -> bytes:
        self.committed = self.committed or bool(data)
        return data

    def finish_up(self) -> bytes:
        if not self.committed:
            self.error = UpstreamBroken("The upstream sent an empty stream.")
        return b""

    def failure(self, error: GatewayError) -> bytes:
        """Nothing can be said in a language we don't know: the connection's end says it."""
        del error
        return b""


class Opaque:
    paths: Mapping[str, str] = {
        "/v1/moderations": "moderations",
        "/v1/rerank": "rerank",
        "/v1/images/generations": "images",
        "/v1/audio/speech": "audio",
    }
    patterns: tuple[Pattern, ...] = ()
    passes: tuple[bytes, ...] = (b"openai-beta",)

    def read_request(self, body: bytes, addressed: Addressed = PLAIN) -> Request:
        fields = raw.read_fields(body)
        # Speech has a word of its own for a stream of events.
        stream = raw.read_flag(fields, "stream") or bytes(fields.get("stream_format", b"")) == b'"sse"'
        return Request(fields, addressed.model or raw.read_model(fields), stream)

    def write_request(
        self, request: Request, model: Raw, dialect: Dialect, *, ask_usage: bool
    ) -> tuple[bytes, list[str]]:
        del ask_usage
        fields = request.fields.copy()
        fields["model"] = model
        changed = apply(dialect, fields)
        return raw.write_fields(fields), changed

    def read_whole(self, request: Request, content_type: str, body: bytes) -> Whole:
        del request
        kind = content_type.lower()
        if kind.startswith(_PAGE):
            raise UpstreamBroken("The upstream answered with a web page.")
        if kind.startswith(_EVENTS):
            raise UpstreamBroken("The upstream answered with a stream.")
        if not kind.startswith(_JSON):
            return Whole()
        raw.check_answer(content_type, body)
        return Whole(read_answer(body)[1])

    def check_stream(self, content_type: str) -> None:
        if content_type.lower().startswith((_PAGE, _JSON)):
            raise UpstreamBroken("The upstream answered a stream in another form.")

    def meter(self, request: Request, event_bytes: int) -> OpaqueMeter:
        del request, event_bytes
        return OpaqueMeter()

    read_error = staticmethod(openai_error.read_error)
    write_error = staticmethod(openai_error.write_error)
    error_headers = staticmethod(openai_error.no_headers)


WIRE = Opaque()
