"""Looks at one's own model servers, once a second, by one gateway of a region; the others hear of it from that one.

A provider's API is never asked anything here: a list of its models says nothing of its load, and a completion costs.
What is known of those comes from requests alone (upstream/health.py).
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from msgspec.structs import replace

from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.routing.chance import stream, unit
from gateway.settings.shape import Settings
from gateway.upstream.client import UpstreamClient
from gateway.upstream.fetch import Fetched, fetch
from gateway.upstream.probes.prometheus import MOST_BYTES
from gateway.upstream.probes.reading import UNKNOWN, Answer, Ask, Reading
from gateway.upstream.shared_health import Share, SharedHealth
from gateway.upstream.watched import Watched, watched

EVERY_S: Final = 1.0
# Of the time between two looks: what was started together doesn't stay together.
JITTER: Final = 0.1
WITHIN_S: Final = 1.0
# What is older is no longer trusted, and not taken as the worst either (llm-d-router #2100, #2408, #2547).
TRUSTED_S: Final = 5.0
# Two times to cool that are nearer than this are one, which came back by another machine's clock.
SAME_S: Final = 0.1
# A probe that is wrong once is wrong again, and says so each time.
AFTER_BUG_S: Final = 60.0


class Told(Protocol):
    """Who wants to know what was read."""

    def told(self, backend: str, reading: Reading, now: float) -> None:
        """What a look at `now` (monotonic seconds) showed; UNKNOWN where that is no longer to be trusted."""
        ...


class Own(Protocol):
    """What a gateway has at a backend itself: requests, and the prompt tokens of those without a first token."""

    @property
    def in_flight(self) -> int: ...

    @property
    def waiting_tokens(self) -> float: ...


class Company(Protocol):
    """What the gateways of one fleet tell one another beside readings. Times are this process's monotonic seconds."""

    def own(self, backend: str) -> Own:
        """What is this gateway's own there."""
        ...

    def elsewhere(self, backend: str, in_flight: int, waiting_tokens: float) -> None:
        """What all other gateways together have there."""
        ...

    def cooled_until(self, backend: str) -> float:
        """Until when this gateway lets it cool; the past where it doesn't."""
        ...

    def cooled(self, backend: str, until: float) -> None:
        """Another gateway lets it cool until then."""
        ...


class Notes(Protocol):
    """Who tells the operator."""

    def looked(self, backend: str, *, up: bool, took_s: float) -> None: ...

    def noted(self, backend: str, unmatched: frozenset[str], missing: frozenset[str]) -> None:
        """What a server doesn't tell has changed: signals without a name we know, and paths that don't answer."""
        ...

    def left(self) -> None:
        """Another one looks from now on."""
        ...


class Prober:
    """The probes of one worker under one configuration: `run` until `close`, and `tick` every quarter of a second."""

    def __init__(
        self,
        settings: Settings,
        client: UpstreamClient,
        clock: Clock,
        told: Told,
        shared: SharedHealth,
        notes: Notes,
        *,
        who: str,
        bug: Callable[[BaseException, str], None],
        company: Company | None = None,
    ) -> None:
        """KeyError for a `probe:` that is no reader's, KeyError or ValueError for a key that can't be sent."""
        self._client = client
        self._clock = clock
        self._told = told
        self._shared = shared
        self._notes = notes
        self._bug = bug
        self._company = company
        self._who = who
        here = settings.pops.get(settings.pop)
        self._region = here.region if here is not None else settings.pop
        self._backends = tuple(settings.backends)
        self._servers = watched(settings)
        self._closed = False
        self._waiter: asyncio.Future[float] | None = None
        self.leads = False

    def tick(self, now: float) -> None:
        """Let what is due begin. A tick that comes while the others are still conferred with is left out."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(now)

    def close(self) -> None:
        """Begin no more looks; `run` ends when those under way have."""
        self._closed = True
        self.tick(self._clock.monotonic())

    async def run(self) -> None:
        """Look until closed."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as group:
                while not self._closed:
                    waiter = self._waiter = loop.create_future()
                    now = await waiter
                    if not self._closed:
                        await self._confer(now)
                        self._begin(group, now)
        finally:
            self._notes.left()

    # --- with the others ----------------------------------------------------------------------------------------------

    async def _confer(self, now: float) -> None:
        shared = self._shared
        leads = bool(self._servers) and await shared.lead(self._region, self._who, now)
        if self.leads and not leads:
            self._notes.left()
        self.leads = leads
        await shared.publish(self._who, {name: self._share(name, now) for name in self._backends}, now)
        said = await shared.read(now)
        others = [shares for who, shares in said.items() if who != self._who]
        for name in self._backends:
            self._hear(name, [shares[name] for shares in others if name in shares], now)
        if self._company is not None:
            await self._cool(self._company, now)
        for server in self._servers.values():
            if server.read_at is not None and now - server.read_at > TRUSTED_S and server.reading is not UNKNOWN:
                server.take(UNKNOWN, server.read_at)
                self._told.told(server.name, UNKNOWN, server.read_at)

    def _share(self, name: str, now: float) -> Share:
        share = Share()
        if self._company is not None:
            own = self._company.own(name)
            share = Share(own.in_flight, own.waiting_tokens)
        server = self._servers.get(name)
        if self.leads and server is not None and server.read_at is not None and server.reading is not UNKNOWN:
            share = replace(share, reading=server.reading, age_s=now - server.read_at)
        return share

    def _hear(self, name: str, shares: list[Share], now: float) -> None:
        """Take over what others read later than we, and how much they have there."""
        server = self._servers.get(name)
        if server is not None:
            for share in shares:
                at = now - share.age_s
                newer = server.read_at is None or at > server.read_at
                if share.reading is not None and share.age_s <= TRUSTED_S and newer:
                    server.take(share.reading, at)
                    self._told.told(name, share.reading, at)
        if self._company is not None:
            tokens = sum(share.waiting_tokens for share in shares)
            self._company.elsewhere(name, sum(share.in_flight for share in shares), tokens)

    async def _cool(self, company: Company, now: float) -> None:
        known = await self._shared.cooling(now)
        for name in self._backends:
            mine, theirs = company.cooled_until(name), known.get(name, now)
            if mine > max(now, theirs + SAME_S):
                await self._shared.cool(name, mine, now)
            elif theirs > max(now, mine + SAME_S):
                company.cooled(name, theirs)

    # --- at the servers -----------------------------------------------------------------------------------------------

    def _begin(self, group: asyncio.TaskGroup, now: float) -> None:
        if not self.leads:
            return
        for server in self._servers.values():
            if now >= server.due and not server.busy:
                chance = unit(stream(self._clock.draw(), server.name))
                server.due = now + EVERY_S * (1.0 + JITTER * (2.0 * chance - 1.0))
                server.busy = True
                group.create_task(self._look(server))

    async def _look(self, server: Watched) -> None:
        began = self._clock.monotonic()
        try:
            reading = await self._read(server, began)
        except Exception as error:  # noqa: BLE001  (a probe that is wrong must not end the worker that serves)
            server.due = began + AFTER_BUG_S
            self._bug(error, "")
            return
        finally:
            server.busy = False
        now = self._clock.monotonic()
        server.take(reading, now)
        self._told.told(server.name, reading, now)
        self._notes.looked(server.name, up=bool(reading.alive), took_s=now - began)
        news = server.news(reading) if reading.alive else None
        if news is not None:
            self._notes.noted(server.name, *news)

    async def _read(self, server: Watched, began: float) -> Reading:
        look = server.reader.look(began)
        deadline = began + WITHIN_S
        ask = next(look)
        fetched = await self._fetch(server, ask, deadline)
        rtt_s = fetched.rtt_s if fetched is not None else None
        while True:
            try:
                ask = look.send(Answer() if fetched is None else Answer(fetched.status, fetched.body))
            except StopIteration as end:
                reading: Reading = end.value
                return reading if rtt_s is None else replace(reading, rtt_ms=rtt_s * 1e3)
            fetched = await self._fetch(server, ask, deadline)

    async def _fetch(self, server: Watched, ask: Ask, deadline: float) -> Fetched | None:
        """The answer by the first way that gives one; None where none does in time. Each has its share of the time."""
        ways = list(server.requests(ask))
        for at, (origin, request) in enumerate(ways):
            now = self._clock.monotonic()
            if now >= deadline:
                break
            by = now + (deadline - now) / (len(ways) - at)
            pool = self._client.pool(origin)
            try:
                found = await fetch(pool, request, deadline=by, clock=self._clock, most_bytes=MOST_BYTES)
            except GatewayError:
                continue  # to the reader it is silence, whatever it came from
            if at and not ask.port:
                server.prefer(at)
            return found
        return None
