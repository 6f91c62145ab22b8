from msgspec.json import decode

from gateway.errors import RateLimited, UpstreamBusy, UpstreamRefused
from gateway.wire.cohere_chat.error import read_error, write_error


def test_an_error_is_an_id_and_a_message() -> None:
    assert decode(write_error(RateLimited("Too many requests."), "req_1")) == {
        "id": "req_1",
        "message": "Too many requests.",
    }


def test_a_denied_word_is_the_callers_own() -> None:
    error = read_error(498, {}, b'{"message":"blocked input"}')
    assert isinstance(error, UpstreamRefused)
    assert (error.answer_status, error.message) == (422, "blocked input")


def test_everything_else_is_read_as_everybodys() -> None:
    assert isinstance(read_error(429, {}, b'{"message":"slow down"}'), UpstreamBusy)
