"""What may go on, what is heard, and how the rest is asked for."""

import pytest

from gateway.features import Request
from gateway.wire.openai_chat.passthrough import WIRE
from gateway.wire.openai_chat.resume import RESUME
from gateway.wire.resuming import Count, Prefill
from tests.wire.chunks import HEAD, ROLE, chunk, event, says, usage_chunk
from tests.wire.openai_chat.halves import HI, asks, heard, rest, told

SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}


def goes_on(**fields: object) -> bool:
    return RESUME.hearer(asks(**fields)) is not None


def none(*events: bytes, asked: Request | None = None, prefill: Prefill = "appended") -> bool:
    return heard(ROLE, *events).rest(asked or asks(), prefill) is None


# --- what may go on ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"temperature": 0.7, "top_p": 0.9, "top_k": 40, "max_tokens": 9, "stop": ["x"], "user": "u"},
        {"n": 1, "tools": [], "presence_penalty": 0, "frequency_penalty": 0.0, "logprobs": False},
        {"tools": None, "response_format": None, "seed": None, "grammar": None},
        {"response_format": {"type": "text"}},
        {"stream_options": {"include_usage": True}},
        {"seed": 7, "temperature": 0},
    ],
)
def test_a_chat_whose_rest_is_asked_for_as_all_of_it_was_may_go_on(fields: dict[str, object]) -> None:
    assert goes_on(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"functions": [{"name": "f"}]},
        {"response_format": {"type": "json_object"}},
        {"response_format": SCHEMA},
        {"grammar": 'root ::= "a"'},
        {"structured_outputs": {"regex": "a"}},
        {"logprobs": True},
        {"presence_penalty": 0.5},
        {"frequency_penalty": -1},
        {"seed": 7},
        {"seed": 7, "temperature": 0.5},
        {"reasoning_effort": "high"},
        {"chat_template_kwargs": {"enable_thinking": True}},
        {"modalities": ["text", "audio"]},
        {"stream_options": {"include_usage": True, "continuous_usage_stats": True}},
        {"continue_final_message": True},
        {"min_tokens": 5},
        {"store": True},
        {"nobody_knows": 1},
    ],
)
def test_what_depends_on_how_much_was_said_may_not(fields: dict[str, object]) -> None:
    assert not goes_on(**fields)


def test_a_text_completion_is_no_chat() -> None:
    request = WIRE.read_request(b'{"model":"m","prompt":"hi","stream":true}')
    assert RESUME.hearer(request) is None


# --- what is heard ----------------------------------------------------------------------------------------------------


def test_the_words_are_kept_and_everything_else_is_passed_over() -> None:
    ears = heard(ROLE, b": ping\n\n" + says("a"), b"event: message\n" + says(" b"), usage_chunk(), chunk(finish="stop"))
    assert ears.texts == ["a", " b"]


def test_several_events_in_one_piece_are_several() -> None:
    assert heard(ROLE + says("a") + says("b") + says("c")).texts == ["a", "b", "c"]


@pytest.mark.parametrize(
    "odd",
    [
        chunk({"reasoning_content": "hm"}),
        chunk({"reasoning": "hm"}),
        chunk({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x", "format": "signed"}]}),
        chunk({"thinking_blocks": [{"type": "thinking", "signature": "x"}]}),
        chunk({"refusal": "no"}),
        chunk({"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "f", "arguments": ""}}]}),
        chunk({"function_call": {"name": "f"}}),
        chunk({"audio": {"data": "AA=="}}),
        chunk({"images": [{}]}),
        chunk({"annotations": [{}]}),
        chunk({"executed_tools": [{}]}),
        chunk({"content": [{"type": "text", "text": "a"}]}),
        says("b").replace(b'"index":0', b'"index":1'),
        event({**HEAD, "choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": {"content": [{}]}}]}),
        event({**HEAD, "choices": [{"index": 0, "text": "a"}]}),
        event({**HEAD, "choices": [{"index": n, "delta": {"content": "a"}} for n in (0, 1)]}),
        event({**HEAD, "choices": [{"index": n, "delta": {"content": "a"}} for n in (1, 0)]}),
        chunk({"content": "a", "nobody_knows": "b"}),
        b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n',
        b'data: {"choices":{}}\n\n',
    ],
)
def test_an_answer_that_is_more_than_text_is_never_gone_on_with(odd: bytes) -> None:
    assert none(says("a"), odd)
    assert none(odd, says("a"))
    assert none(says("a") + odd + says("b"))


def test_fields_that_say_nothing_are_no_more_than_text() -> None:
    quiet: dict[str, object] = {"refusal": None, "reasoning_content": None, "tool_calls": [], "annotations": []}
    usage = {"prompt_tokens": 9, "completion_tokens": 1}
    ears = heard(ROLE, chunk({"content": "a", **quiet}, usage=usage), chunk(quiet))
    assert ears.texts == ["a"]
    assert ears.tokens() == (9, Count(1, 1))


# --- how the rest is asked for ----------------------------------------------------------------------------------------


def test_the_answer_so_far_becomes_the_last_turn() -> None:
    found = rest("Hel", 'lo "you"\n', temperature=0.7)
    assert told(found, "messages") == [*HI, {"role": "assistant", "content": 'Hello "you"\n'}]
    assert told(found, "temperature") == 0.7
    assert "continue_final_message" not in found.request.fields
    assert found.request.stream


def test_the_callers_request_stays_as_it_was() -> None:
    request = asks(max_tokens=9)
    before = dict(request.fields)
    assert heard(ROLE, says("a")).rest(request, "continue_final_message") is not None
    assert request.fields == before


def test_a_server_is_asked_in_its_own_way() -> None:
    by_field = rest("a", prefill="continue_final_message")
    assert (told(by_field, "continue_final_message"), told(by_field, "add_generation_prompt")) == (True, False)
    assert told(by_field, "messages") == [*HI, {"role": "assistant", "content": "a"}]
    assert told(rest("a", prefill="prefix"), "messages") == [*HI, {"role": "assistant", "content": "a", "prefix": True}]
    assert told(rest("a", prefill="last_turn"), "messages") == [*HI, {"role": "assistant", "content": "a"}]


def test_an_answer_of_nothing_but_white_space_is_asked_for_anew() -> None:
    found = rest("\n", "\n", prefill="continue_final_message", max_tokens=9)
    assert found.request.fields.keys() == asks(max_tokens=9).fields.keys()
    assert (told(found, "messages"), told(found, "max_tokens")) == (HI, 9)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_what_may_still_be_said_is_less_by_what_was(name: str) -> None:
    fields: dict[str, object] = {name: 10}
    asked = asks(**fields)
    assert told(rest("a", " b", " c", asked=asked), name) == 7
    # White space that is left out is said once more.
    assert told(rest("a", " b", "\n", prefill="last_turn", asked=asked), name) == 8


def test_the_caller_never_gets_more_than_he_asked_for_where_nobody_knows_how_much_he_has() -> None:
    """Of ' für' nobody can tell whether it was one token or two."""
    found = rest("a", " für", max_tokens=10)
    assert told(found, "max_tokens") == 7
    assert found.is_guessed
    assert not rest("a", " für").is_guessed


def test_tokens_that_were_told_are_not_guessed() -> None:
    counted = says(" für", usage={"prompt_tokens": 9, "completion_tokens": 3})
    ears = heard(ROLE, says("a"), counted, says("b"))
    assert ears.tokens() == (9, Count(4, 4))
    found = ears.rest(asks(max_tokens=10), "appended")
    assert found is not None
    assert told(found, "max_tokens") == 6
    assert not found.is_guessed


def test_a_usage_that_says_nothing_counts_nothing() -> None:
    assert heard(ROLE, says("a", usage={})).tokens() == (None, Count(1, 1))


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 1},  # two were said
        {"stop": "bc"},
        {"stop": ["x", "b\n"]},
        {"messages": [*HI, {"role": "assistant", "content": "he began it"}]},
        {"stop": 7},
    ],
)
def test_what_can_not_be_exact_is_not_asked_for(fields: dict[str, object]) -> None:
    assert none(says("a"), says(" b"), asked=asks(**fields))


def test_without_words_or_a_way_nothing_is_asked_for() -> None:
    assert none()
    assert none(says("a"), prefill="")


def test_a_cap_that_may_have_been_reached_ends_it() -> None:
    assert none(says("ü"), asked=asks(max_tokens=2))
    assert none(says("ü"), asked=asks(max_tokens=1))
