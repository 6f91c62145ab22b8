"""The live table of backends: what is under way at each, what attempts have shown of it, and when it is asked nothing.

    began ─► first content ─► ended          every attempt, in O(1)
    told (by a prober) · tick (by the clock) · drain, resume (by an operator)

Decisions read `snapshot`, which is written in place. The arithmetic is routing's: outlier.py, throttle.py, estimate.py.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway.channel import BackendState
from gateway.errors import UpstreamBusy, UpstreamError, UpstreamOverloaded, UpstreamRefused, UpstreamUnavailableHere
from gateway.exchange import Attempt
from gateway.routing import budget
from gateway.routing.candidate import Candidate
from gateway.routing.chance import digest, stream
from gateway.routing.facts import Work
from gateway.routing.geo import Location
from gateway.routing.outlier import PROBE_S, most_out
from gateway.routing.snapshot import FOR_EVER, Load, Snapshot
from gateway.settings.shape import Backend, Target
from gateway.upstream.lessons import Lessons
from gateway.upstream.probes.reading import Reading
from gateway.upstream.record import Record, Trip

# Whoever asks us to stay away for longer is asked again after so long: a mistaken word must not last for hours.
COOLING_MOST_S: Final = 300.0
# Added to the score of a place that refused without saying until when.
HELD_MS: Final = 1000.0
HELD_MOST_MS: Final = 30_000.0
_HELD_KEPT: Final = 0.9  # of it, each second: about ten seconds
_HELD_LEAST_MS: Final = 1.0
# What a prober told of life is believed so long after its last word, and its numbers for longer.
TOLD_S: Final = 10.0
STALE_S: Final = 30.0
# What a report with an answer told is believed for: as long as what other gateways have read.
REPORTED_S: Final = 5.0
DEAD_AFTER: Final = 2  # tellings; one may have been lost
# A country may come to be served, and an address to be seen elsewhere.
REFUSED_HERE_S: Final = 3600.0
SETTLE_EVERY_S: Final = 1.0


class Health:
    """What one worker knows of its backends.

    `models` say which of them stand in for one another; `here` is where this POP is; `draw` is this process's chance.
    """

    def __init__(
        self,
        backends: Mapping[str, Backend],
        models: Mapping[str, Sequence[Target]] | None = None,
        here: Location | None = None,
        draw: int = 0,
    ) -> None:
        self._records = {name: Record(backend, here) for name, backend in backends.items()}
        self._sets: dict[str, list[frozenset[str]]] = {}
        self._serves: dict[str, set[str]] = {}
        for targets in (models or {}).values():
            names = frozenset(target.backend.name for target in targets)
            for target in targets:
                self._sets.setdefault(target.backend.name, []).append(names)
                self._serves.setdefault(target.backend.name, set()).add(target.model)
        self._trips: dict[int, Trip] = {}
        self._refused_here: dict[tuple[str, str], float] = {}
        self._cooling: dict[tuple[str, str], float] = {}
        self._draw = draw
        self._now = 0.0
        self._settled_at = -FOR_EVER
        self.died: Callable[[Backend], None] | None = None  # told of each backend that is found dead
        self.lessons = Lessons()
        self.retries = budget.retries()
        self.hedges = budget.hedges()
        self.snapshot = self._snapshot()

    def _snapshot(self) -> Snapshot:
        loads = {name: record.load for name, record in self._records.items()}
        lessons = self.lessons
        return Snapshot(
            loads, lessons.paces, lessons.homes, refused_here=frozenset(self._refused_here), cooling=self._cooling
        )

    def inherit(self, older: "Health", now: float | None = None) -> None:
        """After a reload, keep what is known of backends that are still there. Those that are new start slowly.

        Requests of the old configuration that are still under way end in the same tables.
        """
        self._trips, self._refused_here, self._cooling = older._trips, older._refused_here, older._cooling
        self._now, self._draw = older._now, older._draw
        self.lessons, self.retries, self.hedges = older.lessons, older.retries, older.hedges
        for name, fresh in self._records.items():
            record = older._records.get(name)
            if record is None:
                fresh.load.since = -FOR_EVER if now is None else now
            else:
                if record.become(fresh, self._now):
                    self.lessons.forget(name)
                    self._cool_no_more(name)
                self._records[name] = record
        self.snapshot = self._snapshot()
        self.snapshot.ended = older.snapshot.ended

    def _changed(self) -> None:
        """What decisions have made of the snapshot holds no longer: called wherever more than a count was written."""
        self.snapshot.lanes.clear()

    # --- an attempt ---------------------------------------------------------------------------------------------------

    def began(self, attempt: Attempt, candidate: Candidate | None = None, work: Work | None = None) -> None:
        """An attempt is about to be made; with what it was decided on, where that is known."""
        record = self._records[attempt.target.backend.name]
        load = record.load
        now = attempt.started
        if candidate is not None and work is not None:
            tokens = work.tokens_in
            hit = self.lessons.hit(candidate, work) if work.prefix else 0.0
            if hit:
                tokens = int((1.0 - hit) * tokens)
            trip = Trip(record, now, candidate, work, tokens, load.waiting_tokens + tokens)
            if work.stream:
                self.lessons.expect(trip, candidate, work, hit)
            load.waiting_tokens = trip.prompt
            if candidate.only_here:
                trip.singular = True
                load.only_here += 1
                self._changed()
        else:
            trip = Trip(record, now)
        self._trips[id(attempt)] = trip
        if load.half_open and record.until["ejected"] <= now:
            # It is this one that finds out. Whoever comes while it does sees the place ejected as before.
            trip.probe = trip.singular = True
            record.until["ejected"] = now + PROBE_S
            record.settle(now)
            load.probing = True
            self._changed()
        load.in_flight += 1
        if record.throttle.counting:
            record.throttle.sent(now)

    def first(self, attempt: Attempt) -> None:
        """The first content of a stream has come, at `attempt.first_content`."""
        trip = self._trips.get(id(attempt))
        if trip is not None and not trip.seen:
            self._first(trip, attempt)

    def _first(self, trip: Trip, attempt: Attempt) -> None:
        trip.seen = True
        if trip.tokens:
            trip.arrived()
        if trip.probe and trip.record.outlier.out:
            self._take_back(trip.record, attempt.first_content)
        self.lessons.began_to_answer(trip, attempt)
        self._changed()

    def ended(
        self,
        attempt: Attempt,
        *,
        hurts: bool = False,
        hung: bool = False,
        output_tokens: int = 0,
        stream: bool = False,
        error: UpstreamError | None = None,
        operation: str = "",
        size: int = 0,
    ) -> None:
        """Judge one finished attempt. `hurts`: it failed, and its place is to blame; `error` says more of it.

        `hung`: it had all the time there was and said nothing, which isn't charged, but who goes on so is ejected.
        `size` is the request's in bytes. An attempt that never began, or has ended before, is nobody's.
        """
        trip = self._trips.pop(id(attempt), None)
        if trip is None:
            return
        if attempt.first_content and not trip.seen:
            self._first(trip, attempt)
        record = trip.record
        load = record.load
        self._now = now = attempt.ended
        load.in_flight -= 1
        load.waiting_tokens -= trip.tokens
        if attempt.dialled_s:
            self._dialled(record, trip.candidate, attempt.dialled_s)
        if attempt.outcome != "answered":
            self._changed()
            self._missed(trip, attempt, error, hurts=hurts, hung=hung, stream=stream)
        else:
            row, outlier = record.row, record.outlier
            row.answered += 1
            row.consecutive_failures = 0
            record.answered_at = now
            if outlier.out or outlier.counting or load.most != FOR_EVER:
                self._better(trip, now)
            if not stream:
                work = trip.work
                if (operation and not output_tokens) or (work is not None and (work.session or work.prefix)):
                    self.lessons.answered_whole(trip, attempt, operation, size, output_tokens)
            elif attempt.first_content:
                record.streams.append((attempt, output_tokens))
                self.lessons.streamed(trip, attempt, output_tokens)
                self._changed()
        if trip.singular:
            self._release(trip, now)
        if record.freed is not None:
            record.freed(record.row.name)

    def _release(self, trip: Trip, now: float) -> None:
        """End what few attempts are beside being one more."""
        self._changed()
        record = trip.record
        load = record.load
        if trip.candidate is not None and trip.candidate.only_here:
            load.only_here -= 1
        if trip.probe and load.probing:
            # It found out nothing: the next one may.
            record.until["ejected"] = now
            record.settle(now)

    # --- what came of it ----------------------------------------------------------------------------------------------

    def _better(self, trip: Trip, now: float) -> None:
        """It answered, and something was held against it."""
        self._changed()
        record = trip.record
        outlier = record.outlier
        if outlier.out or outlier.counting:
            self._well(trip, now)
        if record.load.most != FOR_EVER:
            record.cap.accepted(now)
            record.load.most = record.cap.most

    def _well(self, trip: Trip, now: float) -> None:
        """It does answer. What was under way as it was ejected says nothing of how it is since."""
        outlier = trip.record.outlier
        if not outlier.out:
            outlier.well(now)
        elif trip.started >= outlier.out_at:
            self._take_back(trip.record, now)

    def _missed(
        self, trip: Trip, attempt: Attempt, error: UpstreamError | None, *, hurts: bool, hung: bool, stream: bool
    ) -> None:
        """It gave no answer: it failed, it refused, or nobody waited for it."""
        record, now = trip.record, attempt.ended
        if hurts or hung:
            if hurts:
                record.row.failed += 1
                record.row.last_error = attempt.outcome
            self._failed(trip, now)
            self.lessons.failed(trip, attempt)
        elif isinstance(error, UpstreamBusy):
            # Without a status it is a limit of our own, which says nothing of the place.
            if error.upstream_status:
                self._busy(trip, attempt.target.model, error, now)
        elif isinstance(error, UpstreamRefused):
            self._well(trip, now)
        elif isinstance(error, UpstreamUnavailableHere):
            self._refused_here[record.row.name, attempt.target.model] = now + REFUSED_HERE_S
            self.snapshot.refused_here = frozenset(self._refused_here)
        elif error is None and stream:
            self.lessons.given_up(trip, attempt)

    def _failed(self, trip: Trip, now: float) -> None:
        record = trip.record
        record.row.consecutive_failures += 1
        outlier = record.outlier
        if outlier.out:
            if trip.probe:
                self._eject(record, "half_open", now)
            return
        why = outlier.failed(now)
        if why == "consecutive_failures" or (why and self._may_eject(record.row.name)):
            self._eject(record, why, now)

    def _may_eject(self, name: str) -> bool:
        """Whether one more of each model it serves may be out for its rate of failures."""
        records = self._records
        return all(
            sum(other in records and records[other].outlier.out for other in names) < most_out(len(names))
            for names in self._sets.get(name, ())
        )

    def _eject(self, record: Record, why: str, now: float) -> None:
        row, load = record.row, record.load
        row.ejections += 1
        bits = stream(self._draw ^ row.ejections, row.name)
        record.until["ejected"] = now + record.outlier.eject(now, bits)
        record.why = why
        load.half_open, load.probing = True, False
        record.settle(now)

    def _take_back(self, record: Record, now: float) -> None:
        record.outlier.back(now)
        record.row.consecutive_failures = 0
        record.until["ejected"] = 0.0
        load = record.load
        load.half_open = load.probing = False
        load.since = now
        record.settle(now)

    def _busy(self, trip: Trip, model: str, error: UpstreamBusy, now: float) -> None:
        """It refused because of its load: stay away for as long as it says, or else ask for less."""
        record = trip.record
        record.throttle.refused(now)
        is_full = isinstance(error, UpstreamOverloaded)
        if error.retry_after_s:
            # 429 is about one model's limit, 503 and 529 about the whole place.
            self._cool(record, "" if is_full else model, now + min(error.retry_after_s, COOLING_MOST_S), now)
            return
        load = record.load
        record.cap.refused(load.in_flight + 1, now)
        load.most = record.cap.most
        load.held_ms = min(HELD_MOST_MS, load.held_ms + HELD_MS)
        if is_full:
            # That may also be a proxy with nobody behind it, which goes on for ever.
            self._failed(trip, now)

    def _cool(self, record: Record, which: str, until: float, now: float) -> None:
        """Ask for a model, or for anything at all, no sooner than then; of several words the latest holds."""
        cooling = {name: end for name, end in record.cooling.items() if end > now}
        cooling[which] = max(cooling.get(which, 0.0), until)
        record.cooling = cooling
        if which:
            self._cooling[record.row.name, which] = cooling[which]
        models = self._serves.get(record.row.name, set())
        if not models or "*" in models:
            record.until["cooling"] = max(cooling.values())
        else:
            # The place is shut where everything it serves is; of a single model, the snapshot's `cooling`.
            shortest = min(cooling.get(model, 0.0) for model in models)
            record.until["cooling"] = max(cooling.get("", 0.0), shortest)
        record.settle(now)

    def _cool_no_more(self, backend: str) -> None:
        for target in [target for target in self._cooling if target[0] == backend]:
            del self._cooling[target]

    def watch(self, backend: str, freed: Callable[[str], None] | None) -> None:
        """Whom to tell of each attempt that ends there; None: nobody any more. KeyError: no such backend."""
        self._records[backend].freed = freed

    def hold(self, backend: str, count: int) -> None:
        """Count a request there that hasn't begun (1), or no longer (-1). KeyError: no such backend."""
        self._records[backend].load.in_flight += count

    def _dialled(self, record: Record, candidate: Candidate | None, dialled_s: float) -> None:
        """A connection was made for this attempt: one round trip, two where TLS was spoken over it."""
        backend = record.backend
        if dialled_s < backend.timeouts.connect_s:
            trips = 2.0 if backend.base_urls[0].startswith("https") else 1.0
            if candidate is not None:
                record.rtt.prior_ms = candidate.rtt_ms
            self.reached(backend.name, dialled_s / trips)

    def reached(self, backend: str, rtt_s: float) -> None:
        """A round trip was measured on a connection to it. KeyError: no such backend."""
        record = self._records[backend]
        record.load.rtt_ms = record.rtt.measured(rtt_s * 1e3)
        self._changed()

    # --- what others say ----------------------------------------------------------------------------------------------

    def told(self, backend: str, reading: Reading, now: float) -> None:
        """A prober read at `now` what a backend says of itself; what it doesn't say is neither nought nor full."""
        record = self._records.get(backend)
        if record is None:
            return
        self._changed()
        load = record.load
        load.told_at = now
        # It counts ours, too, which are known to the moment; what is left is the others'.
        record.scraped = None if reading.working is None else max(0.0, reading.working - load.in_flight)
        record.count_others()
        load.queued = reading.waiting or 0.0
        load.kv = reading.kv or 0.0
        load.models = reading.models
        load.loadable = reading.loadable
        load.adapters = reading.adapters
        load.watts = reading.watts or 0.0
        record.slots = reading.slots or record.backend.slots
        if reading.rtt_ms is not None:
            load.rtt_ms = record.rtt.pinged(reading.rtt_ms)
        if reading.alive:
            record.deads = 0
            record.until["dead"] = 0.0
        elif reading.alive is not None:
            record.dead_since = record.dead_since if record.deads else now
            record.deads += 1
            # An answer to a request weighs more than a health check's silence.
            if record.deads >= DEAD_AFTER and record.answered_at < record.dead_since:
                was_dead = record.until["dead"] > now
                record.until["dead"] = now + TOLD_S
                if not was_dead and self.died is not None:
                    self.died(record.backend)
        record.until["loading"] = now + TOLD_S if reading.loading else 0.0
        record.settle(max(now, self._now))

    def own(self, backend: str) -> Load:
        """What this gateway has under way there. KeyError: no such backend."""
        return self._records[backend].load

    def elsewhere(self, backend: str, in_flight: int, waiting_tokens: float) -> None:
        """What all other gateways together have there; of their tokens nothing is known here yet."""
        del waiting_tokens
        record = self._records[backend]
        record.elsewhere = in_flight
        record.count_others()
        self._changed()

    def cooled_until(self, backend: str) -> float:
        """Until when all of a backend is cooling; the past where it isn't."""
        return self._records[backend].until["cooling"]

    def cooled(self, backend: str, until: float) -> None:
        """Another gateway was told to stay away from it until then."""
        self._cool(self._records[backend], "", until, self._now)
        self._changed()

    def drain(self, backend: str, now: float, for_s: float | None = None) -> None:
        """Ask it nothing more, until `resume` or for so long; what runs there may finish. KeyError: no such backend."""
        record = self._records[backend]
        record.until["drained"] = FOR_EVER if for_s is None else now + for_s
        record.settle(now)
        self._changed()

    def resume(self, backend: str, now: float) -> None:
        """Ask it again, whatever was seen of it before. KeyError: no such backend."""
        record = self._records[backend]
        record.until["drained"] = record.until["cooling"] = 0.0
        record.cooling = {}
        self._cool_no_more(backend)
        record.row.consecutive_failures = 0
        if record.load.half_open or record.until["ejected"] > now:
            self._take_back(record, now)
        record.settle(now)
        self._changed()

    def throttles(self, backend: str, now: float, draw: int) -> bool:
        """Whether a request isn't to be sent to it, because it has refused too many of them lately."""
        return self._records[backend].throttle.holds(now, stream(draw, "throttle") ^ digest(backend))

    def tick(self, now: float) -> None:
        """What time does by itself; to be called a few times a second."""
        self._now = now
        self._changed()
        self.retries.turn(now)
        for record in self._records.values():
            if record.load.shut:
                record.settle(now)
        for trip in self._trips.values():
            # Nobody sees the first token of a whole answer: its prompt was read once the time it takes is over.
            if trip.tokens and not trip.predicted_ms and (now - trip.started) * 1e3 >= trip.expected_ms():
                trip.arrived()
        if now - self._settled_at >= SETTLE_EVERY_S:
            self._settled_at = now
            self.lessons.settle(now)
            for record in self._records.values():
                _fade(record, now)
            for target in [target for target, until in self._refused_here.items() if until <= now]:
                del self._refused_here[target]
            for target in [target for target, until in self._cooling.items() if until <= now]:
                del self._cooling[target]
            if self._refused_here.keys() != self.snapshot.refused_here:
                self.snapshot.refused_here = frozenset(self._refused_here)

    # --- what is shown ------------------------------------------------------------------------------------------------

    def row(self, backend: str) -> BackendState:
        """One backend as it is shown; its counts go on in place."""
        return self._records[backend].shown(self._now)

    def rows(self) -> list[BackendState]:
        return [record.shown(self._now) for record in self._records.values()]

    def ejections(self) -> list[tuple[str, str, int]]:
        """The backends that were ever ejected, why they were the last time, and how often in all."""
        rows = ((record, record.row) for record in self._records.values())
        return [(row.name, record.why, row.ejections) for record, row in rows if row.ejections]

    # --- what answers say ---------------------------------------------------------------------------------------------

    def reported(self, backend: str, reading: Reading, now: float) -> None:
        """An answer of a backend told at `now` a part of what probes read; it is believed no longer than theirs is."""
        record = self._records.get(backend)
        if record is None:
            return
        load = record.load
        before = load.queued, load.kv, load.reported
        if reading.waiting is not None:
            load.queued = reading.waiting
        if reading.kv is not None:
            load.kv = reading.kv
        if reading.running is not None:
            record.scraped = max(0.0, reading.running + load.queued - load.in_flight)
            record.count_others()
        # Where no prober tells anything anew, all of it is forgotten REPORTED_S from now.
        load.told_at = max(load.told_at, now - (STALE_S - REPORTED_S))
        if before != (load.queued, load.kv, load.reported):
            self._changed()


def _fade(record: Record, now: float) -> None:
    """What a second takes from what was held against a place, and half a minute's silence from what it told."""
    load = record.load
    for track in record.tracks.values():
        track.settle(now)
    if load.held_ms:
        load.held_ms = load.held_ms * _HELD_KEPT if load.held_ms > _HELD_LEAST_MS else 0.0
    if load.told_at and now - load.told_at > STALE_S:
        load.told_at = load.queued = load.kv = load.watts = 0.0
        load.models = load.adapters = record.scraped = None
        load.loadable = frozenset()
        record.count_others()
