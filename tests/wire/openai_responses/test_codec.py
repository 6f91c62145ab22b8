import json

from gateway.errors import BadRequest, UpstreamBroken, UpstreamRefused
from gateway.wire import load
from gateway.wire.codec import codec
from gateway.wire.ir import Answer, Text, Turn
from gateway.wire.losses import Losses
from gateway.wire.openai_responses.codec import CODEC
from tests.wire.openai_responses.talk import NAME, request


def test_the_folder_is_the_language() -> None:
    assert codec(NAME) is CODEC
    assert load(NAME).paths == {"/v1/responses": "responses"}
    assert load(NAME).passes == (b"openai-beta",)
    assert CODEC.name == NAME


def test_a_request_goes_through_and_comes_back() -> None:
    asked = request(input="hi")
    CODEC.check(asked)
    ask = CODEC.read_request(asked)
    assert ask.messages == [Turn("user", [Text("hi")])]
    assert json.loads(bytes(CODEC.write_request(ask, "other", Losses())["model"])) == "other"


def test_an_answer_goes_through_and_comes_back() -> None:
    ask = CODEC.read_request(request(input="hi"))
    body = CODEC.write_answer(Answer([Text("a")], id="r", model="m"), ask, Losses())
    assert CODEC.read_answer(body, Losses()) == Answer([Text("a")], id="r", model="m")


def test_errors_have_openais_shape_both_ways() -> None:
    told = json.loads(CODEC.write_error(BadRequest("No.", code="x", param="y"), "req_1"))
    assert told == {"error": {"message": "No.", "type": "invalid_request_error", "param": "y", "code": "x"}}
    assert type(CODEC.read_error(400, {}, b'{"error":{"message":"No."}}')) is UpstreamRefused
    assert type(CODEC.read_error(500, {}, b"")) is UpstreamBroken


def test_a_stream_is_events_both_ways() -> None:
    assert CODEC.stream_type == "text/event-stream"
    ask = CODEC.read_request(request(input="hi"))
    assert CODEC.writer(ask, Losses()).media_type == "text/event-stream"
    framing = CODEC.framing(1000)
    assert [payload for _, payload, _ in framing.feed(b"event: a\ndata: {}\n\n")] == [b"{}"]
    assert CODEC.reader(Losses()).feed("", b"{}") == []
