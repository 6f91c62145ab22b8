"""Anything else that has a model's name: route it, don't read it."""

from collections.abc import Mapping

from gateway.errors import GatewayError, UpstreamBroken, UpstreamError
from gateway.features import Request, Usage, Whole
from gateway.wire import openai_error, raw
from gateway.wire.dialect import Dialect, apply


class OpaqueMeter:
    """Lets bytes pass as they come: any byte is content, and the transport's framing alone says where they end."""

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
        self.done = self.error is None
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

    def read_request(self, body: bytes) -> Request:
        fields = raw.read_fields(body)
        return Request(fields, raw.read_model(fields), raw.read_flag(fields, "stream"))

    def write_request(
        self, request: Request, model: str, dialect: Dialect, *, ask_usage: bool
    ) -> tuple[bytes, list[str]]:
        del ask_usage
        fields = request.fields.copy()
        fields["model"] = raw.text_of(model)
        changed = apply(dialect, fields)
        return raw.write_fields(fields), changed

    def read_whole(self, content_type: str, body: bytes) -> Whole:
        if content_type.startswith("text/html"):
            raise UpstreamBroken("The upstream answered with a web page.")
        if content_type.startswith("application/json") and body.startswith((b'{"error":', b'{"error" :')):
            raise UpstreamBroken("The upstream reported an error in its answer.", code="upstream_error")
        return Whole()

    def check_stream(self, content_type: str) -> None:
        if content_type.startswith("text/html"):
            raise UpstreamBroken("The upstream answered with a web page.")

    def meter(self, request: Request, event_bytes: int) -> OpaqueMeter:
        del request, event_bytes
        return OpaqueMeter()

    read_error = staticmethod(openai_error.read_error)
    write_error = staticmethod(openai_error.write_error)


WIRE = Opaque()
