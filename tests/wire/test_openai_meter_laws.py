"""What holds for any stream, however it is written, broken, or cut."""

from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.json import decode

from tests.wire.chunks import DONE, HELLO, ROLE, STOP, chunk, event, meter, says, usage_chunk, watch

SMALL = 600

EVENTS = st.sampled_from(
    [
        ROLE,
        HELLO,
        says("é 😀"),
        says("x" * 700),
        says("~").replace(b"~", b"\xff"),
        says("a", index=1),
        says("x", usage={"prompt_tokens": 5, "completion_tokens": 4}),
        chunk(finish="stop", index=1),
        STOP,
        chunk(finish="length", x_groq={"usage": {"prompt_tokens": 5, "completion_tokens": 3}}),
        chunk({}, finish="error"),
        usage_chunk(),
        usage_chunk(completion=-1),
        event({"choices": [], "prompt_filter_results": []}),
        event({"choices": {}}),
        event({"type": "ping"}),
        event({"error": {"message": "boom", "code": 429}}),
        event({"object": "error", "message": "boom"}),
        b'error: {"code":500}\n\n',
        b": ping\n\n",
        b"id: 7\n" + HELLO,
        b"retry: 10\n\n",
        b"data:\n\n",
        b"event: message\n" + HELLO,
        b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"x"}}]}\n\n',
        b"data: {broken\n\n",
        b"data: \xff\n\n",
        b"\n",
        b"\xef\xbb\xbf",
        DONE,
        DONE.rstrip(),
        HELLO[:-1],
        HELLO[:40],
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Some events, each with line ends of its own."""
    events = draw(st.lists(EVENTS, max_size=12))
    return b"".join(one.replace(b"\n", draw(ENDS)) for one in events)


@st.composite
def cuts(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    places = draw(st.lists(st.integers(0, len(stream)), max_size=20))
    ends = sorted({0, len(stream), *places})
    return [stream[start:end] for start, end in pairwise(ends)]


@settings(deadline=None)  # every byte by itself takes as long as the machine lets it
@given(stream=streams(), strip=st.booleans(), data=st.data())
@example(stream=b"\n\n\xef\xbb\xbf" + HELLO + STOP, strip=True, data=None)
def test_where_the_bytes_were_cut_never_matters(stream: bytes, strip: bool, data: st.DataObject | None) -> None:
    pieces = data.draw(cuts(stream)) if data is not None else [stream[:1], stream[1:]]
    whole = watch([stream], meter(strip_usage=strip, event_bytes=SMALL))
    assert watch(pieces, meter(strip_usage=strip, event_bytes=SMALL)) == whole
    by_byte = [stream[at : at + 1] for at in range(len(stream))]
    assert watch(by_byte, meter(strip_usage=strip, event_bytes=SMALL)) == whole


@given(stream=streams(), data=st.data())
def test_a_caller_gets_whole_events_that_official_clients_can_read(stream: bytes, data: st.DataObject) -> None:
    watcher = meter(event_bytes=SMALL)
    ended = False
    for piece in data.draw(cuts(stream)):
        out = watcher.feed(piece)
        assert not (ended and out)
        ended = watcher.done or watcher.error is not None
        assert out == b"" or (watcher.committed and out.endswith(b"\n\n"))
        for one in out.split(b"\n\n")[:-1]:
            assert_readable(one)
    last = watcher.finish_up()
    assert watcher.done is last.endswith(DONE)
    assert watcher.done is not (watcher.error is not None)
    assert watcher.feed(HELLO) == b""


def assert_readable(one: bytes) -> None:
    text = one.decode()
    assert text
    assert not text.startswith("\n")
    lines = text.split("\n")
    data = [line.removeprefix("data:") for line in lines if line.startswith("data:")]
    assert len(data) == 1 or all(line.startswith(":") for line in lines)
    for said in data:
        assert not decode(said).get("error")
    assert not any(line.startswith(("id", "retry", "error")) for line in lines)


@given(pieces=st.lists(st.binary(max_size=50) | EVENTS, max_size=20))
def test_no_bytes_make_it_raise(pieces: list[bytes]) -> None:
    seen = watch(pieces, meter(event_bytes=SMALL))
    assert seen.done or seen.error


@given(texts=st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=10), data=st.data())
def test_text_arrives_as_it_was_sent(texts: list[str], data: st.DataObject) -> None:
    sent = [ROLE, *map(says, texts), STOP, usage_chunk(7, len(texts))]
    seen = watch(data.draw(cuts(b"".join([*sent, DONE]))))
    assert seen.out == b"".join([*sent[:-1], DONE])
    assert seen.usage is not None
    assert (seen.usage.input_tokens, seen.usage.output_tokens) == (7, len(texts))
    assert seen.pieces == len(texts)
