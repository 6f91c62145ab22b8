"""Languages. Pure: bytes and values in, bytes and values out; no I/O, no clock, no chance.

One file or folder is one language (or one kind of work in it) and ends in `WIRE`; the folder is the registry:
`load(name)` imports what has that name. Nothing registers anything. `codec.py` says what a bridge between two different
languages asks of each.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Final, Protocol, cast

from msgspec import Raw, Struct

from gateway.errors import GatewayError, UpstreamError
from gateway.features import Request, Usage, Whole
from gateway.wire.dialect import Dialect


class Endpoint(Struct, frozen=True):
    """One operation as callers reach it: its name, the language that reads it, whether its address asks for a stream.

    `stream` None: the body says so.
    """

    operation: str
    wire: str
    stream: bool | None = None


class Pattern(Struct, frozen=True):
    """A path with a model's name in its middle, between `before` and `after`."""

    before: str
    after: str
    operation: str
    stream: bool | None = None


class Addressed(Struct, frozen=True):
    """What a request's address says beside its path: a model, whether a stream is wanted, the raw query."""

    model: str = ""
    stream: bool | None = None
    query: str = ""


PLAIN: Final = Addressed()


class StreamMeter(Protocol):
    """Watches a streamed answer on its way through.

    `feed` takes bytes as they came, cut anywhere, and gives what may go to the caller now: nothing until the first
    content, then everything held and whatever follows. It never raises: `error` says that the answer broke, and bytes
    given by the same call came before the break; nothing is given after it. `pieces` counts events with content, about
    a token each. `done` means that the answer is complete and nothing more is wanted; a language that has no end of its
    own is never done, so there the transport's end is the answer's. `media_type` is the caller's, b"" where it is what
    the upstream said; `lost` names what could not be carried so far.
    """

    media_type: bytes

    committed: bool
    done: bool
    error: UpstreamError | None
    usage: Usage | None
    finish: str
    pieces: int

    @property
    def lost(self) -> tuple[str, ...]: ...

    def feed(self, data: bytes) -> bytes: ...

    def finish_up(self) -> bytes:
        """The bytes that close a stream whose upstream ended; sets `error` where it ended too early.

        They may begin with a last event whose blank line never came.
        """

    def failure(self, error: GatewayError) -> bytes:
        """The frame that tells the caller his stream broke."""


class Wire(Protocol):
    """One language, for one request shape; or a bridge between two of them.

    `passes` names the callers' headers that go on to a place speaking it; `patterns` are the paths that hold a model.
    """

    paths: Mapping[str, str]
    patterns: tuple[Pattern, ...]
    passes: tuple[bytes, ...]

    def read_request(self, body: bytes, addressed: Addressed = PLAIN) -> Request: ...

    def write_request(
        self, request: Request, model: Raw, dialect: Dialect, *, ask_usage: bool
    ) -> tuple[bytes, list[str]]: ...

    def read_whole(self, request: Request, content_type: str, body: bytes) -> Whole: ...

    def check_stream(self, content_type: str) -> None: ...

    def meter(self, request: Request, event_bytes: int) -> StreamMeter: ...

    def read_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError: ...

    def write_error(self, error: GatewayError, request_id: str) -> bytes: ...

    def error_headers(self, error: GatewayError) -> tuple[tuple[str, str], ...]:
        """Header lines that belong to an error in this language."""


_loaded: dict[str, Wire] = {}


def load(name: str) -> Wire:
    """The language of that file name; ModuleNotFoundError where there is none."""
    wire = _loaded.get(name)
    if wire is None:
        wire = _loaded[name] = cast("Wire", import_module(f"gateway.wire.{name}").WIRE)
    return wire
