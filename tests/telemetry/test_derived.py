import pytest

from gateway.errors import BadRequest, Bug, Forbidden, NoRoute, UpstreamRefused
from gateway.features import Usage
from gateway.telemetry import derived
from gateway.telemetry.derived import Models, first_token_s, outcome, per_token_s, word
from tests.doubles.settled import settled


def test_an_answered_request_is_answered() -> None:
    assert outcome(settled()) == "answered"


def test_a_caller_who_left_has_left_whatever_else_went_wrong() -> None:
    exchange = settled()
    exchange.error = NoRoute("No backend.")
    exchange.left = True
    assert outcome(exchange) == "left"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Forbidden("No."), "model_not_allowed"),
        (BadRequest("No.", code="unsupported_operation"), "unsupported_operation"),
        (Bug("No."), "internal_error"),
        (UpstreamRefused("No.", code="context_length_exceeded"), "context_length_exceeded"),
        (UpstreamRefused("No.", code="the_patients_name_is_bob"), "invalid_request"),
        (UpstreamRefused("No.", code="\x1b[31m"), "invalid_request"),
    ],
)
def test_only_words_of_our_own_or_known_ones_say_how_it_ended(error: BadRequest, said: str) -> None:
    exchange = settled()
    exchange.error = error
    assert outcome(exchange) == said


def test_an_attempts_outcome_is_shown_where_it_reads_like_a_word() -> None:
    assert word("upstream_timeout") == "upstream_timeout"
    assert word("Bob's prompt") == "other"
    assert word("") == "other"


def test_no_number_of_odd_words_fills_the_memory() -> None:
    for number in range(5000):
        word(f"odd {number}")
    assert len(derived._words) <= 1024
    assert word("answered") == "answered"


def test_first_token_is_what_the_caller_of_a_stream_waited() -> None:
    assert first_token_s(settled()) == pytest.approx(0.0801)
    assert first_token_s(settled(stream=False)) == 0.0


def test_time_per_token_leaves_out_the_first_one() -> None:
    assert per_token_s(settled()) == pytest.approx((100.89 - 100.08) / 44)


def test_time_per_token_is_unknown_for_whole_answers_and_single_tokens() -> None:
    assert per_token_s(settled(stream=False)) == 0.0
    exchange = settled()
    exchange.usage = Usage(input_tokens=5, output_tokens=1)
    assert per_token_s(exchange) == 0.0
    exchange.usage = None
    assert per_token_s(exchange) == 0.0


def test_time_per_token_is_unknown_where_no_content_came() -> None:
    exchange = settled()
    exchange.attempts[-1].first_content = 0.0
    assert per_token_s(exchange) == 0.0


def test_model_names_are_the_configured_ones() -> None:
    models = Models(frozenset({"gpt-4o", "llama-*"}))
    assert models.label("gpt-4o") == "gpt-4o"
    assert models.label("llama-anything") == "llama-*"
    assert models.label("sk-secret") == "other"
    assert models.label("") == ""
