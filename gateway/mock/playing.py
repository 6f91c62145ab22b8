"""Plays the steps of an answer over a transport: one timer at a time, none while it stalls or its reader is slow."""

import asyncio
from collections.abc import Callable, Iterator

from gateway.clock import Clock
from gateway.mock.ledger import Entry, Ledger
from gateway.mock.metrics import Meters
from gateway.mock.script import Step, Then
from gateway.mock.slots import Slots


class Stage:
    """What every answer of one stand-in is played on."""

    __slots__ = ("clock", "ledger", "loop", "meters", "slots")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, ledger: Ledger, meters: Meters, slots: Slots
    ) -> None:
        self.loop = loop
        self.clock = clock
        self.ledger = ledger
        self.meters = meters
        self.slots = slots


class Play:
    """One answer under way, from its place in the queue to its last byte."""

    __slots__ = (
        *("_done", "_due", "_last_token_at", "_owed", "_paused", "_stage", "_step", "_steps", "_timer", "_transport"),
        *("_waits_for_slot", "entry", "reason"),
    )

    def __init__(
        self,
        stage: Stage,
        transport: asyncio.Transport,
        entry: Entry,
        steps: Iterator[Step],
        *,
        reason: str,
        done: Callable[[Then], None],
    ) -> None:
        self._stage = stage
        self._transport = transport
        self.entry = entry
        self.reason = reason
        self._steps = steps
        self._done = done
        self._step = Step(0.0, b"")
        self._timer: asyncio.Handle | None = None
        self._due = 0.0
        self._paused = False
        self._owed = False
        self._waits_for_slot = False
        self._last_token_at = 0.0

    def start(self, *, in_slot: bool) -> None:
        """Begin when a slot is free, or at once where none is needed."""
        self._waits_for_slot = in_slot
        if in_slot:
            self._stage.slots.enter(self)
            self._stage.meters.note_adapters(self._stage.slots, self._stage.clock.wall())
            self._stage.ledger.changed()
        else:
            self.begin()

    def begin(self) -> None:
        """Schedule the first step."""
        now = self._stage.clock.monotonic()
        self.entry.begun_at = now
        if self._waits_for_slot:
            self._stage.meters.queue_time.observe(now - self.entry.started_at)
            self._stage.meters.prompt_tokens += self.entry.prompt_tokens
        self._due = self._stage.loop.time()
        self._schedule()

    def pause(self) -> None:
        """Hold the next step back: the reader is slower than the answer."""
        self._paused = True

    def resume(self) -> None:
        """Go on from here; what the pause cost is not caught up."""
        self._paused = False
        if self._owed:
            self._owed = False
            self._due = self._stage.loop.time()
            self._timer = self._stage.loop.call_soon(self._play)

    def leave(self) -> None:
        """The caller has closed: note when, and free the slot."""
        self._end(finished=False, left=True)

    def abandon(self) -> None:
        """The stand-in itself breaks off: the caller has not left."""
        self._end(finished=False, left=False)

    def _schedule(self) -> None:
        self._step = step = next(self._steps)
        if step.wait_s > 0:
            self._due += step.wait_s
            self._timer = self._stage.loop.call_at(self._due, self._play)
        else:
            self._timer = self._stage.loop.call_soon(self._play)

    def _play(self) -> None:
        self._timer = None
        if self._paused:
            self._owed = True
            return
        _, data, tokens, then = self._step
        if data:
            self._transport.write(data)
        if tokens:
            self._count_tokens(tokens)
        if data:
            self._stage.ledger.sent(self.entry, len(data), tokens)
        if then is Then.GO:
            self._schedule()
        elif then is not Then.STALL:
            self._end(finished=then is Then.END, left=False)
            self._done(then)

    def _count_tokens(self, tokens: int) -> None:
        meters, now = self._stage.meters, self._stage.clock.monotonic()
        meters.generation_tokens += tokens
        if self.entry.first_at is None:
            self.entry.first_at = now
            meters.ttft.observe(now - self.entry.started_at)
        else:
            meters.inter_token.observe(now - self._last_token_at)
        self._last_token_at = now

    def _end(self, *, finished: bool, left: bool) -> None:
        if self.entry.ended_at is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        stage = self._stage
        now = stage.clock.monotonic()
        if self._waits_for_slot:
            meters = stage.meters
            meters.success["abort" if left else self.reason if finished else "error"] += 1
            meters.request_time.observe(now - self.entry.started_at)
            stage.slots.leave(self)
            meters.note_adapters(stage.slots, stage.clock.wall())
        stage.ledger.ended(self.entry, now, finished=finished, left=left)
