from typing import get_args

import pytest
from msgspec import Raw
from msgspec.json import decode, encode

from gateway.errors import UpstreamBroken, UpstreamSlow
from gateway.features import Usage
from gateway.wire.cohere_chat.words import NAME, PLAN, is_plan, read_finish, read_usage, write_finish, write_usage
from gateway.wire.ir import Finish, Thinking

RECORDED = (
    b'{"billed_units":{"input_tokens":2406,"output_tokens":2},"cached_tokens":2928,'
    b'"tokens":{"input_tokens":2935,"output_tokens":3}}'
)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "sequence"),
        ("MAX_TOKENS", "length"),
        ("TOOL_CALL", "tools"),
        ("ERROR_TOXIC", "filter"),
        ("ERROR_LIMIT", "context"),
        ("USER_CANCEL", "other"),
        ("TOMORROWS", "other"),
        (None, "stop"),
    ],
)
def test_why_an_answer_ended_is_read(reason: str | None, finish: str) -> None:
    assert read_finish(reason, called=False) == finish


def test_an_answer_that_calls_ends_with_its_calls_whatever_it_says() -> None:
    assert read_finish("COMPLETE", called=True) == "tools"
    assert read_finish("MAX_TOKENS", called=True) == "length"


def test_an_answer_that_failed_is_an_error() -> None:
    with pytest.raises(UpstreamBroken):
        read_finish("ERROR", called=False)
    with pytest.raises(UpstreamSlow):
        read_finish("TIMEOUT", called=False)


@pytest.mark.parametrize("finish", get_args(Finish))
def test_every_end_has_a_word_and_none_of_them_says_that_it_failed(finish: Finish) -> None:
    assert write_finish(finish) not in {"ERROR", "TIMEOUT"}


def test_tokens_are_the_truth_and_not_what_is_billed() -> None:
    assert read_usage(Raw(RECORDED)) == Usage(2935, 3, 2928)


def test_what_is_billed_counts_where_nothing_else_is_told() -> None:
    assert read_usage(Raw(b'{"billed_units":{"input_tokens":9.0},"cached_tokens":10}')) == Usage(9, 0, 9)


@pytest.mark.parametrize(
    "told",
    [
        b"null",
        b"{}",
        b"[]",
        b'{"tokens":{"input_tokens":"many"}}',
        b'{"tokens":{"input_tokens":-1}}',
        b'{"tokens":{"output_tokens":1000000001}}',
    ],
)
def test_what_no_model_can_have_used_is_no_usage(told: bytes) -> None:
    assert read_usage(Raw(told)) is None


def test_usage_is_written_as_both_counts() -> None:
    counts = {"input_tokens": 5, "output_tokens": 3}
    assert write_usage(Usage(5, 3, 2, 1, 2)) == {"billed_units": counts, "tokens": counts, "cached_tokens": 2}
    assert read_usage(Raw(encode(write_usage(Usage(5, 3, 2))))) == Usage(5, 3, 2)
    assert decode(encode(write_usage(Usage(5, 3)))) == {"billed_units": counts, "tokens": counts}


def test_a_plan_is_a_thought_of_this_language_alone() -> None:
    assert is_plan(Thinking("p", origin=NAME, id=PLAN))
    assert not is_plan(Thinking("p", origin="gemini", id=PLAN))
    assert not is_plan(Thinking("p"))
