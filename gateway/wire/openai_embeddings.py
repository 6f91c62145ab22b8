"""OpenAI's embeddings: one JSON object in, one out, never a stream. Vectors pass as they are, numbers or base64."""

from collections.abc import Mapping

from msgspec import Raw

from gateway.errors import BadRequest, UpstreamBroken
from gateway.features import Request, Whole
from gateway.wire import PLAIN, Addressed, Pattern, openai_error, raw
from gateway.wire.dialect import Dialect, apply
from gateway.wire.opaque import OpaqueMeter
from gateway.wire.openai_answer import read_answer


class OpenAIEmbeddings:
    paths: Mapping[str, str] = {"/v1/embeddings": "embeddings"}
    patterns: tuple[Pattern, ...] = ()
    passes: tuple[bytes, ...] = (b"openai-beta",)

    def read_request(self, body: bytes, addressed: Addressed = PLAIN) -> Request:
        fields = raw.read_fields(body)
        if raw.read_flag(fields, "stream"):
            raise BadRequest("Embeddings are not streamed.", code="invalid_value", param="stream")
        return Request(fields, addressed.model or raw.read_model(fields))

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
        raw.check_answer(content_type, body)
        data, usage = read_answer(body)
        if bytes(memoryview(data)[:1]) != b"[":
            raise UpstreamBroken("The upstream's answer has no embeddings.")
        return Whole(usage)

    def check_stream(self, content_type: str) -> None:
        del content_type
        raise UpstreamBroken("Embeddings are not streamed.")

    def meter(self, request: Request, event_bytes: int) -> OpaqueMeter:
        del request, event_bytes
        return OpaqueMeter()

    read_error = staticmethod(openai_error.read_error)
    write_error = staticmethod(openai_error.write_error)
    error_headers = staticmethod(openai_error.no_headers)


WIRE = OpenAIEmbeddings()
