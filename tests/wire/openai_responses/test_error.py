from gateway.errors import UpstreamBroken, UpstreamBusy, UpstreamOverloaded, UpstreamTruncated
from gateway.wire.openai_responses.error import cancelled, error_object, failure_in


def test_a_failed_response_says_its_code_and_our_own_words() -> None:
    assert error_object(UpstreamTruncated("It ended.")) == {"code": "upstream_truncated", "message": "It ended."}


def test_a_failure_is_read_in_each_of_its_shapes() -> None:
    busy = b'{"id":"resp_1","status":"failed","error":{"code":"rate_limit_exceeded","message":"x"}}'
    flat = b'{"type":"error","code":"server_error","message":"x","param":null}'
    full = b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}'
    assert type(failure_in(busy)) is UpstreamBusy
    assert type(failure_in(flat)) is UpstreamBroken
    assert type(failure_in(full)) is UpstreamOverloaded


def test_an_answer_given_up_is_broken() -> None:
    assert type(cancelled()) is UpstreamBroken
