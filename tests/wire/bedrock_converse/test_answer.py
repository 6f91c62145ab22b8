import pytest
from msgspec import Raw
from msgspec.json import decode, encode

from gateway.errors import UpstreamBroken, UpstreamError
from gateway.features import Usage
from gateway.wire.bedrock_converse.answer import read_answer, reason_of, usage_fields, usage_of, write_answer
from gateway.wire.ir import Answer, Finish, Text, ToolCall
from gateway.wire.losses import Losses
from tests.wire.bedrock_converse.said import answer, ask, js, text, written

WHOLE = {
    "output": {"message": {"role": "assistant", "content": [text("Hi.")]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
    "metrics": {"latencyMs": 0},
}
CALLS = [{"toolUse": {"toolUseId": "t1", "name": "look", "input": {"a": 1}}}]


def said(**changes: object) -> dict[str, object]:
    return {**WHOLE, **changes}


def saying(*content: object) -> dict[str, object]:
    return said(output={"message": {"role": "assistant", "content": list(content)}})


def test_an_answer_is_read_and_written() -> None:
    assert answer(WHOLE) == (Answer([Text("Hi.")], usage=Usage(3, 2)), [])
    assert written(answer(WHOLE)[0]) == (WHOLE, [])


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("tool_use", "tools"),
        ("max_tokens", "length"),
        ("stop_sequence", "sequence"),
        ("guardrail_intervened", "filter"),
        ("content_filtered", "filter"),
        ("malformed_tool_use", "malformed"),
        ("malformed_model_output", "malformed"),
        ("model_context_window_exceeded", "context"),
        ("refusal", "refusal"),
        ("pause_turn", "pause"),
        ("tomorrow", "other"),
        (None, "other"),
    ],
)
def test_why_it_ended_is_read(reason: str | None, finish: Finish) -> None:
    assert answer(said(stopReason=reason))[0].finish == finish


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("end_turn", "tools"), (None, "tools"), ("max_tokens", "length"), ("tomorrow", "other")],
)
def test_a_call_is_a_reason_where_no_better_one_is_told(reason: str | None, finish: Finish) -> None:
    assert answer({**saying(*CALLS), "stopReason": reason})[0].finish == finish


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "end_turn"),
        ("sequence", "stop_sequence"),
        ("length", "max_tokens"),
        ("tools", "tool_use"),
        ("filter", "content_filtered"),
        ("refusal", "content_filtered"),
        ("pause", "end_turn"),
        ("context", "model_context_window_exceeded"),
        ("malformed", "malformed_tool_use"),
        ("other", "end_turn"),
    ],
)
def test_why_it_ended_is_said_in_words_kits_know(finish: Finish, reason: str) -> None:
    assert reason_of(finish) == reason


def test_cached_tokens_stand_beside_the_others_there_and_among_them_here() -> None:
    counts = {
        "inputTokens": 433,
        "outputTokens": 16,
        "totalTokens": 3221,
        "cacheReadInputTokens": 2752,
        "cacheWriteInputTokens": 20,
    }
    usage = answer(said(usage=counts))[0].usage
    assert usage == Usage(3205, 16, 2752, 20)
    assert usage_fields(usage, Losses()) == counts


@pytest.mark.parametrize(
    "counts",
    [None, {}, [], {"inputTokens": "3"}, {"inputTokens": -1, "outputTokens": 2}, {"outputTokens": 2_000_000_000}],
)
def test_counts_that_are_none_are_no_usage(counts: object) -> None:
    assert answer(said(usage=counts))[0].usage is None


def test_no_counts_are_zeros_to_kits_that_want_them() -> None:
    absent = {name: value for name, value in WHOLE.items() if name != "usage"}
    assert answer(absent)[0].usage is None
    assert usage_fields(None, Losses()) == {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}
    assert usage_of(js({"outputTokens": 2})) == Usage(0, 2)


def test_reasoning_tokens_are_among_the_outputs() -> None:
    losses = Losses()
    assert usage_fields(Usage(3, 9, reasoning_tokens=7), losses)["outputTokens"] == 9
    assert losses.names() == ["usage.reasoning_tokens=mapped"]


def test_the_sequence_that_ended_it_is_told() -> None:
    given = said(stopReason="stop_sequence", additionalModelResponseFields={"stop_sequence": "END"})
    assert answer(given)[0].sequence == "END"
    assert written(answer(given)[0])[0]["additionalModelResponseFields"] == {"stop_sequence": "END"}


def test_the_sequence_is_told_where_the_caller_looks_for_it() -> None:
    asked = ask(other={"additionalModelResponseFieldPaths": Raw(b'["/delta/stop_sequence"]')})
    ended = Answer([Text("a")], "sequence", "END")
    told = decode(write_answer(ended, asked, Losses()))["additionalModelResponseFields"]
    assert told == {"delta": {"stop_sequence": "END"}}


@pytest.mark.parametrize(
    ("fields", "losses"),
    [
        ({"delta": {"stop_sequence": "END"}}, []),
        ({"stop_sequence": None, "delta": {"stop_sequence": "END"}}, []),
        ({"stop_sequence": "END", "delta": {"stop_sequence": None}}, []),
        ({"delta": {"stop_sequence": "END", "more": 1}}, ["additionalModelResponseFields"]),
    ],
)
def test_a_sequence_inside_a_streams_last_piece_is_read(fields: object, losses: list[str]) -> None:
    read, lost = answer(said(additionalModelResponseFields=fields))
    assert (read.sequence, lost) == ("END", losses)


@pytest.mark.parametrize(
    ("fields", "losses"),
    [
        ({"stop_sequence": None}, []),
        ({}, []),
        ({"more": 1}, ["additionalModelResponseFields"]),
        ([], []),
        ({"stop_sequence": 1}, []),
        ({"delta": "END"}, []),
    ],
)
def test_other_fields_of_a_model_are_losses(fields: object, losses: list[str]) -> None:
    read, lost = answer(said(additionalModelResponseFields=fields))
    assert (read.sequence, lost) == ("", losses)


@pytest.mark.parametrize(("tier", "read"), [({"type": "flex"}, "flex"), ({}, ""), ("flex", "")])
def test_the_tier_that_served_it_is_read(tier: object, read: str) -> None:
    assert answer(said(serviceTier=tier))[0].service_tier == read


def test_the_tier_is_said_where_amazon_has_it() -> None:
    assert written(Answer([], service_tier="priority"))[0]["serviceTier"] == {"type": "priority"}
    assert written(Answer([], service_tier="scale"))[1] == ["service_tier"]


def test_a_guardrails_findings_are_a_loss() -> None:
    assert answer(said(trace={"guardrail": {}}))[1] == ["trace"]
    assert answer(said(trace=None))[1] == []


def test_logprobs_are_a_loss() -> None:
    assert written(Answer([], logprobs=Raw(b"[]")))[1] == ["logprobs"]


def test_calls_are_read_with_their_own_text() -> None:
    read, _ = answer(saying(*CALLS))
    assert read.content == [ToolCall("t1", "look", '{"a":1}')]


def test_an_empty_answer_is_one() -> None:
    assert answer(saying())[0].content == []


def test_an_error_in_an_answer_is_told() -> None:
    with pytest.raises(UpstreamBroken):
        answer({"message": "The model broke."})


@pytest.mark.parametrize("body", [{}, {"output": None}, {"output": {"message": {}}}])
def test_what_has_no_content_is_no_answer(body: object) -> None:
    with pytest.raises(ValueError, match="no content"):
        answer(body)


def test_what_is_no_json_is_no_answer() -> None:
    with pytest.raises(ValueError, match="malformed") as told:
        read_answer(b"<html>", Losses())
    assert not isinstance(told.value, UpstreamError)
    with pytest.raises(ValueError, match="truncated"):
        read_answer(encode(WHOLE)[:-5], Losses())
