import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.errors import BadRequest, UpstreamBroken, UpstreamBusy, UpstreamDenied, UpstreamError
from gateway.features import Request, Usage, Whole
from gateway.wire.dialect import Dialect
from gateway.wire.openai_chat import WIRE
from tests.wire.chunks import HELLO, STOP, meter, usage_chunk, watch

ASKED = Request({}, "m")

MODEL = Raw(b'"theirs"')
JSON = "application/json"
CHAT = b'{"model":"ours","messages":[{"role":"user","content":"hi"}]'
STREAM = CHAT + b',"stream":true'


def read(body: bytes) -> Request:
    return WIRE.read_request(body)


def written(body: bytes, dialect: Dialect | None = None, *, ask_usage: bool = True) -> tuple[bytes, list[str]]:
    return WIRE.write_request(read(body), MODEL, dialect or Dialect(), ask_usage=ask_usage)


# --- requests ---------------------------------------------------------------------------------------------------------


def test_a_request_is_its_model_and_whether_it_streams() -> None:
    request = read(CHAT + b"}")
    assert (request.model, request.stream, request.wants_usage) == ("ours", False, False)
    request = read(STREAM + b',"stream_options":{"include_usage":true}}')
    assert (request.model, request.stream, request.wants_usage) == ("ours", True, True)


@pytest.mark.parametrize("options", ["null", "{}", '{"include_usage":null}', '{"include_usage":false,"other":1}'])
def test_usage_is_asked_for_by_saying_so(options: str) -> None:
    assert not read(STREAM + b',"stream_options":' + options.encode() + b"}").wants_usage


def test_d7_null_stream_options_without_a_stream_are_nothing() -> None:
    assert not read(CHAT + b',"stream_options":null}').wants_usage


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (CHAT + b',"stream_options":{}}', "invalid_value", "stream_options"),
        (CHAT + b',"stream":false,"stream_options":{"include_usage":true}}', "invalid_value", "stream_options"),
        (STREAM + b',"stream_options":{"include_usage":"yes"}}', "invalid_type", "stream_options"),
        (STREAM + b',"stream_options":{"include_usage":1}}', "invalid_type", "stream_options"),
        (STREAM + b',"stream_options":[]}', "invalid_type", "stream_options"),
        (CHAT + b',"stream":"true"}', "invalid_type", "stream"),
        (b'{"messages":[]}', "missing_field", "model"),
    ],
)
def test_what_cannot_be_acted_on_is_refused(body: bytes, code: str, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(body)
    assert (caught.value.reason, caught.value.param) == (code, param)


def test_only_the_model_is_replaced() -> None:
    body, changed = written(b'{ "model": "ours", "messages": [ ],"seed":18446744073709551616,"x":{"a": 1.0} }')
    assert body == b'{"model":"theirs","messages":[ ],"seed":18446744073709551616,"x":{"a": 1.0}}'
    assert changed == []


def test_usage_is_asked_for_upstream_where_the_caller_did_not() -> None:
    asked = b',"stream":true,"stream_options":{"include_usage":true}}'
    theirs = CHAT.replace(b"ours", b"theirs")
    assert written(STREAM + b"}") == (theirs + asked, [])
    assert written(STREAM + b',"stream_options":null}') == (theirs + asked, [])
    assert written(STREAM + b',"stream_options":{"include_usage":false}}') == (theirs + asked, [])
    kept = written(STREAM + b',"stream_options":{"include_obfuscation": false,"a":1,"a":2}}')[0]
    assert kept.endswith(b'"stream_options":{"include_obfuscation":false,"a":2,"include_usage":true}}')


@pytest.mark.parametrize(
    ("body", "ask_usage"),
    [
        (CHAT + b"}", True),
        (STREAM + b"}", False),
        (STREAM + b',"stream_options":{"include_usage": true, "x":1}}', True),
    ],
)
def test_elsewhere_nothing_is_asked_for(body: bytes, ask_usage: bool) -> None:
    assert written(body, ask_usage=ask_usage) == (body.replace(b"ours", b"theirs"), [])


def test_edits_of_the_dialect_are_declared() -> None:
    dialect = Dialect(drop=("store",), rename={"max_completion_tokens": "max_tokens"}, cap={"n": 1})
    body, changed = written(CHAT + b',"store":true,"max_completion_tokens":9,"n":3}', dialect)
    assert body == CHAT.replace(b"ours", b"theirs") + b',"n":1,"max_tokens":9}'
    assert changed == ["store", "max_completion_tokens", "n"]


def test_what_we_asked_for_and_the_host_refuses_is_no_loss_of_the_callers() -> None:
    dialect = Dialect(drop=("stream_options",))
    assert written(STREAM + b"}", dialect) == (STREAM.replace(b"ours", b"theirs") + b"}", [])
    assert written(STREAM + b',"stream_options":{"include_obfuscation":false}}', dialect)[1] == ["stream_options"]
    assert written(STREAM + b',"stream_options":{"include_usage":true}}', dialect)[1] == ["stream_options"]


def test_writing_does_not_change_what_was_read() -> None:
    request = read(STREAM + b',"n":3}')
    before = {name: bytes(value) for name, value in request.fields.items()}
    WIRE.write_request(request, MODEL, Dialect(drop=("n",), cap={"n": 1}), ask_usage=True)
    assert {name: bytes(value) for name, value in request.fields.items()} == before


SLICES = st.sampled_from(
    [
        "null",
        "true",
        "-0",
        "1e999",
        "1" * 400,
        '"\\u00e9\\n"',
        '"é😀"',
        "[ 1 ,\t2 ]",
        '{ "a" : {"a":[]}, "a":2 }',
        '"[{"',
    ]
)


@given(fields=st.dictionaries(st.text(min_size=1, max_size=5), SLICES, max_size=8))
def test_every_other_field_keeps_its_bytes(fields: dict[str, str]) -> None:
    texts = {f"x{name}": text for name, text in fields.items()} | {"model": '"ours"'}
    names = {name: json.dumps(name, ensure_ascii=False) for name in texts}
    body = "{" + " , ".join(f"{names[name]} : {text}" for name, text in texts.items()) + "}"
    out, changed = written(body.encode())
    texts["model"] = '"theirs"'
    assert out == ("{" + ",".join(f"{names[name]}:{text}" for name, text in texts.items()) + "}").encode()
    assert changed == []


# --- whole answers ----------------------------------------------------------------------------------------------------

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hé"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
}


def whole(answer: object, content_type: str = JSON) -> Whole:
    return WIRE.read_whole(ASKED, content_type, json.dumps(answer, ensure_ascii=False).encode())


def failure(answer: object, content_type: str = JSON) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        whole(answer, content_type)
    return caught.value


def test_a_whole_answer_tells_its_end_and_its_usage() -> None:
    assert whole(ANSWER) == Whole(Usage(5, 3), "stop")
    assert whole(ANSWER, "application/json; charset=utf-8") == Whole(Usage(5, 3), "stop")


def test_an_answer_without_usage_or_end_is_one_all_the_same() -> None:
    assert whole({"choices": [{"index": 0, "message": {}}]}) == Whole(None, "")
    assert whole({"choices": []}) == Whole(None, "")


def test_an_answer_of_strange_types_is_read() -> None:
    assert whole({**ANSWER, "usage": {"prompt_tokens": 5.0, "completion_tokens": None}}) == Whole(Usage(5, 0), "stop")


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"message": "boom"}},
        {**ANSWER, "error": {"message": "boom", "code": 500}},
        {"object": "error", "message": "boom", "code": 500},
        {"detail": "boom"},
        {**ANSWER, "choices": [{"index": 0, "finish_reason": "error"}]},
        {**ANSWER, "choices": [{"finish_reason": "stop"}, {"index": 1, "finish_reason": "error"}]},
        {**ANSWER, "choices": [{"finish_reason": "error"}, {"index": 1, "finish_reason": "stop"}]},
    ],
)
def test_an_error_inside_a_200_is_a_failure(answer: object) -> None:
    error = failure(answer)
    assert isinstance(error, UpstreamBroken)
    assert error.reason == "upstream_error"
    assert "boom" not in error.message


def test_an_error_inside_a_200_says_what_it_means_for_the_place() -> None:
    assert isinstance(failure({"error": {"code": 429}}), UpstreamBusy)
    assert isinstance(failure({"error": {"code": "insufficient_quota"}}), UpstreamDenied)


@pytest.mark.parametrize("answer", [{}, {"id": "x", "object": "list", "data": []}, {"choices": None}, {"choices": {}}])
def test_an_answer_without_choices_is_a_failure(answer: object) -> None:
    assert failure(answer).reason == "upstream_invalid_response"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", b"<html></html>"),
        ("text/event-stream", b'data: {"choices":[]}\n\ndata: [DONE]\n\n'),
        ("", b'{"choices":[]}'),
        (JSON, b"<html></html>"),
        (JSON, b'{"choices":[]'),
        (JSON, b"[]"),
        (JSON, b'{"choices":[],"id":"\xff"}'),
        (JSON, b'{"choices":' + b"[" * 5000 + b"]" * 5000 + b"}"),
    ],
)
def test_f26_and_f27_what_is_no_json_answer_is_a_failure(content_type: str, body: bytes) -> None:
    with pytest.raises(UpstreamBroken) as caught:
        WIRE.read_whole(ASKED, content_type, body)
    assert caught.value.try_elsewhere


# --- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", ["text/event-stream", "text/event-stream; charset=utf-8", "Text/Event-Stream"])
def test_a_stream_is_a_stream(content_type: str) -> None:
    WIRE.check_stream(content_type)


@pytest.mark.parametrize("content_type", [JSON, "text/html; charset=utf-8", "", "text/plain"])
def test_f25_and_f26_json_or_html_to_a_stream_is_a_failure(content_type: str) -> None:
    with pytest.raises(UpstreamBroken) as caught:
        WIRE.check_stream(content_type)
    assert caught.value.try_elsewhere


def test_the_meter_knows_whether_the_caller_asked_for_usage() -> None:
    events = [HELLO, STOP, usage_chunk()]
    asked = read(STREAM + b',"stream_options":{"include_usage":true}}')
    assert usage_chunk() in watch(events, WIRE.meter(asked, 10_000)).out
    assert usage_chunk() not in watch(events, WIRE.meter(read(STREAM + b"}"), 10_000)).out


def test_the_meter_knows_what_kind_of_stream_it_watches() -> None:
    error = UpstreamBroken("x")
    text = WIRE.meter(read(b'{"model":"m","prompt":"x","stream":true}'), 10_000)
    assert b'"object":"text_completion"' in text.failure(error)
    chat = WIRE.meter(read(STREAM + b"}"), 10_000)
    assert b'"object":"chat.completion.chunk"' in chat.failure(error)
    assert chat.failure(error) == meter().failure(error)
