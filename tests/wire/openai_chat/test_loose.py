import json

import pytest

from gateway.features import Usage
from gateway.wire.openai_chat.loose import read
from gateway.wire.openai_chat.shapes import Message, usage_in
from tests.wire.openai_chat.saying import raw


def message(said: object) -> Message:
    """A message with something strange beside it."""
    chunk = read(json.dumps({"created": 1.5, "choices": [{"message": said}]}).encode())
    assert chunk.choices
    assert chunk.choices[0].message is not None
    return chunk.choices[0].message


def test_what_fits_is_read_as_it_is() -> None:
    assert read(b'{"id":"a"}').id == "a"


@pytest.mark.parametrize("payload", [b"[]", b'"a"', b"nonsense", b'{"id":', b""])
def test_what_is_no_object_is_no_answer(payload: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (any of msgspec's)
        read(payload)


def test_half_a_character_breaks_nothing() -> None:
    assert read(rb'{"id":"a\ud83d"}').id == "a\ufffd"


def test_an_envelope_of_strange_types() -> None:
    chunk = read(
        json.dumps(
            {
                "id": 7,
                "model": ["m"],
                "created": "now",
                "service_tier": True,
                "choices": [
                    {"index": 1.0, "finish_reason": 3, "stop_reason": "x", "logprobs": {"content": [1]}, "delta": None},
                    "nonsense",
                ],
                "usage": {"prompt_tokens": 1.0, "completion_tokens": 2},
                "error": {},
                "citations": ["https://a"],
            }
        ).encode()
    )
    assert (chunk.id, chunk.model, chunk.created, chunk.service_tier) == ("7", None, None, None)
    assert chunk.choices is not None
    (choice,) = chunk.choices
    assert (choice.index, choice.finish_reason, choice.stop_reason) == (1, "3", "x")
    assert choice.logprobs is not None
    assert choice.logprobs.content == raw([1])
    assert (choice.delta, choice.message) == (None, None)
    assert usage_in(chunk) == Usage(1, 2)
    assert (chunk.error, chunk.citations) == (raw({}), raw(["https://a"]))


def test_no_choices_are_none() -> None:
    chunk = read(b'{"id":1,"choices":{},"x_groq":{"usage":{"prompt_tokens":3},"error":"no"}}')
    assert chunk.choices is None
    assert chunk.x_groq is not None
    assert chunk.x_groq.error == "no"
    assert usage_in(chunk) == Usage(3)


def test_texts_stay_texts() -> None:
    said = message({"content": "a", "refusal": 1, "reasoning": {"x": 1}})
    assert (said.content, said.refusal, said.reasoning) == ("a", "1", None)
    assert message({"content": {"answer": 42}}).content == '{"answer":42}'
    assert message({"content": None}).content is None


def test_arguments_as_an_object_are_written_out() -> None:
    said = message({"tool_calls": {"index": 0.0, "id": 5, "function": {"name": "f", "arguments": {"a": 1}}}})
    assert said.tool_calls is not None
    (call,) = said.tool_calls
    assert (call.index, call.id) == (0, "5")
    assert call.function is not None
    assert call.function.arguments == '{"a":1}'
    old = message({"function_call": {"name": "f", "arguments": "{}"}}).function_call
    assert old is not None
    assert old.arguments == "{}"
    bare = message({"tool_calls": [{"id": "c", "function": {"name": "f"}}]}).tool_calls
    assert bare is not None
    assert bare[0].function is not None
    assert bare[0].function.arguments is None


def test_signatures_are_kept() -> None:
    extra = {"google": {"thought_signature": "s"}}
    said = message({"tool_calls": [{"id": "c", "function": {"name": "f"}, "extra_content": extra}]})
    assert said.tool_calls is not None
    assert said.tool_calls[0].extra_content is not None
    assert said.tool_calls[0].extra_content.google is not None
    assert said.tool_calls[0].extra_content.google.thought_signature == "s"


def test_thoughts_in_any_form() -> None:
    said = message(
        {
            "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}, {"type": 1, "new": 2}],
            "reasoning_details": [{"type": "reasoning.text", "text": 5, "index": 1.0}],
            "thinking_blocks": [{"type": "thinking", "thinking": "a", "signature": None}],
        }
    )
    assert isinstance(said.content, list)
    first, second = (json.loads(bytes(part)) for part in said.content)
    assert first["thinking"][0]["text"] == "a"
    assert (second["type"], second["new"]) == ("1", 2)
    assert said.reasoning_details is not None
    assert (said.reasoning_details[0].text, said.reasoning_details[0].index) == ("5", 1)
    assert said.thinking_blocks is not None
    assert said.thinking_blocks[0].thinking == "a"


def test_pictures_and_notes() -> None:
    note = {"type": "url_citation"}
    said = message({"images": [{"image_url": {"url": "https://a"}}, {"image_url": 1}], "annotations": [note, 1]})
    assert said.images is not None
    assert [picture.image_url.url for picture in said.images if picture.image_url] == ["https://a", ""]
    assert said.annotations == [raw(note)]
