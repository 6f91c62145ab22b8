import msgspec
import pytest

from tests.bench.bodies import (
    EVENTS,
    JSON_ANSWER,
    STREAM_ANSWER,
    chat_answer,
    chat_request,
    chunked,
    stream_events,
)


class Message(msgspec.Struct):
    role: str
    content: str


class Chat(msgspec.Struct):
    model: str
    messages: list[Message]
    stream: bool = False


@pytest.mark.parametrize(("size", "turns"), [(400, 1), (64 * 1024, 16), (64 * 1024, 1)])
def test_a_chat_has_exactly_the_size_asked_for(size: int, turns: int) -> None:
    body = chat_request("m", size, turns=turns)
    chat = msgspec.json.decode(body, type=Chat)
    assert len(body) == size
    assert sum(message.role == "user" for message in chat.messages) == turns
    assert all(message.content for message in chat.messages)


def test_a_chat_that_cannot_be_so_small_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        chat_request("m", 100)


def test_the_answer_is_whole_json_of_its_size_and_passes_its_own_check() -> None:
    body = chat_answer(767)
    assert len(body) == 767
    assert isinstance(msgspec.json.decode(body), dict)
    assert JSON_ANSWER.flaw(200, body) is None
    assert b"'" not in body  # it stands between single quotes in nginx's configuration
    assert b"$" not in body


def test_every_event_has_250_bytes_and_holds_json() -> None:
    events = stream_events()
    assert [len(event) for event in events] == [250] * EVENTS
    for event in events:
        msgspec.json.decode(event.removeprefix(b"data: ").removesuffix(b"\n\n"), type=dict[str, object])
    assert STREAM_ANSWER.flaw(200, b"".join(events) + b"data: [DONE]\n\n") is None


@pytest.mark.parametrize(
    ("status", "spoil"),
    [
        (500, lambda body: body),
        (200, lambda body: body[:-20]),
        (200, lambda body: body.replace(b"data: ", b"", 1)),
        (200, lambda body: body.replace(b"data: [DONE]\n\n", b"data: {}\n\n")),
    ],
)
def test_a_spoilt_stream_is_told(status: int, spoil: type[bytes]) -> None:
    whole = b"".join(stream_events()) + b"data: [DONE]\n\n"
    assert STREAM_ANSWER.flaw(status, spoil(whole)) is not None


def test_a_chunk_says_its_size_in_hexadecimal() -> None:
    assert chunked(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
