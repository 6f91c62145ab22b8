"""A stream between two languages: Anthropic's, as the tests of its meter write it, to callers of Gemini and itself."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import DeadlineExceeded, UpstreamBroken, UpstreamOverloaded, UpstreamTruncated
from gateway.features import Usage
from gateway.wire.anthropic_messages.codec import CODEC as ANTHROPIC
from gateway.wire.crossing import Crossing
from gateway.wire.eventstream import Messages
from gateway.wire.gemini.codec import CODEC as GEMINI
from gateway.wire.ir import Ask
from gateway.wire.losses import Losses
from tests.wire.test_anthropic_meter import CLOSE, DELTA, ERROR, HELLO, MOST, OPEN, PING, START, WHOLE, YOU, event

STOP = event("message_stop")
ASK = Ask("gemini", "m", [], query="alt=sse")


def crossing(*, carried: bool = False, event_bytes: int = MOST) -> Crossing:
    losses = Losses()
    return Crossing(
        ANTHROPIC.framing(event_bytes),
        ANTHROPIC.reader(losses),
        (ANTHROPIC if carried else GEMINI).writer(ASK, losses),
        losses,
        event_bytes=event_bytes,
        carried=carried,
    )


def texts(out: bytes) -> str:
    chunks = [json.loads(line[6:]) for line in out.decode().split("\n") if line.startswith("data: ")]
    return "".join(
        part.get("text", "") for chunk in chunks for part in chunk["candidates"][0].get("content", {}).get("parts", [])
    )


def test_nothing_goes_out_before_the_first_content() -> None:
    one = crossing()
    held = [(one.feed(piece), one.committed) for piece in (START, PING, OPEN)]
    assert held == [(b"", False)] * 3
    assert (texts(one.feed(HELLO)), one.committed) == ("Hello", True)
    assert texts(one.feed(YOU)) == " yöu"
    assert not one.done
    assert b'"finishReason":"STOP"' in one.feed(CLOSE + DELTA + STOP)
    assert (one.done, one.finish, one.usage, one.pieces, one.lost) == (True, "stop", Usage(10, 7), 2, ())
    assert one.feed(HELLO) == one.finish_up() == b""


@given(cuts=st.lists(st.integers(0, len(WHOLE)), max_size=12), crlf=st.booleans(), carried=st.booleans())
def test_where_the_bytes_were_cut_never_matters(cuts: list[int], crlf: bool, carried: bool) -> None:
    data = WHOLE.replace(b"\n", b"\r\n") if crlf else WHOLE
    places = [0, *sorted(cuts), len(data)]
    one, whole = crossing(carried=carried), crossing(carried=carried)
    assert b"".join(one.feed(data[start:end]) for start, end in pairwise(places)) == whole.feed(WHOLE)
    assert one.done


def test_carried_frames_are_those_that_came() -> None:
    one = crossing(carried=True)
    assert one.feed(WHOLE) == WHOLE
    assert (one.done, one.finish, one.usage) == (True, "stop", Usage(10, 7))


def test_an_answer_that_begins_with_a_tools_call_has_begun() -> None:
    one = crossing()
    one.feed(START)
    one.feed(event("content_block_start", index=0, content_block={"type": "tool_use", "id": "t", "name": "f"}))
    assert one.committed


@pytest.mark.parametrize(
    ("block", "begun"),
    [
        ({"type": "text", "text": "Hi"}, True),
        ({"type": "thinking", "thinking": "", "signature": ""}, False),
        ({"type": "redacted_thinking", "data": "abc"}, True),
    ],
)
def test_a_block_that_says_something_is_the_first_content(block: dict[str, object], begun: bool) -> None:
    one = crossing()
    one.feed(START + event("content_block_start", index=0, content_block=block))
    assert one.committed == begun


def test_an_error_before_the_first_content_is_known_by_its_kind() -> None:
    one = crossing()
    assert one.feed(START + ERROR + WHOLE) == b""
    assert isinstance(one.error, UpstreamOverloaded)


def test_an_error_after_it_says_no_more_than_that_the_stream_broke() -> None:
    one = crossing()
    out = one.feed(START + OPEN + HELLO + ERROR + YOU)
    assert texts(out) == "Hello"
    assert type(one.error) is UpstreamBroken
    assert one.feed(YOU) == one.finish_up() == b""
    assert b"error" in one.failure(one.error)


def test_a_stream_that_ends_too_early_is_truncated() -> None:
    one = crossing()
    one.feed(START + OPEN + HELLO)
    assert one.finish_up() == b""
    assert isinstance(one.error, UpstreamTruncated)


def test_a_last_event_without_its_blank_line_still_counts() -> None:
    one = crossing()
    one.feed(START + OPEN + HELLO + CLOSE + DELTA + STOP.rstrip())
    assert not one.done
    assert b'"finishReason":"STOP"' in one.finish_up()
    assert one.done


def test_an_end_without_its_terminal_event_is_an_end_where_the_reason_was_said() -> None:
    one = crossing()
    one.feed(START + OPEN + HELLO + CLOSE + DELTA)
    assert b'"finishReason":"STOP"' in one.finish_up()
    assert one.done


@pytest.mark.parametrize("nonsense", [b"data: {\n\n", b"data: []\n\n", b"data: nonsense\n\n"])
def test_what_can_not_be_read_breaks_the_stream(nonsense: bytes) -> None:
    one = crossing()
    assert texts(one.feed(START + OPEN + HELLO + nonsense + YOU)) == "Hello"
    assert type(one.error) is UpstreamBroken


def test_an_endless_event_breaks_the_stream() -> None:
    one = crossing()
    assert one.feed(b"data: " + b"x" * (2 * MOST)) == b""
    assert type(one.error) is UpstreamBroken


def test_an_endless_beginning_breaks_the_stream() -> None:
    one = crossing(carried=True)
    for _ in range(MOST // len(PING) + 1):
        one.feed(PING)
    assert type(one.error) is UpstreamBroken
    assert not one.committed


def test_bytes_that_are_no_framing_break_the_stream() -> None:
    losses = Losses()
    one = Crossing(
        Messages(MOST),
        ANTHROPIC.reader(losses),
        GEMINI.writer(ASK, losses),
        losses,
        event_bytes=MOST,
    )
    assert one.feed(b"HTTP/1.1 200 OK\r\n" * 10) == b""
    assert type(one.error) is UpstreamBroken


def test_a_failure_of_ours_is_told_in_the_callers_language() -> None:
    one = crossing()
    one.feed(START + OPEN + HELLO)
    assert json.loads(one.failure(DeadlineExceeded("Too late.")).removeprefix(b"data: "))["error"]["code"] == 504


def test_an_error_that_is_carried_is_told_by_us_alone() -> None:
    one = crossing(carried=True)
    assert one.feed(START + OPEN + HELLO + ERROR) == START + OPEN + HELLO
    assert type(one.error) is UpstreamBroken
