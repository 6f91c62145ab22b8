from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.json import encode

from gateway.errors import UpstreamRefused
from gateway.wire.codec import codec
from gateway.wire.ir import Ask, BlockGrew, Event, Finished, Text, Turn
from gateway.wire.losses import Losses
from gateway.wire.ollama.codec import CODEC


def heard(pieces: list[bytes]) -> list[Event]:
    framing, reader = CODEC.framing(100_000), CODEC.reader(Losses())
    events = [
        event for piece in pieces for name, payload, _ in framing.feed(piece) for event in reader.feed(name, payload)
    ]
    events += [event for name, payload, _ in framing.end() for event in reader.feed(name, payload)]
    return events + reader.end()


def test_it_is_found_by_its_name() -> None:
    assert codec("ollama") is CODEC


LINES = st.lists(
    st.one_of(
        st.builds(lambda text: {"message": {"role": "assistant", "content": text}}, st.text(max_size=5)),
        st.builds(lambda text: {"message": {"role": "assistant", "thinking": text}}, st.text(max_size=5)),
        st.builds(
            lambda name: {"message": {"tool_calls": [{"function": {"name": name, "arguments": {"a": 1}}}]}},
            st.text(max_size=5),
        ),
    )
)


@given(lines=LINES, places=st.lists(st.integers(0, 600)), ended=st.booleans())
def test_where_a_stream_was_cut_never_matters(lines: list[dict[str, object]], places: list[int], ended: bool) -> None:
    said = [*lines, {"done": True, "done_reason": "stop", "eval_count": 3}]
    stream = b"\n".join(map(encode, said)) + b"\n" * ended
    ends = sorted({min(place, len(stream)) for place in places} | {0, len(stream)})
    events = heard([stream[start:end] for start, end in pairwise(ends)])
    assert events == heard([stream])
    assert isinstance(events[-1], Finished)
    assert "".join(event.text for event in events if isinstance(event, BlockGrew)) == "".join(
        text
        for line in lines
        if isinstance(message := line["message"], dict)
        for text in (message.get("thinking", ""), message.get("content", ""))
    )


def test_requests_and_answers_go_through_it() -> None:
    fields = CODEC.write_request(Ask("openai_chat", "m", [Turn("user", [Text("hi")])]), "llama3.2", Losses())
    assert bytes(fields["model"]) == b'"llama3.2"'
    answer = CODEC.read_answer(b'{"message":{"content":"x"},"done":true}', Losses())
    assert answer.content == [Text("x")]
    assert CODEC.stream_type == "application/x-ndjson"


@pytest.mark.parametrize("status", [400, 404])
def test_a_refusal_is_the_callers_to_read(status: int) -> None:
    error = CODEC.read_error(status, {}, b"""{"error":"model 'x' not found"}""")
    assert isinstance(error, UpstreamRefused)
    assert error.message == "model 'x' not found"
