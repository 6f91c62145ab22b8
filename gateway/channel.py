"""What the supervisor and its workers say to one another, over one socket pair each.

Frames are a 4-byte big-endian length and a MessagePack value. A worker that reads the end of the channel drains.
"""

from msgspec import Struct
from msgspec.msgpack import Decoder, Encoder

from gateway.settings.shape import Secret, Settings


class Configure(Struct, tag=True):
    """Supervisor to worker: serve under these settings from now on (also how a reload is told)."""

    settings: Settings


class Drain(Struct, tag=True):
    """Supervisor to worker: announce `Connection: close`, finish what runs within `within_s`, then leave."""

    within_s: float


class Steer(Struct, tag=True):
    """Supervisor to worker: ask these backends nothing, for `for_s` seconds or until told otherwise; or ask them again.

    To `resume` is to take somebody's word that they are well: what was seen of them before counts no more.
    """

    backends: tuple[str, ...]
    resume: bool
    for_s: float | None = None


class Ready(Struct, tag=True):
    """Worker to supervisor: the last Configure is in force, or `problem` says why the old one still is."""

    problem: str = ""


class BackendState(Struct):
    """One worker's view of one backend. Times are seconds, 0.0 while unknown; those of tokens are the last streams'.

    `state` is unknown, healthy, failing, ejected, half_open, cooling, drained, dead or loading; `why` says more of it
    in a word, and in `until_s` it ends by itself (infinite: it doesn't). `load` is the share of it that is in use.
    """

    name: str
    provider: str
    region: str = ""
    country: str = ""
    state: str = "unknown"
    in_flight: int = 0
    idle_connections: int = 0
    answered: int = 0
    failed: int = 0
    consecutive_failures: int = 0
    last_error: str = ""
    ttft_s: float = 0.0
    tpot_s: float = 0.0
    why: str = ""
    until_s: float = 0.0
    ttft_p95_s: float = 0.0
    ttft_p99_s: float = 0.0
    tpot_p95_s: float = 0.0
    tpot_p99_s: float = 0.0
    load: float = 0.0
    rtt_ms: float = 0.0
    ejections: int = 0


class Backends(Struct, tag=True):
    """Worker to supervisor, every 250 ms: its backend table."""

    rows: list[BackendState]


class Drained(Struct, tag=True):
    """Worker to supervisor: nothing runs any more; the process ends."""


Message = Configure | Drain | Steer | Ready | Backends | Drained

MOST_BYTES = 64 * 1024 * 1024


def _outward(value: object) -> object:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(type(value).__name__)


def _inward(kind: type, value: object) -> object:
    if kind is Secret:
        return Secret(str(value))
    raise TypeError(kind.__name__)


_encoder = Encoder(enc_hook=_outward)
_decoder = Decoder(Message, dec_hook=_inward)


def frame(message: Message) -> bytes:
    body = _encoder.encode(message)
    return len(body).to_bytes(4, "big") + body


class Unframer:
    """Bytes in, whole messages out; where the bytes were cut never matters. ValueError on a frame above MOST_BYTES."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        self._pending += data
        out: list[Message] = []
        while len(self._pending) >= 4:
            size = int.from_bytes(self._pending[:4], "big")
            if size > MOST_BYTES:
                raise ValueError("a frame above the limit")
            if len(self._pending) < 4 + size:
                break
            out.append(_decoder.decode(bytes(self._pending[4 : 4 + size])))
            del self._pending[: 4 + size]
        return out
