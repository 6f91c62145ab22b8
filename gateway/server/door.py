"""The door: who may connect, which request goes where, and the only place where request tasks are made."""

import asyncio
import ssl
from collections.abc import Coroutine

from gateway import pipeline
from gateway.errors import Bug, GatewayError, Overloaded
from gateway.exchange import Call, Origin
from gateway.outbox import Outbox
from gateway.pipeline import Runtime
from gateway.server import pops, routes
from gateway.server.arrival import Arrival
from gateway.server.geoip import GeoIp, Saying, say
from gateway.server.guests import Guest, Guests
from gateway.server.handover import Handover
from gateway.server.head import Head, HeadReader, check_size
from gateway.server.origin import Origins
from gateway.server.protocol import CallerConnection
from gateway.server.routes import Route
from gateway.server.trips import Trips
from gateway.server.welcome import welcome
from gateway.settings.proxies import trust
from gateway.sweep import Sweeper
from gateway.wire import Addressed, load


class Door:
    """Accepts connections for one worker and gives their requests to the pipeline.

    `runtime` may be swapped at any time: a request keeps the one it began with.
    """

    def __init__(self, runtime: Runtime, sweeper: Sweeper, outbox: Outbox, log: Saying = say) -> None:
        self._loop = asyncio.get_running_loop()
        self.sweeper = sweeper
        self.guests = Guests(sweeper)
        self._busy = 0
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._id_start = f"req_{runtime.clock.draw():016x}"
        self.now = runtime.clock.monotonic
        self.outbox = outbox
        self.wall = runtime.clock.wall
        self._count = 0
        self._handover = Handover(self)
        self._log = log
        self._geoip: GeoIp | None = None
        self._origins: Origins | None = None
        self.trips = Trips()
        self.draining = False
        self.use(runtime)

    def use(self, runtime: Runtime) -> None:
        """Serve the next requests under another configuration."""
        settings = runtime.settings
        self.runtime = runtime
        self.caps = settings.caps
        self.deadlines = settings.deadlines
        self.heads = HeadReader(self.caps, settings.listen.names)
        self.guests.use(self.caps, settings.trusted_proxies)
        self._pop_line = f"x-gateway-pop: {settings.pop}\r\n".encode() if settings.pop else b""
        self._measurements: pops.Measurements = pops.Own(settings.pop, self.trips)
        self._open_geoip(settings.geoip_db)
        trusted = trust(settings)
        self._origins = Origins(trusted, self._geoip) if trusted or self._geoip is not None else None

    def _open_geoip(self, path: str) -> None:
        if self._geoip is not None and self._geoip.path != path:
            self.sweeper.discard(self._geoip)
            self._geoip.close()
            self._geoip = None
        if path and self._geoip is None:
            self._geoip = GeoIp(path, self._log, self._relocate)
            self.sweeper.add(self._geoip)

    def _relocate(self) -> None:
        """Find out anew where everyone is: a new reader of heads knows none of those it was sent before."""
        if self._origins is not None:
            self._origins.forget()
        self.heads = HeadReader(self.caps, self.runtime.settings.listen.names)

    # --- connections --------------------------------------------------------------------------------------------------

    def connection(self, context: ssl.SSLContext | None = None) -> asyncio.Protocol:
        """A protocol for a connection just accepted; with a context, one that speaks TLS."""
        return CallerConnection(self) if context is None else Arrival(self, context)

    def welcome(self, connection: CallerConnection) -> None:
        """Let a new connection in, or tell it that there are too many."""
        if self.guests.enter(connection):
            return
        if self.guests.refuse(connection):
            connection.turn_away(Overloaded("This gateway has too many connections."))
        else:
            connection.abort()

    def lingers(self, connection: CallerConnection) -> None:
        del connection
        self._changed.set()

    def gone(self, guest: Guest) -> None:
        if self._geoip is not None and isinstance(guest, CallerConnection) and guest.served:
            self._measure(guest)
        self.guests.leave(guest)
        self._changed.set()

    def _measure(self, connection: CallerConnection) -> None:
        """Learn from a connection how far its country is, where it was a caller's own."""
        assert self._origins is not None
        origin = self._origins.direct(connection.address)
        measured_ms = connection.rtt_ms() if origin is not None and origin.country else None
        if origin is not None and measured_ms is not None:
            self.trips.note(origin.country, measured_ms)

    def handed_back(self, guest: Guest) -> None:
        """An exchange that another application answered is over, and so is its connection."""
        self._handover.returned()
        self.gone(guest)

    @property
    def open(self) -> int:
        """Connections there are."""
        return len(self.guests)

    @property
    def busy(self) -> int:
        """Requests under way."""
        return self._busy + self._handover.open

    def announce(self) -> None:
        """Say `Connection: close` with every answer from now on, and still let everyone in."""
        self.draining = True

    def drain(self) -> None:
        """Take no more requests: idle connections end at once, those that have just come soon."""
        self.announce()
        for guest in self.guests:
            guest.finish()

    async def done(self) -> None:
        """Wait until nobody is waiting for an answer any more."""
        while self.busy or any(guest.under_way for guest in self.guests):
            self._changed.clear()
            await self._changed.wait()

    async def flushed(self) -> None:
        """Wait until the last answers were read and their connections have ended, as long as lingering lasts."""
        try:
            async with asyncio.timeout(self.deadlines.linger_s):
                while self.open:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return

    def abort(self) -> None:
        """End every connection, whatever it is doing."""
        for guest in self.guests:
            guest.abort()

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Let work that is no request run beside the requests."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- the desk of each connection ----------------------------------------------------------------------------------

    def new_id(self) -> str:
        """An id no other worker gives: a random start, then a count."""
        self._count += 1
        return f"{self._id_start}{self._count}"

    def greet(self, call: Call, head: Head) -> Route:
        """Accept a request by its head alone, or raise."""
        known = head.welcome
        if known is not None and known.holds(self.runtime, call.arrived_wall):
            if head.origin is not None:
                _place(call, head.origin)
            call.endpoint = known.route.endpoint
            call.addressed = known.addressed
            call.caller = known.caller
            call.kept = known.kept
            check_size(head, known.most_bytes)
            return known.route
        if self._origins is not None:
            head.origin = self._origins.of(call.address, call.headers)
            _place(call, head.origin)
        route = routes.find(call.method, call.path)
        if route.slow:
            self._handover.greet(call, route)
        elif route.ranks:
            # Whoever may not be served here learns here where he may.
            call.caller = self.runtime.keys.caller(call.headers, call.arrived_wall)
        elif not route.public:
            call.endpoint = route.endpoint
            if route.model or call.query:
                stream = route.endpoint.stream if route.endpoint is not None else None
                call.addressed = Addressed(route.model, stream, call.query)
            pipeline.greet(call, self.runtime)
        most_bytes = route.most_bytes(self.caps)
        check_size(head, most_bytes)
        head.welcome = welcome(call, self.runtime, route, most_bytes)
        return route

    def hand_over(self, connection: CallerConnection, call: Call, head: Head, raw: bytes, rest: bytes) -> None:
        self._handover.take(connection, call, head, raw, rest)

    def serve(self, connection: CallerConnection, call: Call, route: Route) -> "asyncio.Task[None] | None":
        if route.endpoint is None:
            self._answer_here(connection, call, route)
            return None
        self._busy += 1
        return asyncio.Task(self._run(connection, call), loop=self._loop, name="request")

    async def _run(self, connection: CallerConnection, call: Call) -> None:
        """One request as a task of its own: what goes wrong in it is nobody else's trouble."""
        runtime = self.runtime
        try:
            await pipeline.serve(call, runtime, connection)
        except Exception as error:  # noqa: BLE001  (settling failed: told, and the connection ends)
            runtime.faults.bug(error, call.request_id)
            connection.abort()
        finally:
            self._busy -= 1
            if not self._busy:
                self._changed.set()

    def turned_away(self, call: Call, error: GatewayError) -> bytes:
        """Settle a request that isn't served; the words of its refusal."""
        pipeline.turn_away(call, self.runtime, error)
        language = load(routes.error_language(call.path, call.headers))
        error.headers += language.error_headers(error)
        return language.write_error(error, call.request_id)

    def _answer_here(self, connection: CallerConnection, call: Call, route: Route) -> None:
        try:
            if route.local is not None:
                status, body = route.local(call, self.runtime)
            else:
                status, body = 200, self._rank(connection, call)
        except GatewayError as error:
            connection.refuse(error, self.turned_away(call, error))
        except Exception as error:  # noqa: BLE001  (as in the pipeline: a bug of ours becomes an answer)
            self.runtime.faults.bug(error, call.request_id)
            bug = Bug("The gateway failed to handle this request.")
            connection.refuse(bug, self.turned_away(call, bug))
        else:
            connection.whole(status, route.lines if route.public else route.lines + self._pop_line, body)

    def _rank(self, connection: CallerConnection, call: Call) -> bytes:
        direct = self._origins is None or self._origins.direct(connection.address) is not None
        own_ms = connection.rtt_ms() if direct else None
        return pops.answer(call, self.runtime.settings, self._measurements, own_ms)


def _place(call: Call, origin: Origin) -> None:
    call.address, call.country, call.origin = origin.address, origin.country, origin
