import json

from msgspec import Raw
from openai.types.responses import Response

from gateway.features import Usage
from gateway.wire.answer_id import answer_id
from gateway.wire.ir import Ask, Citation, Effort, Format, Media, Thinking, ToolCall, ToolChoice
from gateway.wire.losses import Losses
from gateway.wire.openai_responses import items
from gateway.wire.openai_responses.items import Told
from tests.wire.openai_responses.talk import JSON, NAME, raw, read


def plain(value: object) -> JSON:
    found = json.loads(bytes(raw(value)))
    assert isinstance(found, dict)
    return found


def test_a_response_says_again_what_was_asked_and_satisfies_the_official_type() -> None:
    ask = Ask(
        "openai_chat",
        "asked",
        [],
        choice=ToolChoice("required", parallel=False),
        max_tokens=9,
        sampling={"temperature": Raw(b"0.5")},
        thinking=Effort("low"),
        format=Format(),
        logprobs=2,
        user="who",
        metadata={"a": "b"},
        cache_key="k",
    )
    response = plain(Told(ask, "chatcmpl-1", "", 5).response("completed", [], usage=Usage(5, 4, 3, 2, 1), tier="flex"))
    Response.model_validate(response, strict=True)
    assert response["id"] == "chatcmpl-1"
    assert response["model"] == "asked"
    assert response["tool_choice"] == "required"
    assert response["parallel_tool_calls"] is False
    assert response["reasoning"] == {"effort": "low", "summary": None}
    assert response["text"] == {"format": {"type": "json_object"}}
    assert (response["temperature"], response["top_logprobs"], response["service_tier"]) == (0.5, 2, "flex")
    assert response["usage"] == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 9,
    }


def test_where_nothing_was_asked_the_defaults_are_said() -> None:
    ask = Ask(NAME, "m", [], thinking=Effort(shown=True))
    response = plain(Told(ask, "", "said", 0).response("in_progress", []))
    expected = (answer_id("", ask, "resp"), "said", "auto")
    assert (response["id"], response["model"], response["tool_choice"]) == expected
    assert response["reasoning"] == {"effort": None, "summary": None}
    assert response["text"] == {"format": {"type": "text"}}
    assert plain(Told(Ask(NAME, "m", [], format=Format(Raw(b"{}"))), "", "", 0).response("x", []))["text"] == {
        "format": {"type": "json_schema", "name": "answer", "schema": {}}
    }


def test_an_items_id_is_one_that_openai_takes_back() -> None:
    told = Told(Ask(NAME, "m", []), f"gen:{'x' * 90}/1", "", 0)
    assert told.item_id("msg", 3) == f"msg_{'x' * 46}_1_3"
    assert len(told.item_id("msg", 3)) <= 64


def test_a_call_is_told_as_the_caller_knows_its_tool() -> None:
    ask = read(
        tools=[
            {"type": "custom", "name": "exec"},
            {"type": "namespace", "name": "agents", "tools": [{"type": "function", "name": "wait"}]},
        ]
    )
    told = Told(ask, "r", "", 0)
    custom = told.call(ToolCall("c1", "exec", '{"input":"ls"}'), 0)
    assert custom.whole('{"input":"ls"}') == "ls"
    assert custom.written("completed", "ls") == {
        "id": "ctc_r_0",
        "type": "custom_tool_call",
        "status": "completed",
        "input": "ls",
        "call_id": "c1",
        "name": "exec",
    }
    spaced = told.call(ToolCall("c2", "agents__wait"), 1)
    assert spaced.whole("") == "{}"
    assert spaced.written("completed", "{}") == {
        "id": "fc_r_1",
        "type": "function_call",
        "status": "completed",
        "arguments": "{}",
        "call_id": "c2",
        "name": "wait",
        "namespace": "agents",
    }


def test_a_call_that_nobody_gave_an_id_has_one() -> None:
    call = Told(Ask(NAME, "m", []), "r", "", 0).call(ToolCall("", "f"), 4)
    assert call.written("completed", "{}")["call_id"] == "call_r_4"


def test_a_thought_is_a_summary_with_its_seal() -> None:
    assert items.reasoning("rs_1", Thinking("hm", "SIG", origin="anthropic_messages")) == {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "hm"}],
        "encrypted_content": "gw1.anthropic_messages.SIG",
    }
    assert items.reasoning("rs_1", Thinking()) == {"id": "rs_1", "type": "reasoning", "summary": []}


def test_a_picture_is_what_the_tool_that_makes_them_gives() -> None:
    losses = Losses()
    png = items.image("ig_1", Media("image", "image/png", data="A"), losses)
    assert png == {
        "id": "ig_1",
        "type": "image_generation_call",
        "status": "completed",
        "result": "A",
        "output_format": "png",
    }
    odd = items.image("ig_1", Media("image", "image/x", data="A"), losses)
    assert odd is not None
    assert "output_format" not in odd
    assert losses.names() == ["images=mapped"]


def test_another_medium_cannot_be_told() -> None:
    losses = Losses()
    assert items.image("ig_1", Media("audio", data="A"), losses) is None
    assert items.image("ig_1", Media("image", url="u"), losses) is None
    assert losses.names() == ["audio", "images"]


def test_citations_that_cannot_be_said_are_left_out() -> None:
    cited = [Citation("gemini", Raw(b"{}"), "u"), Citation("gemini", Raw(b"{}"))]
    assert len(items.annotations(cited, "text", Losses())) == 1


def test_another_languages_tier_is_the_usual_one() -> None:
    losses = Losses()
    assert [items.tier(told, losses) for told in ("", "flex", "standard")] == ["", "flex", "default"]
    assert losses.names() == []
    assert items.tier("provisioned", losses) == "default"
    assert losses.names() == ["service_tier=mapped"]
