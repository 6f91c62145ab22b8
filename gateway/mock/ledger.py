"""What the stand-in saw and did, to be held against what a gateway says of it."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

SUMMARY_ENTRIES = 3


@dataclass(slots=True, eq=False)
class Entry:
    """One request for an answer. Times are monotonic seconds; the caller's key is a hash's first twelve digits.

    `tokens_sent` and `bytes_sent` count what was handed to the socket, which holds at most about 64 KiB back.
    `finished` means that the answer went out to the end it was told to have; one that was cut by a fault of its
    content (`cut`, `no_finish`) has finished too, one ended by RST, FIN, a stall or the caller has not.
    """

    sequence: int
    path: str
    started_at: float
    model: str = ""
    stream: bool = False
    status: int = 0
    prompt_tokens: int = 0
    tokens_sent: int = 0
    bytes_sent: int = 0
    finished: bool = False
    begun_at: float | None = None  # when it got its slot
    first_at: float | None = None  # the first token
    ended_at: float | None = None
    left_at: float | None = None  # when the caller's close was seen
    connection: int = 0
    request_id: str | None = None
    authorization: str | None = None
    faults: tuple[str, ...] = ()
    body: bytes | None = None  # with keep_bodies only, and so are the headers
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def queued(self) -> bool:
        """Whether it waits for a slot."""
        return self.begun_at is None and self.ended_at is None

    def as_json(self) -> dict[str, object]:
        names = [name for name in Entry.__slots__ if name not in ("body", "headers")]
        fields: dict[str, object] = {name: getattr(self, name) for name in names}
        if self.body is not None:
            fields["body"] = self.body.decode("utf-8", "replace")
            fields["headers"] = self.headers
        return fields


class Ledger:
    """The last requests in order, sums over all of them, and a way to wait for what they will show."""

    def __init__(self, keep_entries: int = 10_000) -> None:
        self.requests: deque[Entry] = deque(maxlen=keep_entries)
        self.open_connections = 0
        self._sequence = 0
        self._accepted = 0
        self._waiters: list[tuple[Callable[[Ledger], bool], asyncio.Future[None]]] = []
        self._zero()

    def _zero(self) -> None:
        self.request_count = 0
        self.tokens_sent = 0
        self.bytes_sent = 0
        self.finished = 0
        self.left = 0
        self.connections = 0
        self.refused_connections = 0

    @property
    def last(self) -> Entry:
        """The newest request. IndexError if there was none."""
        return self.requests[-1]

    def open(self, path: str, now: float) -> Entry:
        """A new entry."""
        self._sequence += 1
        self.request_count += 1
        entry = Entry(self._sequence, path, now)
        self.requests.append(entry)
        return entry

    def sent(self, entry: Entry, size: int, tokens: int) -> None:
        """Note bytes and tokens that went out. What has no number (scrapes, our own doors) leaves no trace."""
        if not entry.sequence:
            return
        entry.bytes_sent += size
        entry.tokens_sent += tokens
        self.bytes_sent += size
        self.tokens_sent += tokens
        if self._waiters:
            self.changed()

    def ended(self, entry: Entry, now: float, *, finished: bool = False, left: bool = False) -> None:
        """Note the end of a request, once."""
        if entry.ended_at is not None:
            return
        entry.ended_at = now
        if not entry.sequence:
            return
        if finished:
            entry.finished = True
            self.finished += 1
        if left:
            entry.left_at = now
            self.left += 1
        self.changed()

    def connected(self) -> int:
        """The new connection's number."""
        self.open_connections += 1
        self.connections += 1
        self._accepted += 1
        self.changed()
        return self._accepted

    def disconnected(self) -> None:
        self.open_connections -= 1
        self.changed()

    def refused(self) -> None:
        self.refused_connections += 1
        self.changed()

    def clear(self) -> None:
        """Forget the past; what is under way goes on."""
        self.requests.clear()
        self._zero()
        self.changed()

    def changed(self) -> None:
        """Ask those who wait whether this is what they wait for."""
        for predicate, future in self._waiters:
            if future.done():
                continue
            try:
                if predicate(self):
                    future.set_result(None)
            except Exception as error:  # noqa: BLE001  it belongs to the one who waits, not to the connection
                future.set_exception(error)

    async def until(self, predicate: Callable[["Ledger"], bool], ceiling_s: float = 10.0) -> None:
        """Return as soon as the predicate holds, asked again at every change. TimeoutError tells what is there."""
        if predicate(self):
            return
        waiter = (predicate, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(ceiling_s):
                await waiter[1]
        except TimeoutError as late:
            raise TimeoutError(f"not within {ceiling_s} s; the stand-in's ledger: {self.summary()}") from late
        finally:
            self._waiters.remove(waiter)

    def summary(self) -> str:
        """Sums and the newest entries, in one line."""
        newest = [entry.as_json() for entry in list(self.requests)[-SUMMARY_ENTRIES:]]
        return f"{self.totals()} … {newest}"

    def totals(self) -> dict[str, int]:
        return {
            "requests": self.request_count,
            "tokens_sent": self.tokens_sent,
            "bytes_sent": self.bytes_sent,
            "finished": self.finished,
            "left": self.left,
            "connections": self.connections,
            "refused_connections": self.refused_connections,
        }

    def as_json(self) -> dict[str, object]:
        return {
            "requests": [entry.as_json() for entry in self.requests],
            "totals": self.totals(),
            "open_connections": self.open_connections,
        }
