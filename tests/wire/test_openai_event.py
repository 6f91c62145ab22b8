import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.json import encode

from gateway.features import Usage
from gateway.wire.openai_event import UNSAID, complains, identity, read, says_something, tells_error, usage_of

DEEP = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def choices(*given: object) -> bytes:
    return encode({"choices": given})


def test_an_event_is_read_as_far_as_it_must_be_known() -> None:
    event = read(b'{"id":"1","choices":[{"index":1,"delta":{"content":"x"},"finish_reason":"stop"}],"usage":null}')
    assert event.choices is not None
    assert [(choice.index, choice.finish_reason) for choice in event.choices] == [(1, "stop")]
    assert event.usage is None
    assert event.error is UNSAID


@pytest.mark.parametrize(
    ("payload", "index", "finish"),
    [
        (b'{"choices":[{"index":1.0,"finish_reason":null}]}', 0, None),
        (b'{"choices":[{"index":null,"finish_reason":"stop"}]}', 0, "stop"),
        (b'{"choices":[{"index":2,"finish_reason":7}]}', 2, "7"),
        (b'{"choices":[null,{"finish_reason":""}]}', 0, None),
    ],
)
def test_strange_types_break_nothing(payload: bytes, index: int, finish: str | None) -> None:
    event = read(payload)
    assert event.choices is not None
    assert [(choice.index, choice.finish_reason) for choice in event.choices] == [(index, finish)]


@pytest.mark.parametrize("payload", [b'{"choices":{}}', b'{"choices":7,"x_groq":7}', b"{}"])
def test_what_has_no_list_of_choices_has_none(payload: bytes) -> None:
    assert read(payload).choices is None


def test_what_stands_beside_a_strange_type_is_read_all_the_same() -> None:
    event = read(
        b'{"choices":[{"index":"a"}],"usage":{"prompt_tokens":4.0,"completion_tokens":2},"error":{"code":5},'
        b'"x_groq":{"usage":{"prompt_tokens":1},"error":null}}'
    )
    assert usage_of(event) == Usage(4, 2)
    assert bytes(event.error) == b'{"code":5}'
    assert event.x_groq is not None


@pytest.mark.parametrize(
    "payload", [b"", b"[DONE]", b"[1]", b"7", b'"x"', b"null", b'{"a":', b"{'a':1}", b'{"a":"\x00"}']
)
def test_what_is_no_json_object_cannot_be_read(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(payload)


def test_nesting_without_end_is_an_error_and_not_a_crash() -> None:
    with pytest.raises(RecursionError):
        read(DEEP)
    assert identity(DEEP) == ("", 0, "")


def test_half_a_surrogate_pair_breaks_no_event() -> None:
    payload = b'{"id":"\\ud83d","choices":[{"index":0,"delta":{"content":"\\ud83d"},"finish_reason":null}]}'
    event = read(payload)
    assert event.choices is not None
    assert identity(payload) == ("\ufffd", 0, "")


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "x"},
        {"content": [{"type": "text", "text": ""}]},
        {"reasoning_content": "x"},
        {"reasoning": "x"},
        {"reasoning_details": [{"type": "reasoning.text"}]},
        {"refusal": "no"},
        {"tool_calls": [{"index": 0}]},
        {"function_call": {"name": "f"}},
        {"audio": {"id": "a"}},
        {"images": [{}]},
        {"executed_tools": [{}]},
    ],
)
def test_a_delta_with_any_content_is_content(delta: object) -> None:
    assert says_something(choices({"index": 0, "delta": delta, "finish_reason": None}))


@pytest.mark.parametrize(
    "choice",
    [
        {"delta": {}, "finish_reason": "stop"},
        {"text": "x"},
        {"delta": {}, "logprobs": {"content": [{"token": "x"}]}},
        {"text": "", "logprobs": {"tokens": ["x"]}},
    ],
)
def test_an_end_and_text_and_logprobs_are_content(choice: object) -> None:
    assert says_something(choices({"delta": {}}, choice))


@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"delta": None},
        {"delta": "x"},
        {"delta": {"role": "assistant", "content": "", "refusal": None}, "logprobs": None},
        {"delta": {"role": "assistant", "channel": "analysis", "content": None}},
        {"delta": {"tool_calls": [], "reasoning": "", "audio": {}, "function_call": None}},
        # OpenAI's first chunk where logprobs were asked for.
        {"delta": {"role": "assistant", "content": ""}, "logprobs": {"content": [], "refusal": None}},
        {"text": "", "logprobs": {"tokens": [], "top_logprobs": []}},
        {"delta": {}, "content_filter_results": {"hate": {"filtered": False}}},
    ],
)
def test_roles_and_what_is_empty_are_no_content(choice: object) -> None:
    assert not says_something(choices(choice))


@pytest.mark.parametrize("payload", [b"{}", b'{"choices":null}', b'{"choices":[]}', b'{"choices":[7]}'])
def test_what_has_no_choices_says_nothing(payload: bytes) -> None:
    assert not says_something(payload)


def test_content_that_cannot_be_read_in_full_is_left_to_the_next_event() -> None:
    nested = b'{"a":' * 600 + b"{}" + b"}" * 600
    payload = b'{"choices":[{"delta":{"audio":' + nested + b"}}]}"
    assert read(payload).choices is not None
    assert not says_something(payload)
    assert not says_something(b'{"choices":[{"delta":{"audio":1e999}}]}')


def test_an_event_tells_who_it_is() -> None:
    assert identity(b'{"id":"a","created":5,"model":"m"}') == ("a", 5, "m")
    assert identity(b'{"id":5,"created":"x","model":null}') == ("", 0, "")
    assert identity(b'{"id":"a","created":1e999}') == ("", 0, "")


@pytest.mark.parametrize("error", [b"null", b"{}", b"[]", b'""', b"false", b"0"])
def test_an_empty_error_is_none(error: bytes) -> None:
    payload = b'{"choices":[],"error":' + error + b"}"
    assert complains(read(payload), payload) == b""


def test_a_missing_error_is_none() -> None:
    assert not tells_error(UNSAID)


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b'{"error":{"message":"x"},"choices":[]}', b'{"message":"x"}'),
        (b'{"error":"boom"}', b'"boom"'),
        (b'{"x_groq":{"id":"r","error":"stopped"},"choices":[]}', b'"stopped"'),
        (b'{"object":"error","message":"x"}', b'{"object":"error","message":"x"}'),
        (b'{"type":"error"}', b'{"type":"error"}'),
        (b'{"detail":"x"}', b'{"detail":"x"}'),
        (b'{"message":"x"}', b'{"message":"x"}'),
        (b'{"code":1,"msg":"x"}', b'{"code":1,"msg":"x"}'),
    ],
)
def test_errors_are_found_wherever_they_hide(payload: bytes, told: bytes) -> None:
    assert complains(read(payload), payload) == told


@pytest.mark.parametrize(
    "payload",
    [
        b'{"choices":[]}',
        b'{"usage":{"prompt_tokens":1}}',
        b'{"type":"ping"}',
        b'{"choices":[],"message":"not an error"}',
        b'{"x_groq":{"id":"r"},"choices":[]}',
    ],
)
def test_what_is_no_error_is_none(payload: bytes) -> None:
    assert complains(read(payload), payload) == b""


@pytest.mark.parametrize(
    "payload",
    [
        b'{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}}',
        b'{"choices":[],"x_groq":{"usage":{"prompt_tokens":5,"completion_tokens":3,"queue_time":0.1}}}',
        b'{"choices":[{"index":0,"usage":{"prompt_tokens":5,"completion_tokens":3}}]}',
    ],
)
def test_usage_is_found_wherever_it_stands(payload: bytes) -> None:
    assert usage_of(read(payload)) == Usage(5, 3)


def test_an_event_without_usage_tells_none() -> None:
    assert usage_of(read(b'{"choices":[{"index":0}],"x_groq":{}}')) is None


@given(payload=st.binary() | st.text().map(str.encode))
def test_no_bytes_do_more_than_fail_to_be_read(payload: bytes) -> None:
    try:
        event = read(payload)
        complains(event, payload)
        usage_of(event)
    except ValueError:
        pass
    assert isinstance(says_something(payload), bool)
    assert len(identity(payload)) == 3
