import json

import pytest
from msgspec import Raw
from msgspec.json import encode

from gateway.errors import UpstreamBroken, UpstreamBusy
from gateway.features import Usage
from gateway.wire.ir import (
    Answer,
    Ask,
    Block,
    Citation,
    Finish,
    Foreign,
    Media,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gateway.wire.losses import Losses
from gateway.wire.openai_responses.answer import read_answer, write_answer
from tests.wire.openai_responses.talk import JSON, NAME, raw

ASK = Ask("openai_chat", "asked", [])
TOKEN: JSON = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}


def body(*output: object, **fields: object) -> bytes:
    whole = {"id": "resp_1", "model": "m", "created_at": 5.0, "status": "completed", "output": list(output)}
    return encode({**whole, **fields})


def message(*parts: JSON, **more: object) -> JSON:
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": list(parts), **more}


def text(said: str, **more: object) -> JSON:
    return {"type": "output_text", "text": said, "annotations": [], **more}


def read(*output: object, **fields: object) -> Answer:
    return read_answer(body(*output, **fields), Losses())


def write(answer: Answer, ask: Ask = ASK) -> tuple[JSON, Losses]:
    losses = Losses()
    written = json.loads(write_answer(answer, ask, losses))
    assert isinstance(written, dict)
    return written, losses


def output(*content: Block) -> object:
    return write(Answer(list(content), id="r"))[0]["output"]


def test_an_answer_is_its_items_in_their_order() -> None:
    search: JSON = {"type": "web_search_call", "id": "ws", "action": {}}
    note: JSON = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
    answer = read(
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}]},
        search,
        message(text("a", annotations=[note], logprobs=[TOKEN]), text("b", logprobs=[TOKEN])),
        {"type": "function_call", "id": "fc", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'},
        usage={
            "input_tokens": 5,
            "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
            "output_tokens": 4,
            "output_tokens_details": {"reasoning_tokens": 1},
        },
        service_tier="flex",
    )
    assert answer == Answer(
        [
            Thinking("hm", origin=NAME, id="rs", summary=True),
            Foreign(NAME, "web_search_call", raw(search)),
            Text("a", citations=[Citation(NAME, raw(note), "u", "t", "", 0, 1)]),
            Text("b"),
            ToolCall("c1", "f", '{"a": 1}'),
        ],
        "tools",
        id="resp_1",
        model="m",
        created=5,
        usage=Usage(5, 4, 3, 2, 1),
        logprobs=raw([TOKEN, TOKEN]),
        service_tier="flex",
    )


@pytest.mark.parametrize(
    ("fields", "finish"),
    [
        ({}, "stop"),
        ({"status": None}, "stop"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "filter"),
        ({"status": "incomplete", "incomplete_details": {"reason": "steered"}}, "other"),
        ({"status": "incomplete"}, "other"),
        ({"status": "queued"}, "pause"),
    ],
)
def test_the_status_says_why_it_ended(fields: JSON, finish: Finish) -> None:
    assert read(message(text("a")), **fields).finish == finish


def test_a_refusal_is_the_models_own_no() -> None:
    answer = read(message({"type": "refusal", "refusal": "no"}))
    assert (answer.content, answer.finish) == ([Refusal("no")], "refusal")


def test_a_custom_call_is_a_functions_and_one_without_an_id_is_counted() -> None:
    losses = Losses()
    calls = read_answer(
        body(
            {"type": "custom_tool_call", "call_id": "c1", "name": "exec", "input": "ls"},
            {"type": "function_call", "name": "f", "namespace": "n"},
            {"type": "function_call", "id": "fc", "name": "f", "arguments": "{}"},
        ),
        losses,
    )
    assert calls.content == [
        ToolCall("c1", "exec", '{"input":"ls"}'),
        ToolCall("call_1", "f"),
        ToolCall("fc", "f", "{}"),
    ]
    assert losses.names() == ["custom_tool_call=mapped", "namespace=mapped"]


def test_a_strange_part_and_an_empty_message_break_nothing() -> None:
    strange: JSON = {"type": "smell", "smell": 1}
    answer = read(message(strange, {"type": "output_text"}), {"type": "message"}, {"type": "compaction", "id": 1})
    assert [type(block) for block in answer.content] == [Foreign, Text, Foreign]


def test_what_is_said_on_the_way_is_text_and_noted() -> None:
    losses = Losses()
    assert read_answer(body(message(text("a"), phase="commentary")), losses).content == [Text("a")]
    assert losses.names() == ["phase=mapped"]


@pytest.mark.parametrize(
    "usage",
    [None, {}, "a", {"input_tokens": -1}, {"input_tokens": 2_000_000_000}, {"output_tokens": 1.5}],
)
def test_counts_that_nobody_can_have_used_are_none(usage: object) -> None:
    assert read(message(text("a")), usage=usage).usage is None


def test_a_count_alone_is_usage() -> None:
    assert read(usage={"output_tokens": 3}).usage == Usage(0, 3)


def test_an_answer_that_says_it_failed_is_none() -> None:
    with pytest.raises(UpstreamBusy):
        read(status="failed", error={"code": "rate_limit_exceeded", "message": "slow down"})
    for told in ({"status": "failed"}, {"status": "cancelled"}, {"error": {"message": "x"}}, {"output": None}):
        with pytest.raises(UpstreamBroken):
            read(**told)
    for garbage in (b"{", b"[]", b'{"output":{}}', b'{"output":[1]}'):
        with pytest.raises(ValueError, match=r"."):
            read_answer(garbage, Losses())


def test_what_is_said_in_a_row_is_one_message() -> None:
    assert output(Text("a"), Refusal("no"), ToolCall("c1", "f"), Text("b")) == [
        {
            "id": "msg_r_0",
            "type": "message",
            "status": "completed",
            "content": [
                {"type": "output_text", "annotations": [], "logprobs": [], "text": "a"},
                {"type": "refusal", "refusal": "no"},
            ],
            "role": "assistant",
        },
        {
            "id": "fc_r_1",
            "type": "function_call",
            "status": "completed",
            "arguments": "{}",
            "call_id": "c1",
            "name": "f",
        },
        {
            "id": "msg_r_2",
            "type": "message",
            "status": "completed",
            "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": "b"}],
            "role": "assistant",
        },
    ]


def test_a_thought_of_openais_keeps_its_id_and_anothers_is_sealed() -> None:
    assert output(
        Thinking("a", "gAAA", origin=NAME, id="rs_1"), Thinking("b", "SIG", origin="anthropic_messages", id="x")
    ) == [
        {
            "id": "rs_1",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "a"}],
            "encrypted_content": "gAAA",
        },
        {
            "id": "rs_r_1",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "b"}],
            "encrypted_content": "gw1.anthropic_messages.SIG",
        },
    ]


def test_a_signed_calls_signature_is_an_item_before_it() -> None:
    written, _ = write(Answer([ToolCall("c1", "f", signature="S", origin="gemini")], "tools", id="r"))
    first, second = json.loads(json.dumps(written["output"]))
    assert first["encrypted_content"] == "gw1.gemini.@c1 S"
    assert (second["id"], second["call_id"]) == ("fc_r_1", "c1")


def test_pictures_and_what_only_this_language_says_are_items_and_the_rest_is_lost() -> None:
    own: JSON = {"type": "web_search_call", "id": "ws"}
    answer = Answer(
        [
            Foreign(NAME, "web_search_call", raw(own)),
            Media("image", "image/png", data="A"),
            Media("audio", data="A"),
            Foreign("gemini", "executableCode", Raw(b"{}")),
            ToolResult("c1", []),
        ],
        id="r",
        sequence="END",
    )
    written, losses = write(answer)
    items = json.loads(json.dumps(written["output"]))
    assert [item["type"] for item in items] == ["web_search_call", "image_generation_call"]
    assert losses.names() == ["stop=mapped", "images=mapped", "audio", "executableCode", "tool_results"]


@pytest.mark.parametrize(
    ("finish", "content", "status", "reason"),
    [
        ("stop", [], "completed", None),
        ("tools", [], "completed", None),
        ("pause", [], "completed", None),
        ("malformed", [], "completed", None),
        ("length", [], "incomplete", "max_output_tokens"),
        ("context", [], "incomplete", "max_output_tokens"),
        ("filter", [], "incomplete", "content_filter"),
        ("refusal", [], "incomplete", "content_filter"),
        ("refusal", [Refusal("no")], "completed", None),
    ],
)
def test_every_end_is_one_that_clients_know(finish: Finish, content: list[Block], status: str, reason: object) -> None:
    written, _ = write(Answer(content, finish))
    assert written["status"] == status
    assert written["incomplete_details"] == (None if reason is None else {"reason": reason})


def test_logprobs_are_told_once() -> None:
    written, _ = write(Answer([Text("a"), Text("b")], logprobs=raw([TOKEN])))
    (item,) = json.loads(json.dumps(written["output"]))
    assert [part["logprobs"] for part in item["content"]] == [[TOKEN], []]
