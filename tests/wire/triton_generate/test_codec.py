from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec.json import encode

from gateway.errors import UpstreamRefused
from gateway.wire.codec import codec
from gateway.wire.ir import Ask, BlockGrew, Event, Finished, Text, Turn
from gateway.wire.losses import Losses
from gateway.wire.triton_generate.codec import CODEC


def heard(pieces: list[bytes]) -> list[Event]:
    framing, reader = CODEC.framing(100_000), CODEC.reader(Losses())
    events = [
        event for piece in pieces for name, payload, _ in framing.feed(piece) for event in reader.feed(name, payload)
    ]
    events += [event for name, payload, _ in framing.end() for event in reader.feed(name, payload)]
    return events + reader.end()


@given(texts=st.lists(st.text(max_size=5), min_size=1), places=st.lists(st.integers(0, 600)))
def test_where_a_stream_was_cut_never_matters(texts: list[str], places: list[int]) -> None:
    stream = b"".join(b"data: %b\n\n" % encode({"model_name": "m", "text_output": text}) for text in texts)
    ends = sorted({min(place, len(stream)) for place in places} | {0, len(stream)})
    events = heard([stream[start:end] for start, end in pairwise(ends)])
    assert events == heard([stream])
    assert isinstance(events[-1], Finished)
    assert "".join(event.text for event in events if isinstance(event, BlockGrew)) == "".join(texts)


def test_requests_answers_and_errors_go_through_it() -> None:
    assert codec("triton_generate") is CODEC
    fields = CODEC.write_request(Ask("openai_chat", "m", [Turn("user", [Text("hi")])]), "m", Losses())
    assert "model" not in fields
    assert CODEC.read_answer(b'{"text_output":"x"}', Losses()).content == [Text("x")]
    error = CODEC.read_error(400, {}, b'{"error":"no such input"}')
    assert isinstance(error, UpstreamRefused)
    assert error.message == "no such input"
    assert CODEC.stream_type == "text/event-stream"
