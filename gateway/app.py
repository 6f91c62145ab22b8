"""One worker: settings in, a running data plane out. A reload builds anew, swaps, and lets the old requests finish."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor

import uvloop

from gateway.channel import Backends, Configure, Drain, Drained, Message, Ready, Steer, Unframer, frame
from gateway.clock import Clock, RealClock
from gateway.errors import Draining
from gateway.outbox import Outbox
from gateway.pipeline import Runtime
from gateway.routing.estimate import Lengths
from gateway.server.door import Door
from gateway.server.listen import listen, tls_context
from gateway.settings.environment import otel
from gateway.settings.shape import Settings, Target
from gateway.stages.attempt import Attempter
from gateway.stages.authenticate import Keys
from gateway.stages.choose import Chooser
from gateway.stages.find import Finder
from gateway.stages.lengths import Learner
from gateway.stages.settle import Settler
from gateway.stages.shadow import Shadows
from gateway.stages.splits import Splits, watched
from gateway.stages.waiting import Room
from gateway.sweep import INTERVAL_S, Sweeper
from gateway.telemetry.batch import Batch
from gateway.telemetry.beside import Beside
from gateway.telemetry.failing import Failing
from gateway.telemetry.log import AccessLog, Adopted, Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.probing import Probing
from gateway.telemetry.slots import SlotWriter
from gateway.telemetry.trace import open_tracer
from gateway.telemetry.writer import LogWriter
from gateway.upstream.catalogue import Catalogue
from gateway.upstream.client import UpstreamClient
from gateway.upstream.distances import Distances
from gateway.upstream.health import Health
from gateway.upstream.pool import origin_of
from gateway.upstream.prices import Prices
from gateway.upstream.prober import Prober
from gateway.upstream.shared_health import MemoryHealth

BACKENDS_EVERY = 0.25
WARM_WITHIN_S = 2.0
# How long connections are still taken, and told to go elsewhere, before they no longer are.
ANNOUNCE_S = 1.0
# What was aborted is settled within two turns of the loop; this is for a machine that stands still.
SETTLE_WITHIN_S = 1.0
# Collections of the young generation cost a pause each; requests free themselves, so they are rare and late.
GC_THRESHOLDS = (50_000, 20, 50)


class Telemetry:
    """What a worker says of itself; made once, told of each reload."""

    def __init__(self, slots_path: str, clock: Clock, instance: str) -> None:
        self.slots = SlotWriter(slots_path)
        self.metrics = Metrics(self.slots)
        self.writer = LogWriter(sys.stdout.fileno(), self.metrics.log_lines_dropped, clock=clock)
        self.log = Log(self.writer, clock)
        logging.getLogger().addHandler(Adopted(self.log))
        self.access = AccessLog(self.writer, self.metrics.log_lines_withheld)
        self.tracer = open_tracer(otel(), instance, self.metrics.spans_withheld)
        tracers = () if self.tracer is None else (self.tracer,)
        self.probing = Probing(self.slots, self.log)
        self.beside = Beside(self.slots, self.log)
        self.failing = Failing(self.slots)
        self.learner = Learner(Lengths())
        self.batch = Batch((self.metrics, self.access, self.learner, *tracers), self.bug)

    def close(self) -> None:
        """Say what hasn't been said yet, and nothing more."""
        self.batch.tell()
        if self.tracer is not None:
            self.tracer.close()
        self.writer.close()
        self.slots.close()

    def configure(self, settings: Settings) -> None:
        self.batch.tell()
        self.metrics.configure(settings)
        self.access.configure(settings)
        self.log.configure(settings.log_level)
        self.beside.configure(settings)
        if self.tracer is not None:
            self.tracer.configure(settings)

    def bug(self, error: BaseException, request_id: str) -> None:
        """A failure we did not foresee: its kind and where it was raised, never its words, which may be a caller's."""
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f"{place.tb_frame.f_code.co_filename.rpartition('/')[2]}:{place.tb_lineno}" if place else ""
        self.log("error", "bug", request_id=request_id, error=type(error).__name__, where=where)

    def unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """The same for a failure that was nobody's: the loop itself would write down its words."""
        del loop
        error = context.get("exception")
        self.bug(error if isinstance(error, BaseException) else RuntimeError(), "")


class Worker:
    """The data plane of one process, led by the supervisor through a channel."""

    def __init__(self, channel: socket.socket, listening: list[socket.socket], slots_path: str, clock: Clock) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._channel = channel
        self._listening = listening
        self._sweeper = Sweeper()
        self._outbox = Outbox(clock.monotonic, self._loop.call_soon)
        self._instance = f"{clock.draw():016x}"
        self._telemetry = Telemetry(slots_path, clock, self._instance)
        self._room = Room(clock, self._sweeper, self._telemetry.slots)
        self._threads = ThreadPoolExecutor(1, "price")
        self._prices = Prices()
        self._runtime: Runtime | None = None
        self._door: Door | None = None
        self._health: Health | None = None
        self._shared = MemoryHealth()
        self._splits = Splits(self._telemetry.beside)
        self._shadows = Shadows(clock, self._telemetry.beside, self._telemetry.bug, self._splits)
        self._prober: Prober | None = None
        self._distances: Distances | None = None
        self._clients: list[UpstreamClient] = []  # the last is in use, those before it finish their answers
        self._servers: list[asyncio.Server] = []
        self._beside: list[asyncio.Task[None]] = []
        self._tls: ssl.SSLContext | None = None
        self._unsaid = b""
        self._leaving = asyncio.Event()
        self._drain_within_s = 0.0
        self._next_report = 0.0
        self._expected_tick = 0.0

    async def run(self) -> None:
        """Serve until told to drain, or until the channel ends."""
        self._loop.set_exception_handler(self._telemetry.unhandled)
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._listen_to_supervisor(group))
            shadowing = group.create_task(self._shadows.run())
            self._tick()
            await self._leaving.wait()
            if self._prober is not None:
                self._prober.close()
            await self._drain()
            for task in (listening, shadowing, *self._beside):
                task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._telemetry.close()

    # --- what the supervisor says -------------------------------------------------------------------------------------

    async def _listen_to_supervisor(self, group: asyncio.TaskGroup) -> None:
        unframer = Unframer()
        self._channel.setblocking(False)
        try:
            while data := await self._loop.sock_recv(self._channel, 1 << 16):
                for message in unframer.feed(data):
                    if isinstance(message, Configure):
                        await self._configure(message.settings, group)
                    elif isinstance(message, Steer):
                        self._steer(message)
                    elif isinstance(message, Drain):
                        self._drain_within_s = message.within_s
                        self._leaving.set()
        except (OSError, ValueError) as error:
            # A supervisor who is killed with our words unread resets the channel rather than ending it.
            self._telemetry.log("warning", "channel lost", error=type(error).__name__)
        if self._leaving.is_set():
            return
        self._drain_within_s = self._runtime.settings.drain_s if self._runtime is not None else 0.0
        self._leaving.set()

    def _steer(self, message: Steer) -> None:
        """What an operator wants of backends; of one that a reload has taken away, nothing."""
        health, now = self._health, self._clock.monotonic()
        if health is None:
            return
        for name in {row.name for row in health.rows()}.intersection(message.backends):
            if message.resume:
                health.resume(name, now)
            else:
                health.drain(name, now, message.for_s)

    def _say(self, message: Message) -> None:
        """Tell the supervisor, if he is still there. What he has no room for now is said at the next ticks."""
        self._unsaid += frame(message)
        self._speak()

    def _speak(self) -> None:
        try:
            while self._unsaid:
                sent = self._channel.send(self._unsaid, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                self._unsaid = self._unsaid[sent:]
        except BlockingIOError:
            return
        except OSError:
            self._unsaid = b""

    async def _configure(self, settings: Settings, group: asyncio.TaskGroup) -> None:
        try:
            runtime, client, health, prober = self._build(settings)
            self._certify(settings)
            if self._door is None:
                self._door = await self._open(runtime)
            self._telemetry.configure(settings)
        except (OSError, LookupError, ValueError) as error:
            self._say(Ready(problem=f"{type(error).__name__}: {error}"))
            return
        if self._clients:
            self._clients[-1].close()
        self._clients.append(client)
        if self._prober is not None:
            self._prober.close()
        self._runtime, self._health, self._prober = runtime, health, prober
        self._distances = Distances(settings.backends, client, health)
        self._splits.use(settings.policies, health.snapshot)
        self._door.use(runtime)
        origins = [origin_of(backend.base_urls[0]) for backend in settings.backends.values()]
        self._beside = [
            *(task for task in self._beside if not task.done()),
            group.create_task(client.warm(origins, WARM_WITHIN_S)),
            group.create_task(self._learn_prices(settings)),
            group.create_task(prober.run()),
        ]
        gc.collect()
        gc.freeze()
        self._say(Ready())

    async def _learn_prices(self, settings: Settings) -> None:
        targets = self._prices.unknown([target for targets in settings.models.values() for target in targets])
        if targets:
            await self._loop.run_in_executor(self._threads, self._look_up, targets)
            if self._runtime is not None:
                self._runtime.catalogue.forget()

    def _look_up(self, targets: list[Target]) -> None:
        self._prices.look_up(targets)

    def _build(self, settings: Settings) -> tuple[Runtime, UpstreamClient, Health, Prober]:
        here = settings.pops.get(settings.pop)
        location = here.location if here is not None else None
        health = Health(settings.backends, settings.models, location, self._clock.draw())
        if self._health is not None:
            health.inherit(self._health, self._clock.monotonic())
        client = UpstreamClient(settings, self._clock, self._sweeper, self._outbox)
        health.died = client.let_go
        catalogue = Catalogue(settings, self._prices.usd_per_mtok)
        batch = self._telemetry.batch
        told = (batch, self._splits) if watched(settings.policies) else (batch,)
        runtime = Runtime(
            settings=settings,
            clock=self._clock,
            keys=Keys(settings.callers, settings.key_pepper.reveal()),
            catalogue=catalogue,
            finder=Finder(
                self._instance,
                catalogue,
                Chooser(settings, health.snapshot, self._clock),
                self._prices.usd_per_mtok,
                self._telemetry.learner.lengths,
            ),
            attempter=Attempter(
                client,
                health,
                self._clock,
                settings.pop,
                settings.caps.event_bytes,
                shadows=self._shadows,
                told=self._telemetry.beside,
            ),
            settler=Settler(self._prices, told),
            faults=self._telemetry,
            room=self._room,
            draining=self._leaving.is_set,
        )
        prober = Prober(
            settings,
            client,
            self._clock,
            health,
            self._shared,
            self._telemetry.probing,
            who=self._instance,
            bug=self._telemetry.bug,
            company=health,
        )
        return runtime, client, health, prober

    def _certify(self, settings: Settings) -> None:
        """Use what the certificate files hold now; connections that stand keep what they were shown."""
        tls = settings.listen.tls
        fresh = tls_context(tls) if tls is not None else None
        if self._door is None:
            self._tls = fresh
        elif (fresh is None) != (self._tls is None):
            raise ValueError("TLS is switched on or off by a restart")
        elif tls is not None and self._tls is not None:
            self._tls.load_cert_chain(tls.certificate, tls.key)

    async def _open(self, runtime: Runtime) -> Door:
        """Accept on every socket the supervisor gave."""
        door = Door(runtime, self._sweeper, self._outbox, self._telemetry.log)
        for sock in self._listening:
            self._servers.append(await listen(door, sock, self._tls))
        return door

    # --- what time brings ---------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        # First of all the next one: no failure below may stop the clock.
        self._loop.call_later(INTERVAL_S, self._tick)
        now = self._loop.time()
        if self._expected_tick:
            self._telemetry.metrics.loop_lag.observe(max(0.0, now - self._expected_tick))
        self._expected_tick = now + INTERVAL_S
        self._telemetry.batch.tell()
        self._speak()
        if now >= self._next_report and self._clients:
            self._next_report = now + BACKENDS_EVERY
            if not self._unsaid:
                self._report()
            self._clients = [*(c for c in self._clients[:-1] if c.open), self._clients[-1]]
            now = self._clock.monotonic()
            self._clients[-1].evict(now)
            if self._prober is not None:
                self._prober.tick(now)
            if self._distances is not None:
                self._distances.tick(now)
        if self._health is not None:
            self._health.tick(self._clock.monotonic())
        self._sweeper.sweep(self._clock.monotonic())

    def _report(self) -> None:
        assert self._health is not None
        assert self._runtime is not None
        rows = self._health.rows()
        for row in rows:
            backend = self._runtime.settings.backends.get(row.name)
            row.idle_connections = self._clients[-1].idle(origin_of(backend.base_urls[0])) if backend else 0
        self._say(Backends(rows))
        failing = self._telemetry.failing
        for name, why, count in self._health.ejections():
            failing.ejected(name, why, count)
        failing.retried(self._health.retries.used(self._clock.monotonic()), self._runtime.settings.workers)

    # --- leaving ------------------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Say `Connection: close`, stop accepting, let what runs finish, and break off what doesn't."""
        door = self._door
        if door is not None:
            door.announce()
            if door.open:
                # Whoever keeps a connection learns from its next answer that he needs another; to close it under his
                # request would be a failure for him.
                await asyncio.sleep(min(ANNOUNCE_S, self._drain_within_s))
            for server in self._servers:
                server.close()
            door.drain()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._drain_within_s):
                    await door.done()
            for client in self._clients:
                client.break_off(Draining("This gateway is shutting down."))
            await door.flushed()
            door.abort()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_WITHIN_S):
                    await door.done()
        self._say(Drained())


def run_worker(channel_fd: int, listen_fds: list[int], slots_path: str) -> int:
    """Be a worker: everything it needs is inherited or comes through the channel."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    gc.set_threshold(*GC_THRESHOLDS)
    channel = socket.socket(fileno=channel_fd)
    listening = [socket.socket(fileno=fd) for fd in listen_fds]

    async def main() -> None:
        await Worker(channel, listening, slots_path, RealClock()).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    return 0
