import pytest
from msgspec import Raw

from gateway.errors import UpstreamBroken, UpstreamBusy
from gateway.features import Usage
from gateway.wire.openai_chat.shapes import addresses_in, check, decode, failed, mend, usage_in
from tests.wire.openai_chat.saying import raw


def test_an_answer_is_read_as_far_as_it_is_known() -> None:
    chunk = decode(b'{"id":"a","new":{"deep":[1]},"choices":[{"index":0,"delta":{"content":"b","new":1}}]}')
    assert chunk.id == "a"
    assert chunk.choices is not None
    assert chunk.choices[0].delta is not None
    assert chunk.choices[0].delta.content == "b"


@pytest.mark.parametrize(
    ("payload", "mended"),
    [
        (rb'"\ud83d\ude00"', rb'"\ud83d\ude00"'),
        (rb'"a\ud83d"', rb'"a\ufffd"'),
        (rb'"\ude00a"', rb'"\ufffda"'),
        (rb'"\\ud83d"', rb'"\\ud83d"'),
        (rb'"\\\ud83d"', rb'"\\\ufffd"'),
        (rb'"\ud83d\ud83d\ude00"', rb'"\ufffd\ud83d\ude00"'),
    ],
)
def test_half_a_character_is_mended(payload: bytes, mended: bytes) -> None:
    assert mend(payload) == mended


def test_an_error_is_raised_wherever_it_is_told() -> None:
    payload = b'{"error":{"message":"slow down","code":429}}'
    with pytest.raises(UpstreamBusy):
        check(decode(payload), payload)
    payload = b'{"object":"error","message":"no"}'
    with pytest.raises(UpstreamBroken):
        check(decode(payload), payload)
    payload = b'{"choices":[],"error":null}'
    check(decode(payload), payload)


def test_a_failure_may_be_the_reason_to_end() -> None:
    assert failed("stop") is None
    assert failed(None) is None
    assert isinstance(failed("error"), UpstreamBroken)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"usage":{"prompt_tokens":1,"completion_tokens":2}}',
        b'{"x_groq":{"usage":{"prompt_tokens":1,"completion_tokens":2}}}',
        b'{"choices":[{"usage":{"prompt_tokens":1,"completion_tokens":2}}]}',
    ],
)
def test_usage_is_found_wherever_it_is_told(payload: bytes) -> None:
    assert usage_in(decode(payload)) == Usage(1, 2)


def test_addresses_are_a_list_of_strings() -> None:
    assert addresses_in(raw(["https://a"])) == ["https://a"]
    assert addresses_in(raw([{"url": "https://a"}])) == []
    assert addresses_in(Raw(b"null")) == []
