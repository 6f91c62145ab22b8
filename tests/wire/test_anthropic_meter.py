import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import DeadlineExceeded, UpstreamBroken, UpstreamOverloaded, UpstreamTruncated
from gateway.features import Usage
from gateway.wire.anthropic_meter import STOP, AnthropicMeter

MOST = 4096


def event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


START = event(
    "message_start",
    message={"id": "msg_1", "type": "message", "content": [], "usage": {"input_tokens": 10, "output_tokens": 1}},
)
PING = event("ping")
OPEN = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
HELLO = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hello"})
YOU = event("content_block_delta", index=0, delta={"type": "text_delta", "text": " yöu"})
CLOSE = event("content_block_stop", index=0)
DELTA = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 7})
ERROR = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
WHOLE = START + PING + OPEN + HELLO + YOU + CLOSE + DELTA + STOP


def meter() -> AnthropicMeter:
    return AnthropicMeter(event_bytes=MOST)


def test_nothing_goes_out_before_the_first_content_and_then_all_of_it() -> None:
    one = meter()
    assert [one.feed(piece) for piece in (START, PING, OPEN)] == [b"", b"", b""]
    assert one.feed(HELLO) == START + PING + OPEN + HELLO
    assert one.committed
    assert one.feed(YOU) == YOU
    assert one.feed(CLOSE + DELTA) == CLOSE + DELTA
    assert one.feed(STOP) == STOP
    assert one.done
    assert (one.finish, one.pieces, one.usage, one.error) == ("end_turn", 2, Usage(10, 7), None)


@given(cuts=st.lists(st.integers(0, len(WHOLE)), max_size=12), crlf=st.booleans())
def test_where_the_bytes_were_cut_never_matters(cuts: list[int], crlf: bool) -> None:
    data = WHOLE.replace(b"\n", b"\r\n") if crlf else WHOLE
    places = [0, *sorted(cuts), len(data)]
    one = meter()
    out = b"".join(one.feed(data[start:end]) for start, end in pairwise(places))
    assert out == WHOLE
    assert one.done
    assert one.finish_up() == b""


def test_nothing_follows_the_end() -> None:
    one = meter()
    assert one.feed(WHOLE + HELLO) == WHOLE
    assert one.feed(HELLO) == b""


def test_an_answer_without_its_last_event_is_given_it_when_its_reason_came() -> None:
    one = meter()
    one.feed(START + OPEN + HELLO + CLOSE + DELTA)
    assert one.finish_up() == STOP
    assert one.done


def test_a_last_event_without_its_blank_line_is_an_event() -> None:
    one = meter()
    one.feed(START + OPEN + HELLO + CLOSE + DELTA + STOP[:-2])
    assert one.finish_up() == STOP
    assert one.done


def test_a_last_event_that_was_torn_is_none() -> None:
    one = meter()
    one.feed(START + OPEN + HELLO + CLOSE + DELTA + STOP[:-9])
    assert one.finish_up() == STOP


@pytest.mark.parametrize("sent", [b"", START + OPEN, START + OPEN + HELLO, START + OPEN + HELLO + CLOSE])
def test_an_answer_that_ends_early_is_broken(sent: bytes) -> None:
    one = meter()
    one.feed(sent)
    assert one.finish_up() == b""
    assert isinstance(one.error, UpstreamTruncated)
    assert not one.done
    assert one.finish_up() == b""


def test_an_end_without_an_answer_is_none() -> None:
    one = meter()
    assert one.feed(START + STOP) == b""
    assert isinstance(one.error, UpstreamTruncated)


def test_an_error_before_content_says_what_it_is() -> None:
    one = meter()
    assert one.feed(START + ERROR + HELLO) == b""
    assert isinstance(one.error, UpstreamOverloaded)


def test_an_error_after_content_ends_the_stream_and_says_no_more() -> None:
    one = meter()
    assert one.feed(START + HELLO + ERROR + YOU) == START + HELLO
    assert type(one.error) is UpstreamBroken
    assert one.error.reason == "upstream_error"
    assert one.feed(YOU) == b""


def test_an_error_in_openais_shape_is_one_too() -> None:
    one = meter()
    one.feed(b'data: {"error":{"message":"no"}}\n\n')
    assert isinstance(one.error, UpstreamBroken)


@pytest.mark.parametrize("rough", [b"data: {\n\n", b"data: []\n\n", b'data: {"type":"\xff"}\n\n'])
def test_what_is_no_json_breaks_it(rough: bytes) -> None:
    one = meter()
    assert one.feed(START + HELLO + rough) == START + HELLO
    assert isinstance(one.error, UpstreamBroken)


def test_a_stream_may_begin_with_a_mark_and_hold_comments_and_events_nobody_knows() -> None:
    one = meter()
    new = event("something_new", value=1 << 70)
    assert one.feed(b"\xef\xbb\xbf" + START + b": hello\n\n" + HELLO + new) == START + b": hello\n\n" + HELLO + new


def test_an_endless_event_breaks_it_whole_or_not() -> None:
    large = b"data: " + b"x" * (MOST + 10)
    for rough in (large, large + b"\n\n"):
        one = meter()
        assert one.feed(START + HELLO) == START + HELLO
        assert one.feed(rough) == b""
        assert isinstance(one.error, UpstreamBroken)


def test_too_much_before_the_first_content_breaks_it() -> None:
    one = meter()
    one.feed(PING * (2 * MOST // len(PING)))
    assert isinstance(one.error, UpstreamBroken)


def test_a_failure_is_an_event_named_error() -> None:
    assert meter().failure(DeadlineExceeded("Late.")).startswith(b"event: error\ndata: {")
