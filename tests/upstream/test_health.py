"""The table of what requests have shown of each backend."""

import pytest

from gateway.exchange import Attempt
from gateway.settings.shape import Backend, Provider, Target
from gateway.upstream.health import EWMA_SHARE, FAILING_AFTER, Health, moved

PROVIDER = Provider(name="p", speaks="openai_chat")
BACKEND = Backend(name="b", provider=PROVIDER, base_urls=("http://127.0.0.1:1",), country="DE", region="eu-central")
TARGET = Target(backend=BACKEND, model="m")


def finished(
    health: Health,
    outcome: str = "answered",
    *,
    hurts: bool = False,
    stream: bool = True,
    first_content: float = 0.0,
    ended: float = 0.0,
    tokens: int = 0,
) -> None:
    """One attempt, begun at 100."""
    attempt = Attempt(TARGET, 100.0, outcome=outcome, first_content=first_content, ended=ended)
    health.began(attempt)
    health.ended(attempt, hurts=hurts, output_tokens=tokens, stream=stream)


@pytest.fixture
def health() -> Health:
    return Health({"b": BACKEND})


def test_a_backend_nobody_called_is_unknown(health: Health) -> None:
    row = health.row("b")
    assert (row.name, row.provider, row.country, row.region) == ("b", "p", "DE", "eu-central")
    assert (row.state, row.in_flight, row.answered, row.failed) == ("unknown", 0, 0, 0)
    assert health.rows() == [row]


def test_what_is_under_way_is_counted(health: Health) -> None:
    attempt = Attempt(TARGET, 100.0)
    health.began(attempt)
    assert health.row("b").in_flight == 1
    health.ended(attempt, hurts=False, output_tokens=0, stream=False)
    assert health.row("b").in_flight == 0


def test_an_average_takes_its_first_sample_whole_and_moves_by_a_share_after() -> None:
    assert moved(0.0, 0.5) == 0.5
    assert moved(0.5, 1.5) == pytest.approx(0.5 + EWMA_SHARE)


def test_a_stream_feeds_the_estimates(health: Health) -> None:
    finished(health, first_content=100.4, ended=102.4, tokens=21)
    assert health.row("b").ttft_s == pytest.approx(0.4)
    assert health.row("b").tpot_s == pytest.approx(0.1)


def test_a_whole_answer_feeds_no_estimate(health: Health) -> None:
    finished(health, stream=False, ended=160.0, tokens=500)
    assert (health.row("b").answered, health.row("b").ttft_s, health.row("b").tpot_s) == (1, 0.0, 0.0)


def test_a_stream_of_one_token_has_no_time_between_tokens(health: Health) -> None:
    finished(health, first_content=100.4, ended=100.4, tokens=1)
    assert health.row("b").ttft_s == pytest.approx(0.4)
    assert health.row("b").tpot_s == 0.0


def test_a_stream_that_failed_feeds_no_estimate(health: Health) -> None:
    finished(health, "upstream_disconnected", hurts=True, first_content=100.4, ended=102.0, tokens=10)
    assert (health.row("b").ttft_s, health.row("b").failed) == (0.0, 1)


def test_failures_in_a_row_make_a_backend_failing_and_one_answer_mends_it(health: Health) -> None:
    for _ in range(FAILING_AFTER - 1):
        finished(health, "upstream_unreachable", hurts=True)
    assert health.row("b").state == "unknown"
    finished(health, "upstream_timeout", hurts=True)
    row = health.row("b")
    assert (row.state, row.consecutive_failures, row.last_error) == ("failing", FAILING_AFTER, "upstream_timeout")
    finished(health)
    assert (row.state, row.consecutive_failures, row.failed) == ("healthy", 0, FAILING_AFTER)


def test_what_is_nobodys_fault_leaves_health_alone(health: Health) -> None:
    finished(health)
    for outcome in ("rate_limit_exceeded", "overloaded", "caller_left", "invalid_request"):
        finished(health, outcome)
    row = health.row("b")
    assert (row.state, row.failed, row.consecutive_failures, row.answered) == ("healthy", 0, 0, 1)


def test_a_reload_keeps_what_is_known_of_backends_that_stay() -> None:
    old = Health({"b": BACKEND, "gone": Backend(name="gone", provider=PROVIDER, base_urls=())})
    finished(old)
    moved_to_fr = Backend(name="b", provider=Provider(name="q", speaks="openai_chat"), base_urls=(), country="FR")
    new = Health({"b": moved_to_fr, "fresh": Backend(name="fresh", provider=PROVIDER, base_urls=())})
    new.inherit(old)
    row = new.row("b")
    assert (row.answered, row.state, row.provider, row.country, row.region) == (1, "healthy", "q", "FR", "")
    assert [row.name for row in new.rows()] == ["b", "fresh"]
    assert new.row("fresh").state == "unknown"
    # Requests of the old configuration that are still under way are counted in the same row.
    finished(old)
    assert new.row("b").answered == 2
