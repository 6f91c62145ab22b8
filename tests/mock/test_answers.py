from array import array
from base64 import b64decode

import orjson
import pytest

from gateway.mock import answers
from gateway.mock.answers import Answer, embeddings, frames, opening, shaped_frames, whole
from gateway.mock.asks import Ask
from gateway.mock.faults import Faults, parse_faults
from gateway.mock.script import Frame, Kind


def answer(*, tokens: int = 4, faults: str = "", operation: str = "chat", **asked: object) -> Answer:
    ask = Ask(operation=operation, model="m", prompt_tokens=7, **asked)  # type: ignore[arg-type]  # fields by name
    return Answer(
        ask=ask,
        id="id-1",
        created=1,
        place="Oslo",
        tokens=tokens,
        ttft_s=2.0,
        tpot_s=0.5,
        faults=Faults(parse_faults(faults)),
    )


def payloads(said: list[Frame]) -> list[dict[str, object]]:
    return [orjson.loads(frame.data.removeprefix(b"data: ")) for frame in said if frame.kind is not Kind.DONE]


def test_the_text_says_that_it_is_a_stand_in_and_where() -> None:
    assert answer(tokens=9).text.startswith("This is the stand-in model m in Oslo;")
    assert "".join(word for word, _ in opening("m", "")).startswith("This is the stand-in model m;")


@pytest.mark.parametrize("count", [1, 5, 12, 13, 500])
def test_the_text_is_as_long_as_was_asked_for(count: int) -> None:
    assert len(list(answer(tokens=count).words)) == answer(tokens=count).length == count


def test_a_stream_starts_with_the_role_and_ends_with_a_reason_and_done() -> None:
    said = list(frames(answer(tokens=2)))
    assert [frame.kind for frame in said] == [Kind.ROLE, Kind.CONTENT, Kind.CONTENT, Kind.FINISH, Kind.DONE]
    assert said[-1].data == b"data: [DONE]\n\n"
    first, second, _, last = payloads(said)
    assert first["object"] == "chat.completion.chunk"
    assert first["choices"] == [
        {
            "index": 0,
            "delta": {"role": "assistant", "content": "", "refusal": None},
            "logprobs": None,
            "finish_reason": None,
        }
    ]
    assert second["choices"] == [{"index": 0, "delta": {"content": "This"}, "logprobs": None, "finish_reason": None}]
    assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]
    assert "usage" not in last


def test_the_first_event_waits_for_the_first_token_and_each_later_token_for_its_own_time() -> None:
    assert [frame.wait_s for frame in frames(answer(tokens=3))] == [2.0, 0.0, 0.5, 0.5, 0.0, 0.0]


def test_usage_comes_last_and_only_if_asked_for() -> None:
    said = payloads(list(frames(answer(tokens=2, include_usage=True))))
    assert said[0]["usage"] is None
    assert said[-1]["choices"] == []
    assert said[-1]["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


def test_usage_can_be_missing_or_zero() -> None:
    assert all(not one["usage"] for one in payloads(list(frames(answer(include_usage=True, faults="usage=missing")))))
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert payloads(list(frames(answer(include_usage=True, faults="usage=zero"))))[-1]["usage"] == zeros
    assert "usage" not in orjson.loads(whole(answer(faults="usage=missing")))


def test_several_choices_are_told_in_turns() -> None:
    said = list(frames(answer(tokens=2, choices=2)))
    indexes = [one["choices"][0]["index"] for one in payloads(said)]  # type: ignore[index]  # JSON
    assert indexes == [0, 1] * 4
    assert [frame.wait_s for frame in said if frame.tokens] == [0.0, 0.0, 0.5, 0.0]


def test_a_limit_is_obeyed_and_named_as_the_reason() -> None:
    body = orjson.loads(whole(answer(tokens=3, max_tokens=3)))
    assert body["choices"][0]["message"]["content"] == "This is the"
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 3


def test_a_whole_chat_has_the_shape_of_one() -> None:
    body = orjson.loads(whole(answer(choices=2)))
    assert (body["object"], body["id"], body["model"]) == ("chat.completion", "id-1", "m")
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    assert body["choices"][1]["message"]["role"] == "assistant"
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 8, "total_tokens": 15}


def test_a_tool_that_was_insisted_on_is_called() -> None:
    call = orjson.loads(whole(answer(tool="look")))["choices"][0]
    assert call["finish_reason"] == "tool_calls"
    assert call["message"]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"stand_in": true}'}
    deltas = [one["choices"][0]["delta"] for one in payloads(list(frames(answer(tool="look"))))]  # type: ignore[index]  # JSON
    parts = [delta["tool_calls"][0]["function"]["arguments"] for delta in deltas[:-1]]
    assert "".join(parts) == '{"stand_in": true}'


def test_a_completion_has_text_and_no_role() -> None:
    said = list(frames(answer(tokens=2, operation="completions")))
    assert [frame.kind for frame in said] == [Kind.CONTENT, Kind.CONTENT, Kind.FINISH, Kind.DONE]
    assert payloads(said)[0]["object"] == "text_completion"
    assert orjson.loads(whole(answer(tokens=2, operation="completions")))["choices"][0]["text"] == "This is"


def test_characters_of_several_bytes_are_there_to_be_split() -> None:
    said = b"".join(frame.data for frame in frames(answer(faults="split_utf8")))
    assert "東京" in said.decode()


@pytest.mark.parametrize("usage", [False, True])
def test_shaped_events_have_exactly_the_size_and_the_number_asked_for(*, usage: bool) -> None:
    said = list(shaped_frames(answer(tokens=5, include_usage=usage), 5, 300))
    assert [len(frame.data) for frame in said[:5]] == [300] * 5
    assert len(said) == 6 + usage
    assert payloads(said)[4]["choices"][0]["finish_reason"] == "stop"  # type: ignore[index]  # JSON
    assert [frame.wait_s for frame in said] == [2.0, 0.5, 0.5, 0.5, 0.5] + [0.0] * (1 + usage)


def test_a_shaped_event_too_small_for_its_words_is_refused() -> None:
    with pytest.raises(ValueError, match="no room for content"):
        shaped_frames(answer(), 5, 100)


def test_the_same_text_has_the_same_vector_of_length_one() -> None:
    body = orjson.loads(embeddings(answer(operation="embeddings", inputs=("a", "b", "a")), 16))
    first, second, third = (row["embedding"] for row in body["data"])
    assert first == third != second
    assert len(first) == 16
    assert sum(value**2 for value in first) == pytest.approx(1.0)
    assert body["usage"] == {"prompt_tokens": 7, "total_tokens": 7}


def test_a_vector_packed_in_base64_is_the_same_vector() -> None:
    plain = orjson.loads(embeddings(answer(operation="embeddings", inputs=("a",)), 8))["data"][0]["embedding"]
    packed = orjson.loads(embeddings(answer(operation="embeddings", inputs=("a",), base64=True), 8))["data"][0]
    assert array("f", b64decode(packed["embedding"])).tolist() == pytest.approx(plain)


def test_embeddings_can_lie_about_usage_too() -> None:
    assert "usage" not in orjson.loads(embeddings(answer(inputs=("a",), faults="usage=missing"), 4))
    assert orjson.loads(embeddings(answer(inputs=("a",), faults="usage=zero"), 4))["usage"]["total_tokens"] == 0


def test_adapters_are_models_with_a_parent() -> None:
    rows = orjson.loads(answers.model_list(("m",), ("adapter",), 1, 4096))["data"]
    assert [(row["id"], row["parent"]) for row in rows] == [("m", None), ("adapter", "m")]


def test_an_error_has_openais_shape() -> None:
    body = orjson.loads(answers.error("words", "kind", param="p", code="c"))
    assert body == {"error": {"message": "words", "type": "kind", "param": "p", "code": "c"}}
