"""What attempts teach of models on backends: times of first tokens and of further ones, and where conversations are.

Only streams say when a first token came. A whole answer of tokens teaches nothing here; an operation without tokens has
its time from end to end. An error never makes a place look fast: what looks good is learned from answers only.
"""

from typing import Final

from gateway.exchange import Attempt
from gateway.routing.candidate import Candidate
from gateway.routing.estimate import (
    EACH_LEAST_TOKENS,
    PREFILL_LEAST_TOKENS,
    Track,
    cold_ms,
    moved,
    predicted_first_ms,
    size_class,
)
from gateway.routing.facts import Work
from gateway.routing.score import ADAPTER_MS, PREFIX_HIT
from gateway.routing.snapshot import UNKNOWN, Home, Pace
from gateway.upstream.record import LEAST_MS, Trip

TRACKS_MOST: Final = 1_000  # models of a backend: what a glob stands for is the callers' to make up
WHOLES_MOST: Final = 5_000
HOMES_MOST: Final = 50_000
HOMES_S: Final = 24 * 3600.0


class Lessons:
    """All that was learned. `paces` and `homes` are what decisions read; they are written in place."""

    def __init__(self) -> None:
        self.paces: dict[tuple[str, str], Pace] = {}
        self.homes: dict[int, Home] = {}
        self._wholes: dict[tuple[str, str, str, int], float] = {}

    def hit(self, candidate: Candidate, work: Work) -> float:
        """The share of its prompt that a place has in its cache."""
        home = self.homes.get(work.prefix) if work.prefix else None
        return PREFIX_HIT if home is not None and home.backend == candidate.backend else 0.0

    def expect(self, trip: Trip, candidate: Candidate, work: Work, hit: float) -> None:
        """Note what the score counts with for a stream, before it adds to its place's load."""
        record = trip.record
        load = record.load
        track = trip.track = record.tracks.get(candidate.model)
        pace = track.pace if track is not None else UNKNOWN
        trip.predicted_ms = predicted_first_ms(candidate, load, work, pace, hit) + LEAST_MS
        if load.models is not None:
            trip.cold_ms = cold_ms(candidate, load)

    def began_to_answer(self, trip: Trip, attempt: Attempt) -> None:
        """The first content of a stream has come. Bad news is learned at once; what looks fast may yet fail."""
        now, work, candidate = attempt.first_content, trip.work, trip.candidate
        if work is None or candidate is None:
            return
        if work.session or work.prefix:
            self._settle_in(work, candidate.backend, now)
        ttft_ms = (now - (attempt.sent or attempt.started)) * 1e3
        if ttft_ms > trip.predicted_ms > 0.0:
            self._first(trip, candidate, ttft_ms, now, only_slow=True)

    def streamed(self, trip: Trip, attempt: Attempt, output_tokens: int) -> None:
        """A stream was answered to its end."""
        candidate = trip.candidate
        if candidate is None:
            return
        now, began = attempt.ended, attempt.first_content
        if trip.predicted_ms and not trip.learned:
            self._first(trip, candidate, (began - (attempt.sent or attempt.started)) * 1e3, now)
        if output_tokens >= EACH_LEAST_TOKENS:
            (trip.track or self._track(trip, candidate)).token((now - began) * 1e3 / (output_tokens - 1), now)

    def answered_whole(self, trip: Trip, attempt: Attempt, operation: str, size: int, output_tokens: int) -> None:
        """A whole answer came, to a request whose body had so many bytes."""
        work, candidate = trip.work, trip.candidate
        if work is not None and candidate is not None and (work.session or work.prefix):
            self._settle_in(work, candidate.backend, attempt.ended)
        if not operation or output_tokens:
            return
        key = (trip.record.row.name, attempt.target.model, operation, size_class(size))
        if key not in self._wholes and len(self._wholes) >= WHOLES_MOST:
            del self._wholes[next(iter(self._wholes))]
        self._wholes[key] = moved(self._wholes.get(key, 0.0), _waited_ms(attempt))

    def failed(self, trip: Trip, attempt: Attempt) -> None:
        """It failed: after the time that it made somebody wait for a first token."""
        if trip.candidate is not None:
            waited_ms = 0.0 if attempt.first_content else _waited_ms(attempt)
            self._track(trip, trip.candidate).failed(waited_ms / trip.expected_ms(), attempt.ended)

    def given_up(self, trip: Trip, attempt: Attempt) -> None:
        """Whoever left a stream before its first token waited so long, and it would have come later still."""
        if trip.candidate is not None and not attempt.first_content:
            ratio = _waited_ms(attempt) / trip.expected_ms()
            if ratio > 1.0:
                self._track(trip, trip.candidate).first(ratio, attempt.ended, only_slow=True)

    def whole_ms(self, backend: str, model: str, operation: str, size: int) -> float:
        """How long a request without tokens takes from end to end, by the size of its body; 0.0 while nobody knows."""
        return self._wholes.get((backend, model, operation, size_class(size)), 0.0)

    def settle(self, now: float) -> None:
        """What time does by itself; once a second."""
        homes = self.homes
        while homes and now - homes[oldest := next(iter(homes))].at > HOMES_S:
            del homes[oldest]

    def forget(self, backend: str) -> None:
        """It is another server now, of the same name."""
        for key in [key for key in self.paces if key[0] == backend]:
            del self.paces[key]

    def _track(self, trip: Trip, candidate: Candidate) -> Track:
        """What is known of a model on a backend, from now on."""
        tracks = trip.record.tracks
        track = trip.track = tracks.get(candidate.model)
        if track is None:
            if len(tracks) >= TRACKS_MOST:
                oldest = next(iter(tracks))
                del tracks[oldest], self.paces[candidate.backend, oldest]
            track = trip.track = tracks[candidate.model] = Track(candidate)
            self.paces[candidate.backend, candidate.model] = track.pace
        return track

    def _first(self, trip: Trip, candidate: Candidate, ttft_ms: float, now: float, *, only_slow: bool = False) -> None:
        """What a first token's time says of slowness and of the prefill rate, or of how long a model takes to load."""
        load = trip.record.load
        if trip.cold_ms:
            trip.learned = True
            if trip.cold_ms != ADAPTER_MS:
                cold = max(0.0, ttft_ms - trip.predicted_ms + trip.cold_ms)
                load.cold_ms += (cold - load.cold_ms) / 2.0
            return
        track = trip.track or self._track(trip, candidate)
        if track.first(ttft_ms / trip.predicted_ms, now, only_slow=only_slow):
            trip.learned = True
            if trip.prompt >= PREFILL_LEAST_TOKENS:
                track.prefill(trip.prompt, ttft_ms - (load.rtt_ms or candidate.rtt_ms) - candidate.first_ms, now)

    def _settle_in(self, work: Work, backend: str, now: float) -> None:
        """The next request of this conversation, or with this prefix, has its prompt warm here."""
        homes = self.homes
        for key in (work.session, work.prefix):
            if key:
                homes.pop(key, None)
                homes[key] = Home(backend, now)
                if len(homes) > HOMES_MOST:
                    del homes[next(iter(homes))]


def _waited_ms(attempt: Attempt) -> float:
    """Since it was sent, the making of a connection apart."""
    return (attempt.ended - (attempt.sent or attempt.started)) * 1e3
