"""`gateway serve`: settings, sockets, workers, control port, signals; and the order in which they come and go.

Workers are told to start before the control port's libraries are loaded, so that both load at once. On the way out the
control port goes last: whoever watches sees the drain.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

from gateway.clock import Clock, RealClock
from gateway.errors import ConfigUnusable
from gateway.settings.environment import otel
from gateway.settings.load import load_options
from gateway.settings.options import ServeOptions
from gateway.settings.shape import Settings
from gateway.supervisor.board import LiveBoard, Tally
from gateway.supervisor.dev import Dev
from gateway.supervisor.fleet import Fleet, NeverReady
from gateway.supervisor.reach import EVERY_S
from gateway.supervisor.sockets import CannotListen, Listening
from gateway.supervisor.stand_ins import StandIns, StandInsMissing
from gateway.telemetry.log import Adopted, Log
from gateway.telemetry.trace import TracingUnspoken, wanted
from gateway.telemetry.writer import LogWriter

FINE = 0
FOUND_WRONG = 1
UNUSABLE = 78
WORKER_COMMAND = (sys.executable, "-m", "gateway", "worker")
_CONTROL_CLOSE_S = 1.0


def serve(
    options: ServeOptions, *, worker_command: Sequence[str] | None = None, stand_ins: StandIns | None = None
) -> int:
    """Serve until told to stop: 0; 78 where configuration or an address can't be used, 1 where workers fall over."""
    try:
        settings, dev = load_options(options), None
        wanted(otel())
        if stand_ins is not None:
            dev = Dev(settings, stand_ins)
            settings = dev.settings(settings)
        listening = _listen(settings)
    except (ConfigUnusable, CannotListen, StandInsMissing, TracingUnspoken) as unusable:
        sys.stderr.write(f"{unusable}\n")
        return UNUSABLE
    with asyncio.Runner() as runner:
        return runner.run(
            Supervisor(options, settings, listening, worker_command or WORKER_COMMAND, RealClock(), dev).run()
        )


def _listen(settings: Settings) -> Listening:
    listen, listening = settings.listen, Listening()
    try:
        listening.open(listen.host, listen.port, settings.workers)
        if listen.unix:
            listening.open_unix(listen.unix)
        listening.open_control(listen.control_host, listen.control_port)
    except CannotListen:
        listening.close()
        raise
    return listening


class Supervisor:
    """One gateway's life: `run` ends when the last worker has left."""

    def __init__(
        self,
        options: ServeOptions,
        settings: Settings,
        listening: Listening,
        worker_command: Sequence[str],
        clock: Clock,
        dev: Dev | None = None,
    ) -> None:
        self._options = options
        self._dev = dev
        self._opened_for = settings
        self._listening = listening
        dropped = Tally()
        self._writer = LogWriter(sys.stdout.fileno(), dropped, clock=clock)
        self._log = Log(self._writer, clock, settings.log_level)
        logging.getLogger().addHandler(Adopted(self._log))
        self._fleet = Fleet(worker_command, listening, settings, clock, self._log)
        self._board = LiveBoard(self._fleet, dropped)
        self._signals: asyncio.Queue[signal.Signals] = asyncio.Queue()

    async def run(self) -> int:
        """Start, serve, drain; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._signals.put_nowait, number)
        code = FINE
        try:
            async with asyncio.TaskGroup() as group:
                works = (self._obey(), self._control(), self._greet(), self._look())
                beside = [group.create_task(work) for work in works]
                try:
                    await self._fleet.run()
                except NeverReady as failure:
                    self._log("error", "no worker can serve", problem=str(failure))
                    code = UNUSABLE if failure.unusable else FOUND_WRONG
                for task in beside:
                    task.cancel()
        finally:
            self._listening.close()
            self._writer.close()
        return code

    async def _control(self) -> None:
        """Answer on the control port until cancelled."""
        from aiohttp import web  # noqa: PLC0415  (a third of a second, while the workers load what they need)

        from gateway.control.app import application  # noqa: PLC0415  (it needs aiohttp)

        assert self._listening.control is not None
        runner = web.AppRunner(application(self._board), access_log=None, shutdown_timeout=_CONTROL_CLOSE_S)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            await web.SockSite(runner, self._listening.control).start()
            await asyncio.Event().wait()

    async def _greet(self) -> None:
        """Say where we listen, once somebody does."""
        await self._fleet.serving.wait()
        assert self._listening.control is not None
        host, port = self._listening.tcp[0].getsockname()[:2]
        control_port = self._listening.control.getsockname()[1]
        settings = self._fleet.settings
        self._log(
            "info",
            "serving",
            host=host,
            port=port,
            control_port=control_port,
            workers=len(self._listening.tcp),
            revision=settings.revision,
        )
        if self._dev is not None:
            self._writer.put(self._dev.banner(settings, port, control_port).encode())

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            await self._board.look()

    async def _obey(self) -> None:
        """Signals in the order they come: reload; drain; and when told to stop again, stop."""
        async with asyncio.TaskGroup() as group:
            while True:
                number = await self._signals.get()
                if number is signal.SIGHUP:
                    group.create_task(self._reload())
                elif self._fleet.leaving.is_set():
                    self._log("warning", "stopping at once", signal=number.name)
                    self._fleet.kill()
                else:
                    within_s = self._fleet.settings.drain_s
                    self._log("info", "draining", signal=number.name, within_s=within_s)
                    self._fleet.leaving.set()
                    group.create_task(self._fleet.drain(within_s))

    async def _reload(self) -> None:
        """Read the configuration again; what is broken or refused changes nothing and says why."""
        if self._fleet.leaving.is_set():
            return
        try:
            settings = load_options(self._options)
            if self._dev is not None:
                settings = self._dev.settings(settings, self._fleet.settings)
        except ConfigUnusable as unusable:
            problems = [str(problem) for problem in unusable.problems]
        else:
            problem = await self._fleet.reconfigure(settings)
            problems = [problem] if problem else []
            if not problems:
                self._tell_of(settings)
        self._board.reloads["refused" if problems else "accepted"] += 1
        for line in problems:
            self._log("error", "reload refused", problem=line)

    def _tell_of(self, settings: Settings) -> None:
        self._log.configure(settings.log_level)
        self._log("info", "reloaded", revision=settings.revision)
        if settings.listen != self._opened_for.listen or settings.workers != self._opened_for.workers:
            self._log("warning", "addresses and the number of workers change at a restart only")
