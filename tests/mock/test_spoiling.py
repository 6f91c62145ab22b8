from collections.abc import Iterator

import orjson
import pytest

from gateway.mock.faults import NO_FAULTS, Faults, parse_faults
from gateway.mock.script import Frame, Kind, Then
from gateway.mock.spoiling import ERROR_BODY, ERROR_OBJECT_BODY, event, spoiled, spoiled_body

DELTA = event(b'{"choices":[{"delta":{"content":"word"}}]}')


def stream() -> Iterator[Frame]:
    yield Frame(event(b'{"choices":[{"delta":{"role":"assistant","content":""}}]}'), 1.0, kind=Kind.ROLE)
    yield Frame(DELTA, tokens=1)
    yield Frame(DELTA, 0.1, tokens=1)
    yield Frame(event(b'{"choices":[{"delta":{},"finish_reason":"stop"}]}'), kind=Kind.FINISH)
    yield Frame(event(b'{"choices":[],"usage":{}}'), kind=Kind.USAGE)
    yield Frame(event(b"[DONE]"), kind=Kind.DONE)


def heard(specs: str) -> list[Frame]:
    return list(spoiled(stream(), Faults(parse_faults(specs))))


def kinds(specs: str) -> list[Kind]:
    return [frame.kind for frame in heard(specs)]


def test_nothing_happens_without_faults() -> None:
    assert list(spoiled(stream(), NO_FAULTS)) == list(stream())


def test_a_cut_stream_just_ends() -> None:
    assert kinds("cut=2") == [Kind.ROLE, Kind.CONTENT]


@pytest.mark.parametrize(
    ("fault", "then"), [("stall_mid", Then.STALL), ("reset_mid", Then.RESET), ("fin_mid", Then.CLOSE)]
)
def test_a_stream_breaks_where_it_was_told_to(fault: str, then: Then) -> None:
    frames = heard(f"{fault}=1")
    assert [frame.then for frame in frames] == [Then.GO, then]
    assert frames[1].data == b""


def test_a_stream_that_breaks_before_its_first_event_keeps_its_wait() -> None:
    assert heard("stall_mid=0") == [Frame(b"", 1.0, kind=Kind.NOISE, then=Then.STALL)]


def test_an_error_can_come_first_or_later() -> None:
    assert [frame.data for frame in heard("error_first")] == [event(ERROR_BODY)]
    assert [frame.data for frame in heard("error_object")] == [event(ERROR_OBJECT_BODY)]
    assert kinds("error_mid=2") == [Kind.ROLE, Kind.CONTENT, Kind.ERROR]


def test_the_old_error_object_has_no_error_key() -> None:
    assert orjson.loads(ERROR_OBJECT_BODY)["object"] == "error"
    assert "error" not in orjson.loads(ERROR_OBJECT_BODY)


def test_a_broken_frame_is_still_framed_but_no_json() -> None:
    data = heard("malformed=1")[1].data
    assert data.endswith(b"\n\n")
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(data.removeprefix(b"data: "))


def test_bad_utf8_stands_in_the_text_of_one_event() -> None:
    frames = heard("bad_utf8=1")
    with pytest.raises(UnicodeDecodeError):
        frames[1].data.decode()
    assert frames[2].data == DELTA
    assert b'"content":"\xff' in frames[1].data


@pytest.mark.parametrize("key", ["content", "text"])
def test_one_event_grows_to_the_size_asked_for(key: str) -> None:
    frames = iter([Frame(event(b'{"%b":"word"}' % key.encode()), tokens=1), Frame(DELTA, tokens=1)])
    grown = list(spoiled(frames, Faults(parse_faults("giant=5000"))))
    assert [len(frame.data) for frame in grown] == [5000, len(DELTA)]
    assert orjson.loads(grown[0].data.removeprefix(b"data: "))[key].endswith("gword")


def test_ends_can_be_missing() -> None:
    assert kinds("no_done") == [Kind.ROLE, Kind.CONTENT, Kind.CONTENT, Kind.FINISH, Kind.USAGE]
    assert kinds("no_finish") == [Kind.ROLE, Kind.CONTENT, Kind.CONTENT]


def test_something_can_follow_the_end() -> None:
    assert kinds("after_done")[-2:] == [Kind.DONE, Kind.NOISE]


def test_noise_is_not_counted_as_events() -> None:
    frames = heard("retry_id_fields;cut=2")
    assert [frame.kind for frame in frames] == [Kind.ROLE, Kind.NOISE, Kind.CONTENT, Kind.NOISE]
    assert frames[1].data == b"id: 7\n\n"


def test_pings_fill_the_wait_for_the_first_event() -> None:
    frames = heard("pings=300ms")
    assert [frame.data for frame in frames[:4]] == [b": ping\n\n"] * 4
    assert sum(frame.wait_s for frame in frames[:5]) == pytest.approx(1.0)
    assert frames[4].kind is Kind.ROLE


def test_pings_of_a_stream_without_events_are_none() -> None:
    assert list(spoiled(iter(()), Faults(parse_faults("pings=1s")))) == []


def test_a_whole_answer_can_be_spoiled_too() -> None:
    body = b'{"choices":[{"message":{"content":"word"}}]}'
    assert spoiled_body(body, NO_FAULTS) == body
    assert spoiled_body(body, Faults(parse_faults("error_first"))) == ERROR_BODY
    assert spoiled_body(body, Faults(parse_faults("error_object"))) == ERROR_OBJECT_BODY
    assert spoiled_body(body, Faults(parse_faults("malformed=0"))) == body[: len(body) // 2]
    assert b'"content":"\xff' in spoiled_body(body, Faults(parse_faults("bad_utf8=0")))
    assert spoiled_body(b"[]", Faults(parse_faults("bad_utf8=0"))).startswith(b"[]\xff")
