import asyncio

import pytest
from msgspec import Raw
from msgspec.structs import replace

from gateway.channel import BackendState
from gateway.clock import HandClock
from gateway.errors import (
    BadRequest,
    Bug,
    CallerLeft,
    DeadlineExceeded,
    LoopDetected,
    Unauthorized,
    UpstreamBusy,
    UpstreamDenied,
    UpstreamRefused,
    UpstreamSlow,
    UpstreamUnavailableHere,
)
from gateway.exchange import Exchange
from gateway.features import Usage
from gateway.routing.candidate import Candidate
from gateway.routing.facts import Work
from gateway.settings.shape import Backend, Target
from gateway.stages.trial import Trial, refusal
from gateway.upstream.catalogue import Place
from gateway.upstream.health import Health
from gateway.upstream.pool import Origin
from gateway.wire import load
from tests.doubles.inside import PROVIDER
from tests.stages.kept import exchange

BACKEND = Backend(name="one", provider=PROVIDER, base_urls=("http://10.1.0.7",))
PLACE = Place(
    target=Target(backend=BACKEND, model="m"),
    candidate=Candidate(0, "one", "m"),
    origin=Origin(secure=False, host="10.1.0.7", port=80),
    wire=load("openai_chat"),
    head=b"POST / HTTP/1.1\r\n",
    stream_head=b"",
    model="m",
    model_json=Raw(b'"m"'),
    ask_usage=False,
)


class Bench:
    """A request about to be tried at one place, and what is known of that place."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.health = Health({"one": BACKEND})
        self.exchange: Exchange = exchange(started=self.clock.monotonic())

    @property
    def row(self) -> BackendState:
        return self.health.row("one")

    def trial(self, place: Place = PLACE, work: Work | None = None) -> Trial:
        return Trial(self.exchange, place, self.health, self.clock.monotonic, work)


def test_what_is_tried_is_on_record_from_the_start() -> None:
    bench = Bench()
    bench.clock.advance(1.0)
    with bench.trial() as attempt:
        assert bench.exchange.attempts == [attempt]
        assert bench.exchange.target is PLACE.target
        assert attempt.started == bench.clock.monotonic()
        assert bench.row.in_flight == 1
    assert bench.row.in_flight == 0


def test_a_try_that_ends_well_has_answered_and_is_known_to_have() -> None:
    bench = Bench()
    bench.exchange.stream = True
    trial = bench.trial()
    with trial as attempt:
        attempt.first_content = attempt.started + 0.5
        bench.exchange.usage = Usage(10, 11)
        bench.clock.advance(1.5)
    assert trial.failure is None
    assert (attempt.outcome, attempt.ended) == ("answered", bench.clock.monotonic())
    assert (bench.row.answered, bench.row.failed, bench.row.state) == (1, 0, "healthy")
    assert bench.row.ttft_s == pytest.approx(0.5)
    assert bench.row.tpot_s == pytest.approx(0.1)


def test_an_upstreams_failure_is_kept_and_named_and_hurts_its_health() -> None:
    bench = Bench()
    trial = bench.trial()
    error = UpstreamSlow("It took too long.")
    with trial as attempt:
        raise error
    assert trial.failure is error
    assert error.target == "one"
    assert attempt.outcome == error.reason
    assert (bench.row.failed, bench.row.last_error, bench.row.in_flight) == (1, error.reason, 0)


@pytest.mark.parametrize("error", [UpstreamRefused("You did.", code="bad"), UpstreamBusy("Busy.")])
def test_a_failure_that_is_not_the_places_fault_does_not_hurt_it(error: UpstreamRefused | UpstreamBusy) -> None:
    bench = Bench()
    trial = bench.trial()
    with trial:
        raise error
    assert trial.failure is error
    assert bench.row.failed == int(error.hurts_health)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (asyncio.CancelledError(), CallerLeft.code),
        (BadRequest("No.", code="invalid_value"), "invalid_value"),
        (LoopDetected("Again."), LoopDetected.code),
        (ZeroDivisionError(), Bug.code),
    ],
    ids=["left", "refused", "loop", "bug"],
)
def test_everything_else_is_raised_on_and_noted(error: BaseException, outcome: str) -> None:
    bench = Bench()
    trial = bench.trial()
    with pytest.raises(type(error)), trial:
        raise error
    assert trial.failure is None
    assert trial.attempt.outcome == outcome
    assert (bench.row.in_flight, bench.row.failed) == (0, 0)


def test_an_attempt_that_has_said_how_it_went_is_believed() -> None:
    bench = Bench()
    trial = bench.trial()
    trial.attempt.outcome = "answered"
    with pytest.raises(asyncio.CancelledError), trial:
        raise asyncio.CancelledError
    assert trial.attempt.outcome == "answered"
    with bench.trial() as attempt:
        attempt.outcome = "upstream_disconnected"
    assert attempt.outcome == "upstream_disconnected"


def test_what_was_decided_by_is_what_it_is_measured_against() -> None:
    bench = Bench()
    bench.exchange.stream = True
    with bench.trial(work=Work(1000)) as attempt:
        assert bench.health.snapshot.loads["one"].waiting_tokens == 1000.0
        bench.clock.advance(0.5)
        attempt.first_content = bench.clock.monotonic()
    assert bench.health.snapshot.loads["one"].waiting_tokens == 0.0
    assert bench.health.snapshot.paces["one", "m"].slow > 1.0


@pytest.mark.parametrize(
    ("waited_s", "first_s", "failed"), [(589.0, 0.0, 1), (589.0, 1.0, 0), (20.0, 0.0, 0)], ids=["hung", "long", "short"]
)
def test_who_had_all_the_time_there_is_and_said_nothing_has_failed(
    waited_s: float, first_s: float, failed: int
) -> None:
    bench = Bench()
    trial = bench.trial()
    trial.attempt.first_content = trial.attempt.started + first_s if first_s else 0.0
    bench.clock.advance(waited_s)
    with pytest.raises(DeadlineExceeded), trial:
        raise DeadlineExceeded("No time is left.")
    assert (bench.row.consecutive_failures, bench.row.failed) == (failed, 0)


@pytest.mark.parametrize(("lent", "shut"), [(False, "cooling"), (True, "")])
def test_a_limit_of_a_key_that_was_brought_is_not_ours(*, lent: bool, shut: str) -> None:
    bench = Bench()
    trial = bench.trial(replace(PLACE, lent=lent))
    with trial:
        raise UpstreamBusy("Busy.", upstream_status=429, retry_after_s=20.0)
    assert isinstance(trial.failure, UpstreamBusy)
    assert bench.health.snapshot.loads["one"].shut == shut


def test_a_country_that_is_not_served_is_learned() -> None:
    bench = Bench()
    body = b'{"error":{"message":"x","code":"unsupported_country_region_territory"}}'
    error = refusal(PLACE, 403, {}, body)
    lent = refusal(replace(PLACE, lent=True), 403, {}, body)
    assert isinstance(error, UpstreamUnavailableHere)
    assert isinstance(lent, UpstreamUnavailableHere)
    with bench.trial():
        raise error
    assert bench.health.snapshot.refused_here == {("one", "m")}
    assert bench.row.failed == 0


def test_another_gateways_loop_is_ours_too() -> None:
    error = refusal(PLACE, 508, {}, b"")
    assert isinstance(error, LoopDetected)


def test_any_other_refusal_is_read_in_the_places_language() -> None:
    error = refusal(PLACE, 429, {b"retry-after": b"7"}, b'{"error":{"message":"Slow down","code":"rate_limit"}}')
    assert isinstance(error, UpstreamBusy)
    assert error.retry_after_s == 7.0


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_key_of_the_callers_own_that_is_refused_is_his_to_hear_and_no_fault_of_the_place(status: int) -> None:
    bench = Bench()
    told = refusal(replace(PLACE, lent=True), status, {}, b'{"error":{"message":"bad key sk-lent-0123456789"}}')
    assert isinstance(told, Unauthorized)
    assert (told.answer_status, told.reason) == (401, "provider_key_refused")
    assert "sk-lent" not in told.message
    with pytest.raises(Unauthorized), bench.trial():
        raise told
    assert bench.row.failed == 0
    assert isinstance(refusal(PLACE, status, {}, b""), UpstreamDenied)


def test_any_other_refusal_of_a_lent_place_is_what_it_always_is() -> None:
    lent = replace(PLACE, lent=True)
    assert isinstance(refusal(lent, 429, {}, b""), UpstreamBusy)
    assert isinstance(refusal(lent, 400, {}, b'{"error":{"message":"too long"}}'), UpstreamRefused)
