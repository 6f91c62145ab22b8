import json

import pytest
from msgspec import Raw

from gateway.errors import BadRequest, UpstreamBroken
from gateway.features import Request, Usage, Whole
from gateway.wire.dialect import Dialect
from gateway.wire.openai_embeddings import WIRE

WHOM = Request({}, "m")

JSON = "application/json"
ASKED = b'{"model":"ours","input":[ "a", [1, 2] ],"encoding_format":"base64","dimensions":256}'


def test_only_the_model_is_replaced() -> None:
    request = WIRE.read_request(ASKED)
    assert (request.model, request.stream) == ("ours", False)
    body, changed = WIRE.write_request(request, Raw(b'"theirs"'), Dialect(), ask_usage=True)
    assert (body, changed) == (ASKED.replace(b"ours", b"theirs"), [])


def test_edits_of_the_dialect_are_declared() -> None:
    dialect = Dialect(drop=("dimensions",))
    body, changed = WIRE.write_request(WIRE.read_request(ASKED), Raw(b'"theirs"'), dialect, ask_usage=False)
    assert changed == ["dimensions"]
    assert b"dimensions" not in body


def test_embeddings_are_never_streamed() -> None:
    assert not WIRE.read_request(b'{"model":"m","stream":false}').stream
    with pytest.raises(BadRequest) as refused:
        WIRE.read_request(b'{"model":"m","stream":true}')
    assert refused.value.param == "stream"
    with pytest.raises(UpstreamBroken):
        WIRE.check_stream("text/event-stream")
    assert not WIRE.meter(WIRE.read_request(ASKED), 100).committed


@pytest.mark.parametrize("vector", [[0.1, -2e-05], "zczMPQ==", []])
def test_vectors_pass_whatever_they_are(vector: object) -> None:
    answer = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": vector}],
        "model": "m",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
    assert WIRE.read_whole(WHOM, JSON, json.dumps(answer).encode()) == Whole(Usage(4))


def test_an_answer_without_usage_is_one_all_the_same() -> None:
    assert WIRE.read_whole(WHOM, JSON, b'{"data":[]}') == Whole()


@pytest.mark.parametrize(
    "body", [b'{"data":{}}', b'{"data":null}', b"{}", b'{"error":{"message":"x"},"data":[]}', b"[]"]
)
def test_an_answer_without_a_list_is_a_failure(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        WIRE.read_whole(WHOM, JSON, body)


def test_an_answer_in_another_form_is_a_failure() -> None:
    with pytest.raises(UpstreamBroken):
        WIRE.read_whole(WHOM, "text/event-stream", b"data: {}\n\n")
