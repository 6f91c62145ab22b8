from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.json import decode

from gateway.features import Request
from gateway.wire import load, raw
from gateway.wire.codec import codec
from gateway.wire.cohere_chat.codec import CODEC
from gateway.wire.ir import Answer, Ask, Event
from gateway.wire.losses import Losses
from tests.wire.cohere_chat.saying import answers, asks, cut, streams

LONG = 1_000_000


def written(events: Iterable[Event]) -> bytes:
    losses = Losses()
    writer = CODEC.writer(Ask("cohere_chat", "m", []), losses)
    out = b"".join(writer.feed(event) for event in events)
    assert losses.names() == []
    return out


def heard(pieces: list[bytes]) -> list[Event]:
    losses = Losses()
    framing, reader = CODEC.framing(LONG), CODEC.reader(losses)
    events: list[Event] = []
    for piece in pieces:
        for name, payload, _ in framing.feed(piece):
            events += reader.feed(name, payload)
    assert losses.names() == []
    return events + reader.end()


def test_it_is_found_by_its_name() -> None:
    assert codec("cohere_chat") is CODEC
    assert load("cohere_chat").paths == {"/v2/chat": "cohere_chat"}


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(ask=asks())
def test_a_request_that_is_written_is_read_as_it_was(ask: Ask) -> None:
    losses = Losses()
    body = raw.write_fields(CODEC.write_request(ask, ask.model, losses))
    fields = raw.read_fields(body)
    read = CODEC.read_request(Request(fields, decode(fields["model"], type=str), raw.read_flag(fields, "stream")))
    assert read == ask
    assert losses.names() == []


@pytest.mark.slow
@settings(deadline=None)
@given(answer=answers())
def test_an_answer_that_is_written_is_read_as_it_was(answer: Answer) -> None:
    losses = Losses()
    assert CODEC.read_answer(CODEC.write_answer(answer, Ask("cohere_chat", "m", []), losses), losses) == answer
    assert losses.names() == []


@pytest.mark.slow
@settings(deadline=None)
@given(events=streams())
def test_a_stream_that_is_written_is_read_as_it_was(events: list[Event]) -> None:
    assert heard([written(events)]) == events


@pytest.mark.slow
@settings(deadline=None)
@given(events=streams(), places=st.lists(st.integers(0, 4000)))
def test_where_a_stream_was_cut_never_matters(events: list[Event], places: list[int]) -> None:
    assert heard(cut(written(events), places)) == events


def test_the_same_language_crosses_as_it_was_and_is_understood() -> None:
    wire = load("cohere_chat")
    request = wire.read_request(b'{"model":"m","messages":[{"role":"user","content":"hi"}],"tomorrow":1}')
    assert request.fields["tomorrow"] == Raw(b"1")
    whole = wire.read_whole(
        request,
        "application/json",
        b'{"id":"1","finish_reason":"COMPLETE","message":{"content":[{"type":"text","text":"x"}]},'
        b'"usage":{"tokens":{"input_tokens":3,"output_tokens":1}}}',
    )
    assert whole.usage is not None
    assert (whole.finish, whole.usage.input_tokens) == ("stop", 3)
    assert whole.body is None


def test_streams_are_server_sent_events_on_both_sides() -> None:
    assert (CODEC.stream_type, CODEC.writer(Ask("", "", []), Losses()).media_type) == (
        "text/event-stream",
        "text/event-stream",
    )


@pytest.mark.parametrize("status", [400, 422])
def test_what_a_backend_says_of_a_request_reaches_the_caller(status: int) -> None:
    error = CODEC.read_error(status, {}, b'{"id":"1","message":"too many tokens"}')
    assert error.message == "too many tokens"
    assert error.answer_status == status
