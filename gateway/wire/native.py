"""A language that both sides speak, carried as it was written: the wire made of its codec alone.

The two languages most traffic speaks have wires of their own, which read less of each event (openai_chat,
anthropic_messages).
"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Raw
from msgspec.json import decode

from gateway.errors import GatewayError, UpstreamBroken, UpstreamError
from gateway.features import Request, Whole
from gateway.wire import PLAIN, Addressed, Pattern, openai_error, raw
from gateway.wire.codec import Codec
from gateway.wire.crossing import Crossing
from gateway.wire.dialect import Dialect, apply
from gateway.wire.ir import Ask
from gateway.wire.losses import Losses
from gateway.wire.signing import is_sealed_elsewhere

# Where languages keep their turns.
_CONVERSATIONS: Final = ("input", "messages", "contents")


def _always(request: Request) -> bool:
    del request
    return True


class Native:
    """Bodies and frames cross as they were; the codec reads beside them.

    `carries` says of a request whether the frames of its answer do: else they are written anew for this caller.
    `error_headers` are the header lines of an error in this language.
    """

    def __init__(
        self,
        codec: Codec,
        *,
        paths: Mapping[str, str],
        patterns: tuple[Pattern, ...] = (),
        passes: tuple[bytes, ...] = (),
        carries: Callable[[Request], bool] = _always,
        error_headers: Callable[[GatewayError], tuple[tuple[str, str], ...]] = openai_error.no_headers,
    ) -> None:
        self._codec = codec
        self.paths = paths
        self.patterns = patterns
        self.passes = passes
        self.carries = carries
        self.error_headers = error_headers

    def read_request(self, body: bytes, addressed: Addressed = PLAIN) -> Request:
        fields = raw.read_fields(body)
        request = Request(
            fields,
            addressed.model or raw.read_model(fields),
            addressed.stream if addressed.stream is not None else raw.read_flag(fields, "stream"),
            query=addressed.query,
        )
        self._codec.check(request)
        return request

    def write_request(
        self, request: Request, model: Raw, dialect: Dialect, *, ask_usage: bool
    ) -> tuple[bytes, list[str]]:
        del ask_usage  # it is always told
        losses = Losses()
        fields = request.fields.copy()
        if any(is_sealed_elsewhere(bytes(fields[name])) for name in _CONVERSATIONS if name in fields):
            ask = self._codec.read_request(request)
            fields = self._codec.write_request(ask, decode(model, type=str), losses)
        if not self.patterns:
            fields["model"] = model  # elsewhere it is in the path
        changed = apply(dialect, fields)
        return raw.write_fields(fields), losses.names() + changed

    def read_whole(self, request: Request, content_type: str, body: bytes) -> Whole:
        del request
        raw.check_answer(content_type, body)
        try:
            answer = self._codec.read_answer(body, Losses())
        except (ValueError, RecursionError) as error:
            raise UpstreamBroken("The upstream's answer can't be read.") from error
        return Whole(answer.usage, answer.finish)

    def check_stream(self, content_type: str) -> None:
        if not content_type.lower().startswith(self._codec.stream_type):
            raise UpstreamBroken("The upstream answered a stream in another form.")

    def meter(self, request: Request, event_bytes: int) -> Crossing:
        carried = self.carries(request)
        losses = Losses()
        # A body that is carried is the backend's to judge: only how a break is told depends on the request.
        ask = Ask(self._codec.name, request.model, []) if carried else self._codec.read_request(request)
        ask.query = request.query
        return Crossing(
            self._codec.framing(event_bytes),
            self._codec.reader(losses),
            self._codec.writer(ask, losses),
            losses,
            event_bytes=event_bytes,
            carried=carried,
        )

    def read_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        return self._codec.read_error(status, headers, body)

    def write_error(self, error: GatewayError, request_id: str) -> bytes:
        return self._codec.write_error(error, request_id)
