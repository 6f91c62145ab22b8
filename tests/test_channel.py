import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import channel
from gateway.channel import (
    MOST_BYTES,
    Backends,
    BackendState,
    Configure,
    Drain,
    Drained,
    Message,
    Ready,
    Unframer,
    frame,
)
from gateway.settings.shape import Auth, Caller, Listen, Provider, Secret, Settings, Tls
from gateway.wire.dialect import Dialect
from tests.doubles.inside import backend, settings_for

PROVIDER = Provider(
    name="keyed",
    speaks="openai_chat",
    paths={"chat": "/v1/chat/completions"},
    auth=Auth(scheme="bearer", secret="KEYED_API_KEY"),
    dialect=Dialect(drop=("user",), rename={"max_tokens": "max_completion_tokens"}, cap={"temperature": 1.0}),
)


def settings() -> Settings:
    caller = Caller(name="web", team="clinic", digest=b"\x00\xff" * 16, models=("llama-*",), expires_at=2e9)
    listen = Listen(tls=Tls(certificate="c.pem", key="k.pem"), names=("gw.example",))
    rows = [backend("one", "http://10.1.0.7", PROVIDER, "upstream-secret")]
    told = settings_for({"story": rows, "llama-*": rows}, callers=(caller,), listen=listen)
    assert told.backends["one"].api_key == Secret("upstream-secret")
    return told


MESSAGES: tuple[Message, ...] = (
    Configure(settings()),
    Drain(2.5),
    Ready(),
    Ready("ValueError: a key isn't one line"),
    Backends([BackendState("one", "keyed", region="eu-central", in_flight=3, ttft_s=0.25), BackendState("two", "p")]),
    Drained(),
)


@pytest.mark.parametrize("message", MESSAGES, ids=[type(message).__name__ for message in MESSAGES])
def test_a_message_arrives_as_it_was_said(message: Message) -> None:
    assert Unframer().feed(frame(message)) == [message]


def test_secrets_arrive_and_still_show_nothing() -> None:
    [arrived] = Unframer().feed(frame(Configure(settings())))
    assert isinstance(arrived, Configure)
    key = arrived.settings.backends["one"].api_key
    assert key.reveal() == "upstream-secret"
    assert "upstream-secret" not in repr(arrived)


@given(st.lists(st.sampled_from(MESSAGES), max_size=6), st.lists(st.integers(1, 400)))
def test_where_the_bytes_are_cut_never_matters(messages: list[Message], sizes: list[int]) -> None:
    data = b"".join(map(frame, messages))
    unframer = Unframer()
    heard: list[Message] = []
    for size in sizes:
        heard += unframer.feed(data[:size])
        data = data[size:]
    heard += unframer.feed(data)
    assert heard == messages


def test_half_a_message_is_none_yet() -> None:
    unframer = Unframer()
    data = frame(Drain(1.0))
    assert unframer.feed(data[:3]) == []
    assert unframer.feed(data[3:-1]) == []
    assert unframer.feed(data[-1:] + data[:5]) == [Drain(1.0)]
    assert unframer.feed(data[5:]) == [Drain(1.0)]


def test_a_length_nobody_would_say_ends_the_conversation() -> None:
    with pytest.raises(ValueError, match="above the limit"):
        Unframer().feed((MOST_BYTES + 1).to_bytes(4, "big"))


@pytest.mark.parametrize("body", [b"\xc1", b"\x81\xa4type\xa7Unknown", b"\x80", b"\x93\x01\x02\x03"])
def test_what_is_no_message_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Unframer().feed(len(body).to_bytes(4, "big") + body)


def test_what_is_no_secret_cannot_be_said() -> None:
    class Stranger:
        pass

    with pytest.raises(TypeError, match="Stranger"):
        frame(Ready(problem=Stranger()))  # type: ignore[arg-type]  # what a mistake would look like


def test_only_secrets_are_made_here() -> None:
    with pytest.raises(TypeError, match="dict"):
        channel._inward(dict, {})
