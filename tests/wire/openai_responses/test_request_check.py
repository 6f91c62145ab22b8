"""What is stored elsewhere, and what the gateway acts on: refused whichever way the request goes on."""

import pytest
from msgspec import Raw

from gateway.errors import BadRequest
from gateway.features import Request
from gateway.wire.openai_responses.request import check
from tests.wire.openai_responses.talk import JSON, request

USER: JSON = {"role": "user", "content": "hi"}
FILE: JSON = {"type": "input_file", "file_id": "file-1"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"background": True}, "background"),
        ({"input": [USER, {"type": "item_reference", "id": "msg_1"}]}, "input[1]"),
        ({"input": [{"id": "msg_1"}]}, "input[0]"),
        ({"input": [{"id": "msg_1", "type": None}]}, "input[0]"),
        ({"input": [{"role": "user", "content": [FILE]}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "input[0].content"),
        ({"input": [USER, {"type": "function_call_output", "call_id": "c", "output": [FILE]}]}, "input[1].output"),
        ({"input": [{"type": "computer_call_output", "output": {"file_id": "f"}}]}, "input[0].output"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "tools[0]"),
        ({"tools": [{"type": "code_interpreter", "container": "cntr_1"}]}, "tools[0]"),
        ({"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["f"]}}]}, "tools[0]"),
        ({"tools": [{"type": "image_generation", "model": "gpt-image-9"}]}, "tools[0].model"),
        ({"tools": [{"type": "shell", "environment": {"skills": [{"skill_id": "s"}]}}]}, "tools[0]"),
    ],
)
def test_what_is_stored_has_an_owner_that_cannot_be_looked_up(fields: JSON, param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        check(request(**{"input": "hi", **fields}))
    assert (raised.value.reason, raised.value.param) == ("unsupported_feature", param)


def test_an_escaped_name_is_no_way_around() -> None:
    tools = Raw(rb'[{"type":"file_search","vector\u005fstore_ids":["vs_1"]}]')
    with pytest.raises(BadRequest):
        check(Request({"tools": tools}, "m"))
    items = Raw(rb'[{"role":"user","content":[{"type":"input_file","file\u005fid":"f"}]}]')
    with pytest.raises(BadRequest):
        check(Request({"input": items}, "m"))


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"max_output_tokens": 0}, "invalid_value", "max_output_tokens"),
        ({"max_output_tokens": True}, "invalid_type", "max_output_tokens"),
        ({"background": "yes"}, "invalid_type", "background"),
        ({"input": [1]}, "invalid_type", "input"),
        ({"input": [{"role": "user", "content": ["a"]}]}, "invalid_type", "input"),
    ],
)
def test_what_the_gateway_acts_on_is_checked(fields: JSON, code: str, param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        check(request(**fields))
    assert (raised.value.reason, raised.value.param) == (code, param)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"input": "hi", "store": True, "previous_response_id": None, "background": False},
        {"input": [{**USER, "id": "msg_1"}, {"type": "reasoning", "id": "rs_1", "summary": []}]},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": '"file_id": "f"'}]}]},
        {
            "input": [
                {
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "a", "annotations": [{"file_id": "f"}]}],
                }
            ]
        },
        {"tools": [{"type": "function", "name": "f", "parameters": {"properties": {"file_id": {"type": "string"}}}}]},
        {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": []}}]},
        {"temperature": "hot", "tools": [1, {"type": "web_search", "container": None}]},
    ],
)
def test_what_the_gateway_only_carries_is_the_backends_to_judge(fields: JSON) -> None:
    check(request(**fields))
