"""What the caller gets of a second half."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.json import decode

from gateway.errors import UpstreamDisconnected
from gateway.features import Usage
from gateway.wire.resuming import Prefill
from tests.wire.chunks import DONE, HEAD, ROLE, chunk, event, says
from tests.wire.openai_chat.halves import (
    HI,
    LENGTH,
    OTHER,
    OTHER_ROLE,
    STOP,
    asks,
    goes,
    heard,
    joined,
    other,
    rest,
    text_of,
    told,
    used,
)

# --- what the caller gets ---------------------------------------------------------------------------------------------


def test_the_rest_comes_in_the_first_halfs_words() -> None:
    out, meter = joined(rest("Hello"), OTHER_ROLE, goes(" you"), STOP, DONE)
    assert out == says(" you") + chunk(finish="stop") + DONE
    assert (meter.done, meter.error, meter.finish, meter.committed) == (True, None, "stop", True)
    assert meter.pieces == 2


def test_what_its_events_had_beside_the_words_they_keep() -> None:
    choice = {"finish_reason": None, "index": 0, "delta": {"role": "assistant", "content": "a"}, "logprobs": None}
    first = event({"choices": [choice], **HEAD, "system_fingerprint": "f", "usage": None})
    found = heard(first).rest(asks(), "appended")
    assert found is not None
    out, _ = joined(found, other({"content": "b"}, "stop", timings={"n": 1}, usage=None), DONE)
    assert decode(out.split(b"\n\n")[0][6:]) == {
        **HEAD,
        "choices": [{"finish_reason": "stop", "index": 0, "delta": {"content": "b"}, "logprobs": None}],
        "system_fingerprint": "f",
        "usage": None,
    }


def test_a_comment_is_passed_on_and_a_turn_that_only_begins_is_not() -> None:
    out, _ = joined(rest("a"), OTHER_ROLE, b": ping\n\n", goes("b"), other({"content": ""}), STOP, DONE)
    assert out == b": ping\n\n" + says("b") + chunk(finish="stop") + DONE


def test_what_was_heard_is_not_heard_again() -> None:
    found = rest("a:", "\n", "\n", prefill="last_turn")
    out, meter = joined(found, OTHER_ROLE, goes("\n\n"), goes("b"), STOP, used(44, 3), DONE)
    assert text_of(out) == "b"
    assert meter.usage == Usage(43, 5)  # the three heard and two more; its first was heard before


def test_a_second_half_that_begins_otherwise_is_an_error() -> None:
    found = rest("a:", "\n", prefill="last_turn")
    out, meter = joined(found, OTHER_ROLE, goes(" b"), goes("c"), STOP, DONE)
    assert out == b""
    assert meter.error is not None
    assert (meter.error.reason, meter.done) == ("upstream_truncated", False)
    assert (meter.feed(goes("d")), meter.finish_up()) == (b"", b"")


def test_a_second_half_that_ends_before_it_has_caught_up_is_an_error() -> None:
    _, meter = joined(rest("a:", "\n", prefill="last_turn"), STOP, DONE)
    assert meter.error is not None


@pytest.mark.parametrize(
    "odd", [{"tool_calls": [{"index": 0}]}, {"reasoning_content": "hm"}, {"content": [{"type": "thinking"}]}]
)
def test_a_second_half_that_is_more_than_text_is_an_error(odd: dict[str, object]) -> None:
    out, meter = joined(rest("a"), goes("b"), other(odd), STOP, DONE)
    assert out == says("b")
    assert meter.error is not None


def test_after_an_error_nothing_is_said() -> None:
    out, _ = joined(rest("a"), goes("b") + other({"refusal": "no"}) + goes("c"))
    assert out == says("b")


def test_a_second_choice_is_an_error() -> None:
    _, meter = joined(rest("a"), goes("b"), goes("c").replace(b'"index":0', b'"index":1'))
    assert meter.error is not None


def test_a_second_half_that_breaks_breaks() -> None:
    out, meter = joined(rest("a"), goes("b"), event({"error": {"message": "no"}}))
    assert out == says("b")
    assert meter.error is not None
    _, meter = joined(rest("a"), goes("b"))
    assert meter.error is not None
    assert meter.error.reason == "upstream_truncated"
    frame = meter.failure(UpstreamDisconnected("gone"))
    assert decode(frame[6:])["id"] == HEAD["id"]


def test_a_finish_is_enough_of_an_end() -> None:
    out, meter = joined(rest("a"), goes("b"), STOP)
    assert out == says("b") + chunk(finish="stop") + DONE
    assert meter.done
    assert meter.feed(goes("c")) == b""


# --- the cap ----------------------------------------------------------------------------------------------------------


def test_an_answer_that_broke_after_its_last_token_gets_its_end() -> None:
    """One token is asked for, because nobody takes a cap of none; the caller doesn't get it, nor pay for it."""
    found = rest("a", "b", max_tokens=2)
    assert told(found, "max_tokens") == 1
    out, meter = joined(found, goes("c"), LENGTH, used(44, 1), DONE)
    assert out == chunk(finish="length") + DONE
    assert meter.usage == Usage(42, 2)


def test_it_ended_for_want_of_room_even_where_the_model_would_have_ended_there() -> None:
    out, _ = joined(rest("a", "b", max_tokens=2), STOP, DONE)
    assert out == chunk(finish="length") + DONE


def test_an_answer_that_reaches_a_guessed_cap_is_an_error_rather_than_too_short() -> None:
    out, meter = joined(rest("ü", max_tokens=9), goes("b"), LENGTH, DONE)
    assert out == says("b")
    assert meter.error is not None


def test_an_answer_that_ends_before_a_guessed_cap_is_whole() -> None:
    out, meter = joined(rest("ü", max_tokens=9), goes("b"), STOP, used(42, 2), DONE)
    assert text_of(out) == "b"
    assert meter.usage == Usage(41, 3, estimated=True)


# --- usage ------------------------------------------------------------------------------------------------------------


def test_the_caller_is_told_what_one_answer_used() -> None:
    found = rest("a", "b", stream_options={"include_usage": True})
    out, meter = joined(found, goes("c"), STOP, used(44, 2), DONE)
    assert out == says("c") + chunk(finish="stop") + _used(42, 4) + DONE
    assert meter.usage == Usage(42, 4)


def test_who_did_not_ask_for_it_is_not_told() -> None:
    out, meter = joined(rest("a", "b"), goes("c"), STOP, used(44, 2), DONE)
    assert b"usage" not in out
    assert meter.usage == Usage(42, 4)


def test_a_usage_beside_the_finish_is_told_there() -> None:
    out, _ = joined(
        rest("a"), goes("b"), other(finish="stop", usage={"prompt_tokens": 9, "completion_tokens": 2}), DONE
    )
    last = decode(out.split(b"\n\n")[-3][6:])
    assert last["usage"] == {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11}


def _used(prompt: int, completion: int) -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return event({**HEAD, "choices": [], "usage": usage})


def test_a_chunk_that_has_neither_words_nor_usage_is_nothing() -> None:
    out, _ = joined(rest("a"), goes("b"), event({**OTHER, "choices": []}), STOP, DONE)
    assert out == says("b") + chunk(finish="stop") + DONE


# --- twice ------------------------------------------------------------------------------------------------------------


def test_a_second_half_that_breaks_is_gone_on_with_like_the_first() -> None:
    ears = heard(ROLE, says("a"))
    first = ears.rest(asks(max_tokens=9), "appended")
    assert first is not None
    out, _ = joined(first, OTHER_ROLE, goes(" b"))
    ears.heard(out)
    second = ears.rest(asks(max_tokens=9), "appended")
    assert second is not None
    assert told(second, "messages") == [*HI, {"role": "assistant", "content": "a b"}]
    assert told(second, "max_tokens") == 7
    out, meter = joined(second, goes(" c"), STOP, used(12, 2), DONE)
    assert out == says(" c") + chunk(finish="stop") + DONE
    assert meter.usage == Usage(10, 4)


# --- laws -------------------------------------------------------------------------------------------------------------

tokens = st.lists(st.sampled_from(["a", " b", "\n", " ", "\n\n", "c.", " d"]), min_size=2, max_size=12)


def _cut(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    at = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    return [data[one:two] for one, two in pairwise(at)]


def _after(answer: Iterable[str], left: int) -> Iterator[str]:
    """The tokens of an answer without so many of its characters."""
    for token in answer:
        if left < len(token):
            yield token[left:]
        left = max(0, left - len(token))


@given(
    tokens,
    st.integers(1, 11),
    st.sampled_from(["appended", "last_turn", "prefix"]),
    st.lists(st.integers(0), max_size=5),
)
def test_cut_after_any_event_the_whole_is_what_it_would_have_been(
    answer: list[str], at: int, prefill: Prefill, cuts: list[int]
) -> None:
    """A server that says exactly what it would have said, after whatever it was given of it, cut anywhere."""
    at = min(at, len(answer) - 1)
    ears = heard(ROLE, *map(says, answer[:at]))
    found = ears.rest(asks(max_tokens=len(answer)), prefill)
    if found is None:
        assert prefill != "appended"
        return
    turn = decode(found.request.fields["messages"])[-1]
    given_text = turn["content"] if turn["role"] == "assistant" else ""
    whole = "".join(answer)
    assert whole.startswith(given_text)
    said = map(goes, _after(answer, len(given_text)))
    echo = [goes(given_text)] if prefill == "prefix" and given_text else []
    stream = b"".join([OTHER_ROLE, *echo, *said, STOP, DONE])
    out, meter = joined(found, *_cut(stream, cuts))
    assert meter.error is None
    assert "".join(answer[:at]) + text_of(out) == whole
    assert b"other" not in out
    assert b"role" not in out
