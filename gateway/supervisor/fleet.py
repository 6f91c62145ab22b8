"""All workers: one process a slot, replaced when it dies, told of new settings in turn, drained together."""

import asyncio
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from gateway.channel import BackendState, Configure, Drain, Steer
from gateway.clock import Clock
from gateway.settings.shape import Settings
from gateway.supervisor.child import Child, Gone
from gateway.supervisor.sockets import Listening
from gateway.telemetry.families import WORKER
from gateway.telemetry.log import Log
from gateway.telemetry.slots import SlotReader, Totals, create, names_path

# A worker that was at work this long is not failing at its start; its successor begins the back-off anew.
STEADY_S = 10.0
FIRST_WAIT_S = 0.05
MOST_WAIT_S = 5.0
# A worker that hasn't answered by then never will.
ANSWER_S = 30.0
# Beyond the drain's own limit: to abort what runs and to write the last lines.
LEAVE_S = 5.0
MOST_DEATHS_AT_START = 5
# A worker whose channel is full by then doesn't read it.
TELL_S = 1.0
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (our files have names nobody can guess)


def backoff_s(deaths: int) -> float:
    """How long to wait before the next try after so many deaths in a row; the first is replaced at once."""
    return 0.0 if deaths <= 1 else min(MOST_WAIT_S, FIRST_WAIT_S * 2.0 ** (deaths - 2))


class NeverReady(Exception):
    """No worker could be brought to work; `unusable` where the settings are to blame."""

    def __init__(self, why: str, *, unusable: bool) -> None:
        super().__init__(why)
        self.unusable = unusable


class Fleet:
    """The workers of one gateway. `run` lives as long as they do."""

    def __init__(
        self, command: Sequence[str], listening: Listening, settings: Settings, clock: Clock, log: Log
    ) -> None:
        self.settings = settings
        self.totals = Totals(WORKER)
        self.replaced = 0
        self.serving = asyncio.Event()
        self.leaving = asyncio.Event()
        self._command = command
        self._listening = listening
        self._clock = clock
        self._log = log
        self._children: dict[int, Child] = {}
        self._failure: NeverReady | None = None
        self._reconfiguring = asyncio.Lock()
        self._drained: dict[str, float | None] = {}  # until when, in monotonic seconds; None: until told otherwise

    @property
    def ready(self) -> int:
        """Workers that serve."""
        return sum(child.ready for child in self._children.values())

    def tables(self) -> list[list[BackendState]]:
        """Every serving worker's view of the backends."""
        return [child.backends for child in self._children.values() if child.ready and child.backends]

    async def run(self) -> None:
        """Keep every slot staffed until the fleet was drained. NeverReady where no worker could be brought to work."""
        try:
            async with asyncio.TaskGroup() as group:
                for slot in range(len(self._listening.tcp)):
                    group.create_task(self._staff(slot))
        finally:
            self.totals.close()
        if self._failure is not None:
            raise self._failure

    async def reconfigure(self, settings: Settings) -> str:
        """Bring new settings into force: the problem the first worker has with them, or "".

        One worker goes first; where it refuses or falls over, nobody else is asked and the old settings stay.
        """
        async with self._reconfiguring:
            for child in list(self._children.values()):
                if not child.ready:
                    continue
                try:
                    problem = await child.ask(Configure(settings), ANSWER_S)
                except Gone as gone:
                    problem = str(gone)
                if problem and self.settings is not settings:
                    return problem
                if problem:
                    # It would serve other settings than its neighbours; its successor will have theirs.
                    self._log("error", "worker kept the old settings", pid=child.process.pid, problem=problem)
                    child.kill()
                self.settings = settings
            return "" if self.settings is settings else "no worker is ready"

    async def steer(self, backends: Sequence[str], *, resume: bool, for_s: float | None = None) -> None:
        """Tell every worker, and each that comes later, to ask these backends nothing, or to ask them again."""
        for name in backends:
            if resume:
                self._drained.pop(name, None)
            else:
                self._drained[name] = None if for_s is None else self._clock.monotonic() + for_s
        message = Steer(tuple(backends), resume, for_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(TELL_S), asyncio.TaskGroup() as group:
                for child in self._children.values():
                    group.create_task(child.say(message))

    async def drain(self, within_s: float) -> None:
        """Tell every worker to finish and leave; `run` ends when they have, or when their time is over."""
        self.leaving.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(TELL_S), asyncio.TaskGroup() as group:
                for child in self._children.values():
                    group.create_task(child.say(Drain(within_s)))
        self._listening.stop_accepting()
        await asyncio.sleep(within_s + LEAVE_S)
        self.kill()

    def kill(self) -> None:
        """End every worker now, and replace none."""
        self.leaving.set()
        for child in self._children.values():
            child.kill()

    async def _staff(self, slot: int) -> None:
        deaths = 0
        while True:
            began = self._clock.monotonic()
            served = await self._employ(slot)
            if self.leaving.is_set():
                return
            deaths = 1 if served and self._clock.monotonic() - began > STEADY_S else deaths + 1
            if deaths >= MOST_DEATHS_AT_START and not self.serving.is_set():
                self._give_up(NeverReady(f"worker {slot} ended {deaths} times before it was ready", unusable=False))
                return
            self.replaced += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(backoff_s(deaths)):
                    await self.leaving.wait()
                    return

    async def _employ(self, slot: int) -> bool:
        """One worker's life; whether it ever served."""
        path = _made()
        reader = self.totals.watch(path)
        try:
            child = await Child.start(self._command, self._listening.of_worker(slot), path)
        except OSError as error:
            self._log("error", "worker can't be started", slot=slot, problem=str(error.strerror))
            self._retire(reader, path)
            return False
        self._children[slot] = child
        if self.leaving.is_set():
            child.kill()
        async with asyncio.TaskGroup() as group:
            group.create_task(child.listen())
            group.create_task(self._introduce(slot, child, path))
            await child.process.wait()
        del self._children[slot]
        child.close()
        if not self.leaving.is_set():
            self._log("warning", "worker ended", slot=slot, pid=child.process.pid, code=child.process.returncode)
        self._retire(reader, path)
        return child.served

    async def _introduce(self, slot: int, child: Child, path: str) -> None:
        try:
            settings = self.settings
            problem = await child.ask(Configure(settings), ANSWER_S)
            if not problem and settings is not self.settings:
                problem = await child.ask(Configure(self.settings), ANSWER_S)
            await self._remind(child)
        except Gone:
            return
        _forget(path)
        if problem:
            self._log("error", "worker refused the settings", slot=slot, problem=problem)
            child.kill()
            if not self.serving.is_set():
                self._give_up(NeverReady(problem, unusable=True))
        elif self.ready == len(self._listening.tcp):
            self.serving.set()

    async def _remind(self, child: Child) -> None:
        """Tell a worker that has just come what an operator wants of backends."""
        now = self._clock.monotonic()
        self._drained = {name: until for name, until in self._drained.items() if until is None or until > now}
        for name, until in self._drained.items():
            await child.say(Steer((name,), resume=False, for_s=None if until is None else until - now))

    def _give_up(self, failure: NeverReady) -> None:
        self._failure = self._failure or failure
        self.kill()

    def _retire(self, reader: SlotReader, path: str) -> None:
        self.totals.retire(reader)
        _forget(path)


def _made() -> str:
    """Slots for one worker, in memory where there is some: a mapping on a disk waits when it is written back."""
    handle, path = tempfile.mkstemp(
        prefix="gateway-", dir=_SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
    )
    os.close(handle)
    create(path)
    return path


def _forget(path: str) -> None:
    """Both files are open where they are needed; nothing is left behind by whoever is killed."""
    for name in (path, names_path(path)):
        with suppress(FileNotFoundError):
            Path(name).unlink()
