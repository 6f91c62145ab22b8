"""OpenAI's embeddings: one JSON object in, one out, never a stream."""

from collections.abc import Mapping

from msgspec import DecodeError, Raw, Struct
from msgspec.json import Decoder

from gateway.errors import BadRequest, UpstreamBroken
from gateway.features import Request, Usage, Whole
from gateway.wire import openai_error, raw
from gateway.wire.dialect import Dialect, apply
from gateway.wire.opaque import OpaqueMeter


class _Usage(Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _Answer(Struct):
    object: str = ""
    data: Raw = Raw(b"")
    usage: _Usage | None = None
    error: Raw = Raw(b"null")


_answer = Decoder(_Answer)


class OpenAIEmbeddings:
    paths: Mapping[str, str] = {"/v1/embeddings": "embeddings"}

    def read_request(self, body: bytes) -> Request:
        fields = raw.read_fields(body)
        if raw.read_flag(fields, "stream"):
            raise BadRequest("Embeddings are not streamed.", code="invalid_value", param="stream")
        return Request(fields, raw.read_model(fields))

    def write_request(
        self, request: Request, model: str, dialect: Dialect, *, ask_usage: bool
    ) -> tuple[bytes, list[str]]:
        del ask_usage
        fields = request.fields.copy()
        fields["model"] = raw.text_of(model)
        changed = apply(dialect, fields)
        return raw.write_fields(fields), changed

    def read_whole(self, content_type: str, body: bytes) -> Whole:
        if not content_type.startswith("application/json"):
            raise UpstreamBroken("The upstream answered in another form than JSON.")
        try:
            if not body.isascii():
                body.decode()
            answer = _answer.decode(body)
        except (DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamBroken("The upstream's answer is no valid JSON.") from error
        if bytes(answer.error) != b"null" or answer.object == "error" or not bytes(answer.data).startswith(b"["):
            raise UpstreamBroken("The upstream reported an error in its answer.", code="upstream_error")
        used = answer.usage.prompt_tokens or answer.usage.total_tokens or 0 if answer.usage else 0
        return Whole(Usage(input_tokens=max(used, 0)) if answer.usage else None)

    def check_stream(self, content_type: str) -> None:
        raise UpstreamBroken(f"Embeddings are not streamed, and this came as {content_type[:40]!r}.")

    def meter(self, request: Request, event_bytes: int) -> OpaqueMeter:
        del request, event_bytes
        return OpaqueMeter()

    read_error = staticmethod(openai_error.read_error)
    write_error = staticmethod(openai_error.write_error)


WIRE = OpenAIEmbeddings()
