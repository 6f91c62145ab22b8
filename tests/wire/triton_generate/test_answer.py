import pytest
from msgspec.json import encode

from gateway.errors import UpstreamBroken, UpstreamError, UpstreamTruncated
from gateway.features import Usage
from gateway.wire.ir import Answer, BlockClosed, BlockGrew, BlockOpened, Event, Finished, Started, Text
from gateway.wire.triton_generate.answer import TritonReader, read_answer

# As TensorRT-LLM's ensemble answers.
RECORDED = (
    b'{"batch_index":0,"context_logits":0.0,"cum_log_probs":0.0,"generation_logits":0.0,"model_name":"gpt2",'
    b'"model_version":"1","output_log_probs":[0.0,0.0],"sequence_end":false,"text_output":" a"}'
)


def heard(*said: object) -> list[Event]:
    reader = TritonReader()
    events = [event for one in said for event in reader.feed("", one if isinstance(one, bytes) else encode(one))]
    return events + reader.end()


def test_a_whole_answer_is_a_text() -> None:
    assert read_answer(RECORDED) == Answer([Text(" a")], "stop", model="gpt2")


def test_what_a_backend_tells_beside_it_counts() -> None:
    body = {"text_output": ["a"], "finish_reason": ["length"], "num_input_tokens": 5, "num_output_tokens": [3]}
    assert read_answer(encode(body)) == Answer([Text("a")], "length", usage=Usage(5, 3))


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"num_output_tokens": 3}, Usage(0, 3)),
        ({"num_input_tokens": 3}, None),
        ({"num_output_tokens": []}, Usage(0, 0)),
        ({"num_output_tokens": -1}, None),
        ({"num_output_tokens": 1, "num_input_tokens": 2_000_000_000}, None),
    ],
)
def test_what_it_used(told: dict[str, object], usage: Usage | None) -> None:
    assert read_answer(encode({"text_output": "a"} | told)).usage == usage


def test_a_reason_nobody_knows_is_another() -> None:
    assert read_answer(b'{"text_output":"","finish_reason":"tomorrows"}').finish == "other"


@pytest.mark.parametrize("body", [b"{}", b'{"text_output":[]}'])
def test_an_answer_without_a_text_is_none(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        read_answer(body)


def test_errors_are_told_inside() -> None:
    with pytest.raises(UpstreamError):
        read_answer(b'{"error":"failed"}')
    with pytest.raises(UpstreamError):
        heard(RECORDED, {"error": "failed"})
    with pytest.raises(UpstreamBroken):
        heard(RECORDED, {"text_output": "", "finish_reason": "abort"})


def test_a_stream_ends_with_its_transport() -> None:
    reader = TritonReader()
    events = reader.feed("", RECORDED) + reader.feed("", b'{"model_name":"gpt2"}') + reader.feed("", RECORDED)
    assert not reader.done
    assert events + reader.end() == [
        Started(model="gpt2"),
        BlockOpened(0, Text("")),
        BlockGrew(0, " a"),
        BlockGrew(0, " a"),
        BlockClosed(0),
        Finished("stop"),
    ]


def test_a_stream_of_a_backend_that_counts() -> None:
    events = heard(
        {"text_output": "a", "finish_reason": "None", "num_input_tokens": 5, "num_output_tokens": 1},
        {"text_output": "", "finish_reason": "stop", "num_input_tokens": 5, "num_output_tokens": 2},
    )
    assert events[2:] == [BlockGrew(0, "a"), BlockClosed(0), Finished("stop", usage=Usage(5, 3))]


def test_a_stream_that_was_not_finished_was_cut_off() -> None:
    with pytest.raises(UpstreamTruncated):
        heard({"text_output": "a", "finish_reason": "None"})
    with pytest.raises(UpstreamTruncated):
        heard()
