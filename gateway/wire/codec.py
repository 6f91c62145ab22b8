"""What a language must be able to do for a bridge: be read into the inner form, and be written from it.

A language's folder holds it in `codec.py`, which ends in `CODEC`. Both directions are there for a language that callers
speak; one that only backends speak reads answers and writes requests. Everything is pure; readers and writers of
streams are small state machines for one answer each.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Protocol, cast

from msgspec import Raw

from gateway.errors import GatewayError, UpstreamError
from gateway.features import Request
from gateway.wire.ir import Answer, Ask, Event
from gateway.wire.losses import Losses

# A whole frame of a stream: its event's name where the framing itself has one (else ""), its payload, all its bytes.
Frame = tuple[str, bytes, bytes]


class Framing(Protocol):
    """Bytes of a stream, cut anywhere, to whole frames. `too_long` says that an unfinished one outgrew its cap."""

    too_long: bool

    def feed(self, data: bytes) -> list[Frame]:
        """The frames now whole. ValueError where the bytes are no such framing."""

    def end(self) -> list[Frame]:
        """The last frame, where the stream ended without that frame's end and it is nevertheless whole."""


class Reader(Protocol):
    """A streamed answer to events. The law: Started, then blocks, each opened, grown and closed, then Finished, once.

    Blocks may be open side by side; `at` counts them in the order of their opening. `done` is set by the language's own
    terminal frame: nothing more is read after it.
    """

    done: bool

    def feed(self, name: str, payload: bytes) -> list[Event]:
        """What a frame says; nothing for a frame that isn't known.

        UpstreamError for an error it tells, ValueError or RecursionError where it can't be read.
        """

    def end(self) -> list[Event]:
        """Called once after the last frame, `done` or not: closes what is open and gives Finished.

        UpstreamTruncated where the answer wasn't complete; complete is what has its reason to end, terminal frame or
        not.
        """


class Writer(Protocol):
    """Events to the bytes of a streamed answer, framing included. `media_type` is that of those bytes."""

    media_type: str

    def feed(self, event: Event) -> bytes:
        """What this event says, b"" where it says nothing yet. Finished closes the stream as the language does."""

    def fail(self, error: GatewayError) -> bytes:
        """The frame that tells the caller his stream broke, b"" where the language has none."""


class OutCodec(Protocol):
    """A language that backends speak. `stream_type` is how the media type of a streamed answer begins."""

    name: str
    stream_type: str

    def write_request(self, ask: Ask, model: str, losses: Losses) -> dict[str, Raw]:
        """The top-level fields of a request. Whatever of the Ask they don't say is noted in `losses`.

        UnsupportedFeature where leaving it out would change what is asked.
        """

    def read_answer(self, body: bytes, losses: Losses) -> Answer:
        """A whole answer. UpstreamError for an error inside it, ValueError or RecursionError where it is none."""

    def read_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        """What an answer outside 2xx means. Usually `openai_error.read_error`, which reads everybody's shapes."""

    def framing(self, most_bytes: int) -> Framing: ...

    def reader(self, losses: Losses) -> Reader: ...


class Codec(OutCodec, Protocol):
    """A language that callers speak, too."""

    def check(self, request: Request) -> None:
        """Raise BadRequest, with `param`, for what the gateway itself acts on, whether the body is carried or read."""

    def read_request(self, request: Request) -> Ask:
        """The inner form of a request. BadRequest, with `param`, where what must cross can't be understood."""

    def write_answer(self, answer: Answer, ask: Ask, losses: Losses) -> bytes: ...

    def writer(self, ask: Ask, losses: Losses) -> Writer: ...

    def write_error(self, error: GatewayError, request_id: str) -> bytes:
        """A whole error body in this language's shape."""


_loaded: dict[str, OutCodec] = {}


def codec(name: str) -> OutCodec:
    """The language of that folder; ModuleNotFoundError where there is none."""
    known = _loaded.get(name)
    if known is None:
        known = _loaded[name] = cast("OutCodec", import_module(f"gateway.wire.{name}.codec").CODEC)
    return known
