import json

import pytest
from msgspec import DecodeError

from gateway.errors import BadRequest, Overloaded, UpstreamRefused
from gateway.wire.anthropic_messages.codec import CODEC
from gateway.wire.anthropic_messages.stream import MessagesReader
from gateway.wire.anthropic_messages.stream_out import MessagesWriter
from gateway.wire.codec import Codec, codec
from gateway.wire.framing import Events
from gateway.wire.ir import Answer, Ask, Text
from gateway.wire.losses import Losses
from tests.wire.anthropic_messages.asks import request

COUNT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
WHOLE = {**COUNT, "max_tokens": 5}


def test_it_is_the_codec_of_its_folder() -> None:
    held: Codec = CODEC
    assert codec("anthropic_messages") is held
    assert (held.name, held.stream_type) == ("anthropic_messages", "text/event-stream")
    assert isinstance(held.framing(9), Events)
    assert isinstance(held.reader(Losses()), MessagesReader)
    writer = held.writer(Ask("openai_chat", "m", []), Losses())
    assert isinstance(writer, MessagesWriter)
    assert writer.media_type == "text/event-stream"


def test_requests_and_answers_go_both_ways() -> None:
    CODEC.check(request(WHOLE))
    ask = CODEC.read_request(request(WHOLE))
    assert bytes(CODEC.write_request(ask, "claude", Losses())["model"]) == b'"claude"'
    body = CODEC.write_answer(Answer([Text("Ho")]), ask, Losses())
    assert CODEC.read_answer(body, Losses()).content == [Text("Ho")]


def test_a_count_is_asked_and_answered() -> None:
    CODEC.check_count(request(COUNT))
    with pytest.raises(BadRequest):
        CODEC.check(request(COUNT))
    ask = CODEC.read_count(request(COUNT))
    assert set(CODEC.write_count_request(ask, "claude", Losses())) == {"model", "messages"}
    assert CODEC.write_count(14) == b'{"input_tokens":14}'
    assert CODEC.read_count_answer(CODEC.write_count(14)) == 14
    with pytest.raises(DecodeError):
        CODEC.read_count_answer(b"{}")


def test_errors_are_everybodys_on_the_way_in_and_anthropics_on_the_way_out() -> None:
    told = b'{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: too large"}}'
    assert isinstance(CODEC.read_error(400, {}, told), UpstreamRefused)
    assert json.loads(CODEC.write_error(Overloaded("Full."), "req_1"))["error"]["type"] == "overloaded_error"
