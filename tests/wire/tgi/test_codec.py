from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec.json import encode

from gateway.errors import UpstreamBusy
from gateway.wire.codec import codec
from gateway.wire.ir import Ask, BlockGrew, Event, Finished, Text, Turn
from gateway.wire.losses import Losses
from gateway.wire.tgi.codec import CODEC


def heard(pieces: list[bytes]) -> list[Event]:
    framing, reader = CODEC.framing(100_000), CODEC.reader(Losses())
    events = [
        event for piece in pieces for name, payload, _ in framing.feed(piece) for event in reader.feed(name, payload)
    ]
    events += [event for name, payload, _ in framing.end() for event in reader.feed(name, payload)]
    return events + reader.end()


@given(texts=st.lists(st.text(max_size=5)), places=st.lists(st.integers(0, 600)))
def test_where_a_stream_was_cut_never_matters(texts: list[str], places: list[int]) -> None:
    said: list[object] = [{"token": {"text": text, "special": False}} for text in texts]
    said.append({"generated_text": "".join(texts), "details": {"finish_reason": "length", "generated_tokens": 3}})
    stream = b"".join(b"data:%b\n\n" % encode(one) for one in said)
    ends = sorted({min(place, len(stream)) for place in places} | {0, len(stream)})
    events = heard([stream[start:end] for start, end in pairwise(ends)])
    assert events == heard([stream])
    assert isinstance(events[-1], Finished)
    assert "".join(event.text for event in events if isinstance(event, BlockGrew)) == "".join(texts)


def test_requests_answers_and_errors_go_through_it() -> None:
    assert codec("tgi") is CODEC
    fields = CODEC.write_request(Ask("openai_chat", "m", [Turn("user", [Text("hi")])]), "m", Losses())
    assert set(fields) == {"inputs", "parameters", "stream"}
    assert CODEC.read_answer(b'{"generated_text":"x"}', Losses()).content == [Text("x")]
    assert isinstance(CODEC.read_error(429, {}, b'{"error":"Model is overloaded"}'), UpstreamBusy)
    assert CODEC.stream_type == "text/event-stream"
