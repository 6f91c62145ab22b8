import pytest

from gateway.features import Usage
from gateway.wire.anthropic_event import Spent, read_event, read_message, says_something


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b'{"type":"message_start","message":{"content":[],"usage":{"input_tokens":3}}}', False),
        (b'{"type":"ping"}', False),
        (b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}', False),
        (b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"Hi"}}', True),
        (b'{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}', False),
        (b'{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"x"}}', True),
        (b'{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","input":{}}}', True),
        (b'{"type":"content_block_start","index":0}', False),
        (b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}', True),
        (b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}', False),
        (b'{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm"}}', True),
        (b'{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{"}}', True),
        (b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":7}}', True),
        (b'{"type":"message_delta","delta":{"stop_reason":"end_turn"}}', True),
        (b'{"type":"message_delta","delta":{"stop_reason":null}}', False),
        (b'{"type":"message_delta"}', False),
        (b'{"type":"something_new","delta":{"text":"x"}}', False),
    ],
)
def test_what_begins_an_answer(payload: bytes, says: bool) -> None:
    assert says_something(read_event(payload)) is says


@pytest.mark.parametrize("payload", [b"[]", b"7", b"{", b"", b"\xff"])
def test_what_is_no_object_is_no_event(payload: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (each is one of its kinds)
        read_event(payload)


def test_an_event_of_strange_types_keeps_its_name() -> None:
    assert read_event(b'{"type":"message_start","message":7}').type == "message_start"
    assert read_event(b'{"type":7,"message":7}').type == ""


def test_later_counts_replace_earlier_ones_where_they_say_something() -> None:
    first = Spent(input_tokens=10, output_tokens=1, cache_read_input_tokens=4, cache_creation_input_tokens=2)
    assert Spent(output_tokens=9).over(first).usage() == Usage(16, 9, 4, 2)
    assert Spent(20, 9, 5, 3).over(first).usage() == Usage(28, 9, 5, 3)


def test_counts_that_no_model_can_have_are_none() -> None:
    assert Spent().usage() is None
    assert Spent(input_tokens=-1).usage() is None
    assert Spent(output_tokens=10**12).usage() is None
    assert Spent(output_tokens=0).usage() == Usage()


def test_a_message_of_strange_types_is_read_as_far_as_it_goes() -> None:
    strange = (
        b'{"type":"message","content":[{}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":"4"}}'
    )
    message = read_message(strange)
    assert message.content is not None
    assert len(message.content) == 1
    assert message.stop_reason == "end_turn"
    assert message.usage == Spent(input_tokens=3)
    bare = read_message(b'{"type":7,"content":7,"stop_reason":7,"usage":7}')
    assert (bare.type, bare.content, bare.stop_reason, bare.usage) == ("", None, None, None)


@pytest.mark.parametrize("body", [b"[]", b"7", b"{"])
def test_what_is_no_object_is_no_message(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (each is one of its kinds)
        read_message(body)
