"""What of a request tells whether a small model would do."""

import json
from collections.abc import Mapping

import pytest

from gateway.exchange import Call
from gateway.features import Request
from gateway.routing.complexity import TEXT_MOST
from gateway.stages.signs import signs_of
from gateway.wire import load
from gateway.wire.needs import needs
from tests.stages.kept import call


def asked(fields: Mapping[str, object], language: str = "openai_chat") -> tuple[Call, Request]:
    told = call(body=json.dumps({"model": "m", **fields}).encode())
    return told, load(language).read_request(told.body)


def test_the_last_question_is_what_is_looked_at() -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": [{"type": "text", "text": "thr"}, {"type": "text", "text": "ee"}]},
    ]
    told, request = asked({"max_tokens": 50, "messages": turns})
    signs = signs_of(told, request, "openai_chat", needs("openai_chat", request))
    assert (signs.text, signs.turns, signs.system_chars, signs.max_tokens) == ("thr\nee", 2, 9, 50)
    assert signs.bytes_in == len(told.body)
    assert (signs.has_tools, signs.has_images, signs.has_schema, signs.asks_thinking) == (False,) * 4


@pytest.mark.parametrize(
    ("sign", "fields"),
    [
        ("has_tools", {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ("has_schema", {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}}),
        ("asks_thinking", {"reasoning_effort": "high"}),
    ],
)
def test_what_a_small_model_can_not_do_is_seen(sign: str, fields: dict[str, object]) -> None:
    told, request = asked({"messages": [{"role": "user", "content": "hi"}], **fields})
    assert getattr(signs_of(told, request, "openai_chat", needs("openai_chat", request)), sign)


def test_a_picture_is_seen_in_another_language_too() -> None:
    data = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    turn = {"role": "user", "content": [{"type": "image", "source": data}, {"type": "text", "text": "x" * 9000}]}
    told, request = asked({"max_tokens": 5, "messages": [turn]}, "anthropic_messages")
    signs = signs_of(told, request, "anthropic_messages", needs("anthropic_messages", request))
    assert signs.has_images
    assert len(signs.text) == TEXT_MOST
    again = signs_of(told, request, "anthropic_messages", needs("anthropic_messages", request))
    assert again == signs
