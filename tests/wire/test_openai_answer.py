import json

import pytest

from gateway.errors import UpstreamBroken, UpstreamBusy, UpstreamError
from gateway.features import Usage
from gateway.wire.openai_answer import read_answer
from gateway.wire.openai_event import UNSAID


def failure(body: bytes) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        read_answer(body)
    return caught.value


def test_an_answer_is_its_data_and_its_usage() -> None:
    data, usage = read_answer(
        b'{"object":"list","data":[ {"embedding":"AAAA"} ],"usage":{"prompt_tokens":4,"total_tokens":4}}'
    )
    assert bytes(data) == b'[ {"embedding":"AAAA"} ]'
    assert usage == Usage(4)


def test_an_answer_may_have_neither() -> None:
    assert read_answer(b'{"results":[{"flagged":false}],"error":null}') == (UNSAID, None)


def test_usage_of_strange_types_is_read_where_it_can_be() -> None:
    data, usage = read_answer(b'{"object":"list","data":[],"error":null,"usage":{"total_tokens":4.0,"cost":"x"}}')
    assert bytes(data) == b"[]"
    assert usage == Usage(4)
    assert read_answer(b'{"usage":[]}') == (UNSAID, None)


@pytest.mark.parametrize(
    "told",
    [
        {"error": {"message": "boom"}},
        {"error": "boom", "usage": "none"},
        {"object": "error", "message": "boom"},
    ],
)
def test_an_error_inside_a_200_is_a_failure(told: object) -> None:
    error = failure(json.dumps(told).encode())
    assert (type(error), error.reason) == (UpstreamBroken, "upstream_error")


def test_an_error_inside_a_200_says_what_it_means_for_the_place() -> None:
    assert isinstance(failure(b'{"error":{"code":429}}'), UpstreamBusy)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"7", b"<html>", b'{"data":[', b'{"data":' + b"[" * 5000, b'{"usage":[1e999]}']
)
def test_what_is_no_json_object_is_a_failure(body: bytes) -> None:
    assert failure(body).reason == "upstream_invalid_response"
