import pytest
from msgspec import Raw

from gateway.errors import BadRequest, UpstreamBroken
from gateway.features import Request, Usage, Whole
from gateway.wire.dialect import Dialect
from gateway.wire.opaque import WIRE, OpaqueMeter

ASKED = Request({}, "m")

JSON = "application/json"


def test_whatever_has_a_model_can_be_routed() -> None:
    body = b'{"model":"ours","query":"q","documents":["a","b"],"top_n": 2}'
    request = WIRE.read_request(body)
    assert (request.model, request.stream) == ("ours", False)
    out, changed = WIRE.write_request(request, Raw(b'"theirs"'), Dialect(drop=("top_n",)), ask_usage=True)
    assert out == b'{"model":"theirs","query":"q","documents":["a","b"]}'
    assert changed == ["top_n"]
    with pytest.raises(BadRequest):
        WIRE.read_request(b'{"query":"q"}')


@pytest.mark.parametrize(
    ("more", "stream"),
    [("", False), (',"stream":true', True), (',"stream_format":"sse"', True), (',"stream_format":"audio"', False)],
)
def test_a_stream_is_asked_for_by_either_word(more: str, stream: bool) -> None:
    assert WIRE.read_request(b'{"model":"m"' + more.encode() + b"}").stream is stream


@pytest.mark.parametrize(
    ("content_type", "body", "usage"),
    [
        (JSON, b'{"id":"modr-1","results":[{"flagged":false}]}', None),
        (JSON, b'{"results":[{"index":0,"relevance_score":0.9}],"usage":{"total_tokens":9}}', Usage(9)),
        (
            JSON,
            b'{"data":[{"b64_json":""}],"usage":{"input_tokens":5,"output_tokens":7,"total_tokens":12}}',
            Usage(5, 7),
        ),
        ("audio/mpeg", b"ID3\xff\xfb", None),
        ("", b"anything", None),
    ],
)
def test_answers_pass_and_tell_their_usage_where_they_have_any(
    content_type: str, body: bytes, usage: Usage | None
) -> None:
    assert WIRE.read_whole(ASKED, content_type, body) == Whole(usage)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", b"<html></html>"),
        ("Text/HTML; charset=utf-8", b""),
        ("text/event-stream", b"data: {}\n\n"),
        (JSON, b'{"id":1,"error":{"message":"x"}}'),
        (JSON, b'{"object":"error","message":"x"}'),
        (JSON, b"<html></html>"),
        (JSON, b'{"a":"\xff"}'),
    ],
)
def test_what_is_no_answer_is_a_failure(content_type: str, body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        WIRE.read_whole(ASKED, content_type, body)


def test_json_or_html_to_a_stream_is_a_failure() -> None:
    WIRE.check_stream("text/event-stream")
    WIRE.check_stream("audio/mpeg")
    for content_type in (JSON, "text/html"):
        with pytest.raises(UpstreamBroken):
            WIRE.check_stream(content_type)


def test_a_stream_passes_as_it_came() -> None:
    meter = WIRE.meter(WIRE.read_request(b'{"model":"m","stream":true}'), 10)
    assert meter.feed(b"") == b""
    assert meter.feed(b"\xff\x00half an ev") == b"\xff\x00half an ev"
    assert meter.committed
    assert meter.finish_up() == b""
    assert meter.error is None
    assert meter.failure(UpstreamBroken("x")) == b""


def test_a_stream_without_an_end_of_its_own_is_never_done() -> None:
    # A transport that broke would otherwise pass for an answer that ended.
    meter = OpaqueMeter()
    meter.feed(b"x")
    meter.finish_up()
    assert not meter.done


def test_an_empty_stream_is_broken() -> None:
    meter = OpaqueMeter()
    assert meter.finish_up() == b""
    assert isinstance(meter.error, UpstreamBroken)
