import pytest
from msgspec import Raw
from msgspec.json import decode, encode

from gateway.errors import (
    UpstreamBroken,
    UpstreamBusy,
    UpstreamError,
    UpstreamRefused,
    UpstreamTruncated,
)
from gateway.features import Usage
from gateway.wire.ir import Answer, BlockClosed, BlockGrew, BlockOpened, Event, Finished, Started, Text
from gateway.wire.tgi.answer import TgiReader, read_answer

TOKENS = [
    {"id": 1, "text": "a", "logprob": -1, "special": False},
    {"id": 2, "text": "</s>", "logprob": -2, "special": True},
    {"id": 3, "text": "b", "logprob": -3, "special": False},
]
LAST = {
    "token": {"id": 2, "text": "</s>", "logprob": -1, "special": True},
    "generated_text": "ab",
    "details": {"finish_reason": "eos_token", "generated_tokens": 3, "input_length": 7},
}


def read(**details: object) -> Answer:
    return read_answer(encode({"generated_text": "ab", "details": details}))


def heard(*said: object) -> list[Event]:
    reader = TgiReader()
    events = [event for one in said for event in reader.feed("", encode(one))]
    return events + reader.end()


def test_a_whole_answer() -> None:
    assert read(finish_reason="length", generated_tokens=2, seed=42) == Answer(
        [Text("ab")], "length", usage=Usage(0, 2)
    )


def test_the_prompt_counts_where_its_tokens_are_told() -> None:
    assert read(generated_tokens=2, prefill=[{"id": 1}, {"id": 2}]).usage == Usage(2, 2)
    assert read(generated_tokens=2, prefill=[], input_length=5).usage == Usage(5, 2)


@pytest.mark.parametrize("details", [{}, {"generated_tokens": -1}, {"generated_tokens": 1, "input_length": 2 * 10**9}])
def test_what_nobody_can_have_used_is_no_usage(details: dict[str, object]) -> None:
    assert read(**details).usage is None


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("eos_token", "stop"),
        ("length", "length"),
        ("stop_sequence", "sequence"),
        ("tomorrows", "other"),
        (None, "stop"),
    ],
)
def test_why_it_ended(reason: str | None, finish: str) -> None:
    assert read(finish_reason=reason).finish == finish


def test_an_answer_may_stand_in_a_list_and_have_no_details() -> None:
    assert read_answer(b' [{"generated_text":"x"}]') == Answer([Text("x")])


def test_numbers_of_tokens_are_told_where_alternatives_are() -> None:
    answer = read(tokens=TOKENS, top_tokens=[[TOKENS[0], TOKENS[2]], []])
    assert answer.logprobs is not None
    assert decode(answer.logprobs) == [
        {
            "token": "a",
            "logprob": -1,
            "bytes": None,
            "top_logprobs": [
                {"token": "a", "logprob": -1, "bytes": None},
                {"token": "b", "logprob": -3, "bytes": None},
            ],
        },
        {"token": "b", "logprob": -3, "bytes": None, "top_logprobs": []},
    ]
    assert read(tokens=TOKENS).logprobs is None
    assert read(top_tokens=[[TOKENS[0]]]).logprobs == Raw(b"[]")


@pytest.mark.parametrize("body", [b"[]", b"{}"])
def test_an_answer_without_a_text_is_none(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        read_answer(body)


def test_an_error_inside_is_one() -> None:
    with pytest.raises(UpstreamError):
        read_answer(b'{"error":"Request failed during generation","error_type":"generation"}')


def test_a_stream() -> None:
    assert heard(
        {"index": 1, "token": TOKENS[0], "generated_text": None, "details": None},
        {"index": 2, "token": {"text": "", "special": False}},
        {"index": 3, "token": TOKENS[2], "top_tokens": [TOKENS[0]]},
        {"index": 4},
        LAST,
    ) == [
        Started(),
        BlockOpened(0, Text("")),
        BlockGrew(0, "a"),
        BlockGrew(
            0,
            "b",
            logprobs=Raw(
                b'[{"token":"b","logprob":-3.0,"bytes":null,'
                b'"top_logprobs":[{"token":"a","logprob":-1.0,"bytes":null}]}]'
            ),
        ),
        BlockClosed(0),
        Finished("stop", usage=Usage(7, 3)),
    ]


def test_a_stream_of_nothing_is_an_empty_text() -> None:
    assert heard({"generated_text": ""}) == [Started(), BlockOpened(0, Text("")), BlockClosed(0), Finished("stop")]


def test_it_is_done_with_its_last_token() -> None:
    reader = TgiReader()
    reader.feed("", encode({"token": TOKENS[0]}))
    before = reader.done
    reader.feed("", encode(LAST))
    assert (before, reader.done) == (False, True)


def test_a_stream_without_it_was_cut_off() -> None:
    with pytest.raises(UpstreamTruncated):
        heard({"token": TOKENS[0]})


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("overloaded", UpstreamBusy),
        ("validation", UpstreamRefused),
        ("generation", UpstreamBroken),
        ("incomplete_generation", UpstreamBroken),
        (None, UpstreamBroken),
    ],
)
def test_errors_amid_a_stream_mean_what_they_mean_elsewhere(kind: str | None, error: type[Exception]) -> None:
    with pytest.raises(error):
        heard({"error": "no", "error_type": kind})
