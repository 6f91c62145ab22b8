"""What attempts teach of times and of conversations, seen through the table they are told to."""

import pytest
from msgspec.structs import replace

from gateway.exchange import Attempt
from gateway.routing.estimate import FAILURE
from gateway.routing.facts import Work
from gateway.routing.score import ADAPTER_MS
from gateway.settings.shape import Target
from gateway.upstream import lessons
from gateway.upstream.probes.reading import Reading
from tests.upstream.table import BROKEN, FIRST_MS, PREDICTED_MS, RTT_MS, SLOW, WORK, Table


@pytest.fixture
def table() -> Table:
    return Table("a", "b")


def streamed(table: Table, at: float, ttft_ms: float, *, each_ms: float = 0.0, tokens: int = 0) -> Attempt:
    """A stream that was answered to its end."""
    attempt = table.begin(at)
    table.first(attempt, at + ttft_ms / 1e3)
    table.answer(attempt, attempt.first_content + each_ms * (tokens - 1) / 1e3, tokens=tokens)
    return attempt


# --- first tokens -----------------------------------------------------------------------------------------------------


def test_a_first_token_is_measured_against_what_was_predicted(table: Table) -> None:
    streamed(table, 1000.0, PREDICTED_MS / 2)
    assert table.pace().slow == pytest.approx(0.5)
    streamed(table, 1001.0, 3 * PREDICTED_MS)
    assert table.pace().slow > 2.9


def test_the_making_of_a_connection_is_no_part_of_it(table: Table) -> None:
    attempt = table.begin(1000.0)
    attempt.sent = 1005.0
    table.first(attempt, 1005.0 + PREDICTED_MS / 1e3)
    table.answer(attempt, 1006.0)
    assert table.pace().slow == pytest.approx(1.0)


def test_what_waits_already_is_predicted_and_no_slowness(table: Table) -> None:
    table.begin(1000.0, work=Work(50_000))
    attempt = table.begin(1000.0)
    table.first(attempt, 1000.0 + (PREDICTED_MS + 5000.0) / 1e3)
    table.answer(attempt, 1006.0)
    assert table.pace().slow == pytest.approx(1.0, rel=0.01)


def test_bad_news_is_heard_at_the_first_token_and_good_news_at_the_end(table: Table) -> None:
    slow = table.begin(1000.0)
    table.first(slow, 1000.0 + 4 * PREDICTED_MS / 1e3)
    assert table.pace().slow == pytest.approx(4.0)
    fast = table.begin(1000.0, "b")
    table.first(fast, 1000.01)
    assert ("b", "m") not in table.health.snapshot.paces
    table.answer(fast, 1001.0)
    assert table.pace("b").slow < 0.1


def test_a_first_token_teaches_once(table: Table) -> None:
    attempt = table.begin(1000.0)
    table.first(attempt, 1000.0 + 4 * PREDICTED_MS / 1e3)
    table.health.first(attempt)
    at = table.pace().at
    table.answer(attempt, 1030.0)
    assert table.pace().at == at


def test_a_place_that_breaks_after_a_quick_first_token_does_not_look_fast(table: Table) -> None:
    for number in range(10):
        attempt = table.begin(1000.0 + number)
        table.first(attempt, 1000.02 + number)
        table.fail(attempt, 1000.03 + number, BROKEN)
    assert table.pace().slow == FAILURE


@pytest.mark.parametrize("first", [0.0, 1000.02])
def test_an_error_within_20_ms_never_makes_a_place_look_fast(table: Table, first: float) -> None:
    attempt = table.begin(1000.0)
    attempt.first_content = first
    table.fail(attempt, 1000.02, BROKEN)
    assert table.pace().slow == FAILURE
    assert table.pace().slow_p99 == 0.0


def test_a_timeout_counts_as_long_as_it_took(table: Table) -> None:
    table.fail(table.begin(1000.0), 1030.0, SLOW)
    assert table.pace().slow == pytest.approx(30_000.0 / PREDICTED_MS)


def test_who_leaves_before_the_first_token_has_waited_at_least_so_long(table: Table) -> None:
    table.leave(table.begin(1000.0), 1000.0 + PREDICTED_MS / 2e3)
    assert ("a", "m") not in table.health.snapshot.paces
    table.leave(table.begin(1000.0), 1000.0 + 6 * PREDICTED_MS / 1e3)
    assert table.pace().slow == pytest.approx(6.0)
    attempt = table.begin(1010.0, "b")
    table.first(attempt, 1010.01)
    table.leave(attempt, 1070.0)
    assert ("b", "m") not in table.health.snapshot.paces


def test_a_whole_answer_is_no_first_token(table: Table) -> None:
    attempt = table.begin(1000.0, work=replace(WORK, stream=False))
    table.answer(attempt, 1060.0, tokens=500, stream=False)
    assert table.health.snapshot.paces == {}


def test_who_was_not_decided_on_teaches_nothing(table: Table) -> None:
    attempt = Attempt(Target(backend=table.backends["a"], model="m"), 1000.0)
    table.health.began(attempt)
    table.first(attempt, 1000.4)
    table.answer(attempt, 1001.0, tokens=50)
    other = Attempt(Target(backend=table.backends["a"], model="m"), 1000.0)
    table.health.began(other)
    table.leave(other, 1090.0)
    third = Attempt(Target(backend=table.backends["a"], model="m"), 1000.0)
    table.health.began(third)
    table.fail(third, 1001.0, BROKEN)
    assert table.health.snapshot.paces == {}
    assert table.health.row("a").ttft_s == pytest.approx(0.4)


# --- prompts, tokens, loading -----------------------------------------------------------------------------------------


def test_a_slow_reader_of_prompts_is_found_out_and_then_predicted(table: Table) -> None:
    # 1000 tokens in 500 ms, where 100 were expected.
    for number in range(60):
        streamed(table, 1000.0 + number, RTT_MS + FIRST_MS + 500.0)
    assert table.pace().ms_per_token_in == pytest.approx(0.5, rel=0.02)
    assert table.pace().slow == pytest.approx(1.0, rel=0.2)


def test_short_prompts_say_nothing_of_the_rate(table: Table) -> None:
    attempt = table.begin(1000.0, work=Work(50))
    table.first(attempt, 1005.0)
    assert table.pace().ms_per_token_in == 0.0


def test_a_tokens_time_is_the_answers_over_its_tokens(table: Table) -> None:
    streamed(table, 1000.0, 100.0, each_ms=25.0, tokens=101)
    assert table.pace().each == pytest.approx(25.0)


def test_a_handful_of_tokens_says_nothing_of_their_time(table: Table) -> None:
    streamed(table, 1000.0, 100.0, each_ms=25.0, tokens=7)
    assert table.pace().each == 0.0


def test_the_time_a_model_takes_to_load_is_measured(table: Table) -> None:
    reading = Reading(alive=True, models=frozenset(), loadable=frozenset({"m"}))
    table.health.told("a", reading, 1000.0)
    load = table.load()
    for number in range(10):
        at = 1000.0 + 10 * number
        attempt = table.begin(at)
        table.first(attempt, at + (PREDICTED_MS + 4000.0) / 1e3)
        table.answer(attempt, at + 9.0)
    assert load.cold_ms == pytest.approx(4000.0, rel=0.05)
    assert ("a", "m") not in table.health.snapshot.paces


def test_an_adapter_that_is_read_in_is_no_model_that_is_loaded(table: Table) -> None:
    table.health.told("a", Reading(models=frozenset(), loadable=frozenset({"m"}), adapters=frozenset()), 1000.0)
    attempt = table.begin(1000.0)
    table.first(attempt, 1000.0 + (PREDICTED_MS + 2 * ADAPTER_MS) / 1e3)
    assert table.load().cold_ms == 10_000.0


def test_models_that_callers_make_up_do_not_pile_up(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "TRACKS_MOST", 3)
    for number in range(5):
        table.fail(table.begin(1000.0, model=f"m{number}"), 1001.0, BROKEN)
    assert [model for _, model in table.health.snapshot.paces] == ["m2", "m3", "m4"]


# --- operations without tokens ----------------------------------------------------------------------------------------


def embedded(table: Table, took_s: float, size: int, *, operation: str = "embeddings", tokens: int = 0) -> None:
    attempt = table.begin(1000.0)
    attempt.ended, attempt.outcome = 1000.0 + took_s, "answered"
    table.health.ended(attempt, operation=operation, size=size, output_tokens=tokens)


def test_an_operation_without_tokens_has_its_time_by_size(table: Table) -> None:
    embedded(table, 0.1, 100)
    embedded(table, 0.2, 100)
    embedded(table, 3.0, 100_000)
    whole_ms = table.health.lessons.whole_ms
    assert whole_ms("a", "m", "embeddings", 120) == pytest.approx(110.0)
    assert whole_ms("a", "m", "embeddings", 90_000) == pytest.approx(3000.0)
    assert whole_ms("a", "m", "rerank", 100) == whole_ms("b", "m", "embeddings", 100) == 0.0


def test_a_whole_answer_of_tokens_has_none(table: Table) -> None:
    embedded(table, 60.0, 100, operation="chat", tokens=500)
    embedded(table, 60.0, 100, operation="")
    assert table.health.lessons.whole_ms("a", "m", "chat", 100) == 0.0


def test_sizes_and_models_do_not_pile_up(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "WHOLES_MOST", 1)
    embedded(table, 0.1, 100)
    embedded(table, 0.1, 100_000)
    embedded(table, 0.1, 100_000)
    assert table.health.lessons.whole_ms("a", "m", "embeddings", 100) == 0.0
    assert table.health.lessons.whole_ms("a", "m", "embeddings", 100_000) == pytest.approx(100.0)


# --- conversations ----------------------------------------------------------------------------------------------------


def test_a_conversation_is_at_home_where_it_began_to_be_answered(table: Table) -> None:
    attempt = table.begin(1000.0, "b", work=Work(1000, session=5, prefix=7))
    assert table.health.snapshot.homes == {}
    table.first(attempt, 1000.3)
    homes = table.health.snapshot.homes
    assert [(key, homes[key].backend, homes[key].at) for key in (5, 7)] == [(5, "b", 1000.3), (7, "b", 1000.3)]


def test_a_whole_answer_makes_a_home_too(table: Table) -> None:
    attempt = table.begin(1000.0, work=Work(1000, session=5, stream=False))
    table.answer(attempt, 1002.0, stream=False)
    assert table.health.snapshot.homes[5].at == 1002.0


def test_a_failure_makes_none(table: Table) -> None:
    table.fail(table.begin(1000.0, work=Work(1000, session=5)), 1000.1, BROKEN)
    assert table.health.snapshot.homes == {}


def test_a_warm_prompt_is_predicted_to_be_read_sooner(table: Table) -> None:
    work = Work(10_000, prefix=7)
    table.first(table.begin(1000.0, work=work), 1000.5)
    assert table.load().waiting_tokens == 0.0
    table.begin(1001.0, work=work)
    assert table.load().waiting_tokens == pytest.approx(1000.0, abs=1.0)
    table.begin(1001.0, "b", work=work)
    assert table.load("b").waiting_tokens == 10_000.0


def test_homes_are_the_last_ones_and_of_the_last_day(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "HOMES_MOST", 2)
    for session in (1, 2, 1, 3):
        table.first(table.begin(1000.0, work=Work(1, session=session)), 1000.1)
    assert list(table.health.snapshot.homes) == [1, 3]
    table.first(table.begin(1005.0, work=Work(1, session=3)), 1005.1)
    table.health.tick(1000.2 + lessons.HOMES_S)
    assert list(table.health.snapshot.homes) == [3]
