import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.errors import DeadlineExceeded, NoRoute, UpstreamSlow
from gateway.exchange import HEDGE_LOST, Attempt, Exchange
from gateway.routing.policy import Require
from gateway.settings.shape import Backend, Target
from tests.doubles.inside import CALLER, PROVIDER
from tests.stages.kept import exchange

TARGET = Target(backend=Backend(name="one", provider=PROVIDER, base_urls=("http://10.1.0.7",)), model="m")


def attempted(*attempts: Attempt) -> Exchange:
    told = exchange(started=100.0)
    told.attempts.extend(attempts)
    return told


def test_a_new_exchange_has_attempts_of_its_own() -> None:
    one, other = exchange(), exchange()
    one.attempts.append(Attempt(TARGET, 1.0))
    assert other.attempts == []


def test_two_exchanges_are_two_however_alike() -> None:
    assert exchange() != exchange()


def test_time_at_an_upstream_is_from_the_last_byte_of_the_request_to_the_head() -> None:
    told = attempted(Attempt(TARGET, started=100.1, sent=100.2, headers=100.7, ended=103.0))
    assert told.upstream_s() == pytest.approx(0.5)


def test_dialling_is_the_upstreams_time_too() -> None:
    told = attempted(Attempt(TARGET, started=100.1, sent=100.4, headers=100.7, dialled_s=0.25))
    assert told.upstream_s() == pytest.approx(0.55)


@pytest.mark.parametrize(
    ("attempt", "seconds"),
    [
        (Attempt(TARGET, started=100.1), 0.0),
        (Attempt(TARGET, started=100.1, ended=100.6), 0.5),
        (Attempt(TARGET, started=100.1, sent=100.2, ended=100.6), 0.4),
        (Attempt(TARGET, started=100.1, ended=100.6, dialled_s=0.0), 0.5),
    ],
)
def test_an_attempt_that_never_got_far_took_the_time_it_took(attempt: Attempt, seconds: float) -> None:
    assert attempted(attempt).upstream_s() == pytest.approx(seconds)


def test_every_attempt_counts() -> None:
    failed = Attempt(TARGET, started=100.0, sent=100.1, headers=100.3, ended=100.3)
    told = attempted(failed, Attempt(TARGET, started=100.3, sent=100.4, headers=101.4))
    assert told.upstream_s() == pytest.approx(1.2)


def test_what_two_attempts_took_beside_each_other_counts_once() -> None:
    """The one that answered stands last, though it began first or later; whoever lost was waited for until then."""
    lost = Attempt(TARGET, started=100.0, sent=100.1, headers=100.2, ended=101.0, outcome=HEDGE_LOST)
    won = Attempt(TARGET, started=100.5, sent=100.6, headers=100.9, first_content=101.0, dialled_s=0.1)
    assert attempted(lost, won).upstream_s() == pytest.approx(0.8)
    first = Attempt(TARGET, started=100.0, sent=100.1, headers=101.0)
    second = Attempt(TARGET, started=100.5, sent=100.6, ended=101.0, outcome=HEDGE_LOST)
    told = attempted(second, first)
    assert told.upstream_s() == pytest.approx(0.9)
    told.first_content = 101.0
    assert told.overhead_s(109.0) == pytest.approx(0.1)


def test_one_that_goes_on_after_the_other_has_failed_counts_on() -> None:
    failed = Attempt(TARGET, started=100.0, sent=100.0, ended=100.4, outcome="upstream_timeout")
    unsent = Attempt(TARGET, started=100.2, ended=0.0)
    other = Attempt(TARGET, started=100.3, sent=100.3, ended=100.9, outcome="upstream_timeout")
    assert attempted(failed, unsent, other).upstream_s() == pytest.approx(0.9)


def test_our_own_time_is_the_rest_up_to_now() -> None:
    told = attempted(Attempt(TARGET, started=100.1, sent=100.2, headers=100.7, ended=100.7))
    assert told.overhead_s(100.75) == pytest.approx(0.25)


def test_our_own_time_in_a_stream_ends_with_the_head_that_led_to_its_first_content() -> None:
    """Neither the wait for content nor the stream itself is ours."""
    told = attempted(Attempt(TARGET, started=100.1, sent=100.2, headers=100.7, first_content=101.0, ended=109.0))
    told.first_content = 101.0
    assert told.overhead_s(109.0) == pytest.approx(0.2)


def test_our_own_time_is_never_less_than_none() -> None:
    told = attempted(Attempt(TARGET, started=99.0, sent=99.0, headers=101.0))
    assert told.overhead_s(100.5) == 0.0


def test_an_exchange_without_attempts_is_all_ours() -> None:
    assert exchange(started=100.0).overhead_s(100.2) == pytest.approx(0.2)


def test_how_it_ended_is_one_word() -> None:
    told = exchange()
    assert told.outcome == "answered"
    told.error = UpstreamSlow("The upstream took too long.")
    assert told.outcome == "upstream_timeout"
    told.error = DeadlineExceeded("The request ran out of time.", code="another_word")
    assert told.outcome == "another_word"
    told.left = True
    assert told.outcome == "left"


# --- where it must stay -----------------------------------------------------------------------------------------------

HERE = frozenset({"DE", "FR"})


@given(st.lists(st.none() | st.frozensets(st.sampled_from(["DE", "FR", "US"]))))
def test_what_must_stay_only_ever_has_fewer_places(said: list[frozenset[str] | None]) -> None:
    told = exchange()
    for one in said:
        before = told.jurisdictions
        told.stay(one)
        if before is not None:
            assert told.jurisdictions is not None
            assert told.jurisdictions <= before
        if one is not None:
            assert told.jurisdictions is not None
            assert told.jurisdictions <= one


@pytest.mark.parametrize(
    ("team", "known", "stays"),
    [
        (None, None, None),
        (HERE, None, HERE),
        (None, HERE, HERE),
        (HERE, frozenset({"DE", "US"}), frozenset({"DE"})),
    ],
)
def test_what_fails_stays_where_its_team_says_even_before_its_policies_are_known(
    team: frozenset[str] | None, known: frozenset[str] | None, stays: frozenset[str] | None
) -> None:
    told, error = exchange(), NoRoute("No.")
    told.jurisdictions = known
    told.call.caller = replace(CALLER, require=Require(jurisdictions=team))
    told.fail(error)
    assert (told.error, told.jurisdictions) == (error, stays)


def test_what_fails_without_a_caller_stays_nowhere() -> None:
    told = exchange()
    told.call.caller = None
    told.fail(NoRoute("No."))
    assert told.jurisdictions is None
