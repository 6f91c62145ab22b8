"""Server-sent events: bytes to whole events, wherever they were cut (WHATWG HTML, section 9.2.6).

Line ends may be LF, CRLF or CR, mixed. An event is never given before its blank line has come.
"""


class TooLong(ValueError):  # noqa: N818  (what happened, not a bug)
    """An event grew above its cap."""


class EventSplitter:
    """Cuts a byte stream at its blank lines; holds at most one unfinished event of `most_bytes`."""

    __slots__ = ("_held_cr", "_most_bytes", "_parts", "_size")

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._parts: list[bytes] = []
        self._size = 0
        self._held_cr = False

    def feed(self, data: bytes) -> bytes:
        """The whole events now there, each ended by an empty line in LF form; b"" while there is none.

        Raises TooLong where an unfinished event is above the cap.
        """
        if self._held_cr or b"\r" in data:
            data = self._to_lf(data)
        if not self._parts and data.endswith(b"\n\n"):
            return data
        # The blank line may straddle two pieces: only a piece with a line end can finish an event.
        if b"\n" in data:
            if self._parts:
                self._parts.append(data)
                data = b"".join(self._parts)
                self._parts.clear()
                self._size = 0
            cut = data.rfind(b"\n\n")
            if cut >= 0:
                rest = data[cut + 2 :]
                if rest:
                    self._keep(rest)
                return data[: cut + 2]
        if data:
            self._keep(data)
        return b""

    @property
    def unfinished(self) -> bool:
        """Whether bytes of an event without its blank line are held."""
        return self._size > 0

    def _keep(self, rest: bytes) -> None:
        self._size += len(rest)
        if self._size > self._most_bytes:
            raise TooLong(self._size)
        self._parts.append(rest)

    def _to_lf(self, data: bytes) -> bytes:
        # A CR at the very end may be half of a CRLF: it waits for the next piece.
        if self._held_cr:
            data = b"\r" + data
        self._held_cr = data.endswith(b"\r")
        if self._held_cr:
            data = data[:-1]
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def data_of(event: bytes) -> tuple[bytes, bytes]:
    """One event (without its blank line) as (payload, what may be forwarded).

    `id:`, `retry:` and empty `data:` lines are left out of what is forwarded: official clients fail on them
    (reliability 0, finding 5). The payload is b"" where the event carries no data.
    """
    payload: list[bytes] = []
    kept: list[bytes] = []
    for line in event.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            if not value:
                continue
            payload.append(value)
        elif name in (b"id", b"retry") or not line:
            continue
        kept.append(line)
    return b"\n".join(payload), b"\n".join(kept)
