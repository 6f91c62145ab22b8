import pytest
from msgspec import Raw
from msgspec.json import encode

from gateway.errors import UpstreamBroken, UpstreamError, UpstreamTruncated
from gateway.features import Usage
from gateway.wire.ir import (
    Answer,
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Event,
    Finished,
    Media,
    Started,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.ollama.answer import OllamaReader, read_answer

HEAD = {"model": "qwen3", "created_at": "2025-10-26T17:21:21.196249123Z"}
SECOND = 1_761_499_281
LOGPROBS = [{"token": "a", "logprob": -1, "top_logprobs": [{"token": "b", "logprob": -2}]}]


def read(**fields: object) -> Answer:
    return read_answer(encode(HEAD | {"message": {"role": "assistant", "content": "x"}, "done": True} | fields))


def heard(*lines: object) -> list[Event]:
    reader = OllamaReader()
    events = [event for line in lines for event in reader.feed("", encode(line))]
    return events + reader.end()


def test_a_whole_answer() -> None:
    answer = read(
        message={
            "role": "assistant",
            "content": "hello",
            "thinking": "hmm",
            "tool_calls": [
                {"id": "c", "function": {"name": "f", "arguments": {"b": 1, "a": [2]}}},
                {"function": {"name": "g"}},
            ],
            "images": ["iVBORw0=", "AAAA"],
        },
        done_reason="stop",
        prompt_eval_count=7,
        eval_count=5,
        logprobs=LOGPROBS,
    )
    assert answer == Answer(
        [
            Thinking("hmm"),
            Text("hello"),
            Media("image", "image/png", data="iVBORw0="),
            Media("image", data="AAAA"),
            ToolCall("c", "f", '{"b":1,"a":[2]}'),
            ToolCall("call_1", "g", "{}"),
        ],
        "tools",
        model="qwen3",
        created=SECOND,
        usage=Usage(7, 5),
        logprobs=Raw(encode(LOGPROBS)),
    )


def test_a_call_without_anything_is_one_all_the_same() -> None:
    assert read(message={"tool_calls": [{}]}).content == [ToolCall("call_0", "", "{}")]


@pytest.mark.parametrize(
    ("reason", "finish"), [("stop", "stop"), ("length", "length"), ("load", "other"), ("", "stop"), (None, "stop")]
)
def test_why_it_ended(reason: str | None, finish: str) -> None:
    assert read(done_reason=reason).finish == finish


@pytest.mark.parametrize(
    ("told", "second"),
    [
        ("2025-10-26T17:21:21Z", SECOND),
        ("2025-10-26T19:21:21.5+02:00", SECOND),
        ("2025-13-26T17:21:21Z", 0),
        ("yesterday", 0),
        (None, 0),
    ],
)
def test_when_it_was_made(told: str | None, second: int) -> None:
    assert read(created_at=told).created == second


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({}, None),
        ({"eval_count": 5}, Usage(0, 5)),
        ({"prompt_eval_count": 5}, Usage(5, 0)),
        ({"prompt_eval_count": -1}, None),
        ({"eval_count": 2_000_000_000}, None),
    ],
)
def test_what_it_used(counts: dict[str, object], usage: Usage | None) -> None:
    assert read(**counts).usage == usage


def test_an_answer_may_have_no_model() -> None:
    assert read(model=None, message={"content": ""}) == Answer([], "stop", created=SECOND)


def test_an_error_inside_is_one_and_so_is_nothing() -> None:
    with pytest.raises(UpstreamError):
        read_answer(b'{"error":"model runner has stopped"}')
    with pytest.raises(UpstreamBroken):
        read_answer(b'{"done":true}')
    with pytest.raises(ValueError, match="Expected"):
        read_answer(b"[]")


def test_a_stream() -> None:
    assert heard(
        HEAD | {"message": {"role": "assistant", "content": "", "thinking": "h"}, "done": False},
        HEAD | {"message": {"thinking": "m"}, "logprobs": LOGPROBS},
        HEAD | {"message": {"content": "a"}, "logprobs": LOGPROBS},
        HEAD | {"message": {"content": "b"}},
        HEAD | {"message": {"tool_calls": [{"function": {"name": "f", "arguments": {}}}]}},
        HEAD | {"message": {"images": ["/9j/AA=="], "tool_calls": [{"id": "c", "function": {"name": "g"}}]}},
        HEAD | {"message": {"content": "c", "thinking": "d"}, "logprobs": LOGPROBS},
        HEAD
        | {"message": {"content": ""}, "done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 4},
    ) == [
        Started(model="qwen3", created=SECOND),
        BlockOpened(0, Thinking("")),
        BlockGrew(0, "h"),
        BlockGrew(0, "m", logprobs=Raw(encode(LOGPROBS))),
        BlockClosed(0),
        BlockOpened(1, Text("")),
        BlockGrew(1, "a", logprobs=Raw(encode(LOGPROBS))),
        BlockGrew(1, "b"),
        BlockClosed(1),
        BlockOpened(2, ToolCall("call_0", "f", "{}")),
        BlockClosed(2),
        BlockOpened(3, Media("image", "image/jpeg", data="/9j/AA==")),
        BlockClosed(3),
        BlockOpened(4, ToolCall("c", "g", "{}")),
        BlockClosed(4),
        BlockOpened(5, Thinking("")),
        BlockGrew(5, "d"),
        BlockClosed(5),
        BlockOpened(6, Text("")),
        BlockGrew(6, "c", logprobs=Raw(encode(LOGPROBS))),
        BlockClosed(6),
        Finished("tools", usage=Usage(3, 4)),
    ]


def test_it_is_done_when_it_says_so() -> None:
    reader = OllamaReader()
    reader.feed("", b'{"done":true,"done_reason":"load"}')
    assert reader.done
    assert reader.end() == [Finished("other")]


def test_a_stream_that_does_not_say_so_was_cut_off() -> None:
    with pytest.raises(UpstreamTruncated):
        heard({"message": {"content": "a"}})


def test_an_error_amid_a_stream_is_one() -> None:
    with pytest.raises(UpstreamError):
        heard({"message": {"content": "a"}}, {"error": "an error was encountered while running the model"})
