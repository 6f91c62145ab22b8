import json

import pytest
from msgspec import Raw

from gateway.errors import UpstreamBroken, UpstreamBusy
from gateway.features import Usage
from gateway.wire.ir import Answer, Block, Citation, Finish, Foreign, Media, Refusal, Text, Thinking, ToolCall
from gateway.wire.losses import Losses
from gateway.wire.openai_chat.codec import CODEC
from tests.wire.openai_chat.saying import CALL, raw


def answer(message: object = None, /, finish: str | None = "stop", **fields: object) -> Answer:
    choice = {"index": 0, "message": message, "finish_reason": finish, **fields.pop("choice", {})}  # type: ignore[dict-item]  # a JSON object
    return CODEC.read_answer(bytes(raw({"id": "chat-1", "choices": [choice], **fields})), Losses())


def blocks(**message: object) -> list[Block]:
    return answer(message).content


def test_an_answer_is_what_it_says() -> None:
    said = answer(
        {"role": "assistant", "content": "hi"},
        model="m-1",
        created=7,
        usage={"prompt_tokens": 1, "completion_tokens": 2},
        service_tier="default",
        choice={"logprobs": {"content": [{"token": "hi"}]}},
    )
    assert said == Answer([Text("hi")], "stop", "", "chat-1", "m-1", 7, Usage(1, 2), raw([{"token": "hi"}]), "default")
    assert answer({"content": "hi"}, choice={"logprobs": {"content": None}}).logprobs is None
    assert answer(None) == Answer([], id="chat-1")


def test_what_is_no_answer_breaks() -> None:
    with pytest.raises(UpstreamBroken):
        CODEC.read_answer(b'{"choices":[]}', Losses())
    with pytest.raises(UpstreamBroken):
        answer({"content": "hi"}, finish="error")
    with pytest.raises(UpstreamBusy):
        CODEC.read_answer(b'{"error":{"code":429,"message":"no"}}', Losses())
    with pytest.raises(ValueError, match="malformed"):
        CODEC.read_answer(b"<html>", Losses())


def test_of_several_answers_one_is_read() -> None:
    losses = Losses()
    body = {"choices": [{"message": {"content": "a"}}, {"index": 1, "message": {"content": "b"}}]}
    assert CODEC.read_answer(bytes(raw(body)), losses).content == [Text("a")]
    assert losses.names() == ["n"]


@pytest.mark.parametrize(
    ("said", "finish"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tools"),
        ("function_call", "tools"),
        ("content_filter", "filter"),
        ("model_length", "context"),
        ("eos_token", "stop"),
        ("stop_sequence", "sequence"),
        ("abort", "other"),
        (None, "stop"),
    ],
)
def test_why_it_ended(said: str | None, finish: Finish) -> None:
    assert answer({"content": "a"}, finish=said).finish == finish


def test_a_call_is_why_it_ended() -> None:
    assert answer({"tool_calls": [CALL]}).finish == "tools"
    assert answer({"tool_calls": [CALL]}, finish="length").finish == "length"


def test_vllm_says_which_sequence_ended_it() -> None:
    ended = answer({"content": "a"}, choice={"stop_reason": "END"})
    assert (ended.finish, ended.sequence) == ("sequence", "END")
    assert answer({"content": "a"}, choice={"stop_reason": 128001}).finish == "stop"


# --- words ------------------------------------------------------------------------------------------------------------


def test_a_content_may_be_a_list() -> None:
    content = [
        {
            "type": "thinking",
            "thinking": [{"type": "text", "text": "h"}, {"type": "text", "text": "m"}],
            "closed": True,
        },
        {"type": "text", "text": "a"},
        {"type": "reference", "reference_ids": [1]},
        {"type": "thinking", "thinking": "signed", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
    ]
    assert blocks(content=content) == [
        Thinking("hm"),
        Text("a"),
        Foreign("openai_chat", "reference", raw(content[2])),
        Thinking("signed", "s", origin="anthropic_messages"),
        Thinking(redacted="d", origin="anthropic_messages"),
    ]
    assert blocks(content=[["odd"], {"new": 1}]) == [
        Foreign("openai_chat", "content", raw(["odd"])),
        Foreign("openai_chat", "content", raw({"new": 1})),
    ]


def test_a_refusal_is_told_apart() -> None:
    assert blocks(content=None, refusal="no") == [Refusal("no")]


def test_a_spoken_answer_has_its_words() -> None:
    audio = {"id": "a", "data": "aGk=", "transcript": "hi"}
    sound = Foreign("openai_chat", "message.audio", raw(audio))
    assert blocks(content=None, audio=audio) == [Text("hi"), sound]
    assert blocks(content="hi", audio=audio) == [Text("hi"), sound]
    assert blocks(audio={"id": "a"}) == [Foreign("openai_chat", "message.audio", raw({"id": "a"}))]
    assert blocks(audio=1) == [Foreign("openai_chat", "message.audio", raw(1))]
    assert blocks(content="hi", audio=None) == [Text("hi")]


def test_pictures_and_others_tools_are_there() -> None:
    images = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}, {"type": "odd"}]
    done = [{"type": "search", "output": "x"}]
    assert blocks(content="a", images=images, executed_tools=done) == [
        Text("a"),
        Media("image", "image/png", "aGk="),
        Foreign("openai_chat", "message.executed_tools", raw(done)),
    ]
    assert blocks(images=[{"image_url": {"url": "data:odd"}}]) == [Media("image", url="data:odd")]
    assert blocks(content="a", executed_tools=[]) == [Text("a")]


def test_words_have_their_sources() -> None:
    note = {"type": "url_citation", "url_citation": {"url": "https://a", "start_index": 0, "end_index": 1}}
    cited = Citation("openai_chat", raw(note), "https://a", start=0, end=1)
    assert blocks(content="a", annotations=[note]) == [Text("a", citations=[cited])]
    assert blocks(content=None, annotations=[note]) == [Text("", citations=[cited])]


def test_addresses_beside_the_answer_are_its_sources() -> None:
    (text,) = answer({"content": "a"}, citations=["https://a"]).content
    assert isinstance(text, Text)
    assert [(one.url, one.start) for one in text.citations] == [("https://a", -1)]
    note = {"type": "url_citation", "url_citation": {"url": "https://b"}}
    (text,) = answer({"content": "a", "annotations": [note]}, citations=["https://a"]).content
    assert isinstance(text, Text)
    assert [one.url for one in text.citations] == ["https://b"]


# --- thoughts ---------------------------------------------------------------------------------------------------------


def test_thoughts_come_first() -> None:
    assert blocks(content="a", reasoning="hm") == [Thinking("hm"), Text("a")]
    assert blocks(content="a", reasoning_content="hm") == [Thinking("hm"), Text("a")]


def test_details_say_more_than_text() -> None:
    details = [{"type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1"}]
    assert blocks(reasoning="hm", reasoning_details=details) == [Thinking("hm", "s", origin="anthropic_messages")]
    litellm = [{"type": "thinking", "thinking": "hm", "signature": "s"}]
    assert blocks(reasoning_content="hm", thinking_blocks=litellm) == [Thinking("hm", "s", origin="anthropic_messages")]


def test_gemini_signs_calls_in_details() -> None:
    seal = {"type": "reasoning.encrypted", "data": "s", "id": "c1", "format": "google-gemini-v1"}
    assert blocks(tool_calls=[CALL], reasoning_details=[seal]) == [ToolCall("c1", "look", "{}", "s", "gemini")]
    assert blocks(content="a", reasoning_details=[seal]) == [Thinking("", "", "s", "gemini", "c1"), Text("a")]


# --- calls ------------------------------------------------------------------------------------------------------------


def test_calls_without_an_id_get_one() -> None:
    nameless = {"function": {"name": "look", "arguments": None}}
    assert blocks(tool_calls=[CALL, nameless]) == [ToolCall("c1", "look", "{}"), ToolCall("chat-1_call_1", "look")]
    body = b'{"choices":[{"message":{"function_call":{"name":"look","arguments":"{}"}}}]}'
    assert CODEC.read_answer(body, Losses()).content == [ToolCall("call_0", "look", "{}")]


def test_google_signs_calls_beside_them() -> None:
    signed = {**CALL, "extra_content": {"google": {"thought_signature": "s"}}}
    assert blocks(tool_calls=[signed]) == [ToolCall("c1", "look", "{}", "s", "gemini")]
    assert blocks(tool_calls=[{**CALL, "extra_content": {}}]) == [ToolCall("c1", "look", "{}")]


def test_another_kind_of_call_is_kept() -> None:
    call = {"id": "c1", "type": "custom", "custom": {"name": "x", "input": "y"}}
    assert blocks(tool_calls=[call]) == [Foreign("openai_chat", "custom_tool_call", raw(call))]
    (odd,) = blocks(tool_calls=[{"id": "c1"}])
    assert isinstance(odd, Foreign)
    assert odd.kind == "unknown_tool_call"


def test_arguments_stay_the_text_that_was_written() -> None:
    arguments = '{"a": 1.0,  "b":"\\u00e9"}'
    call = {**CALL, "function": {"name": "look", "arguments": arguments}}
    (block,) = CODEC.read_answer(
        json.dumps({"choices": [{"message": {"tool_calls": [call]}}]}).encode(), Losses()
    ).content
    assert block == ToolCall("c1", "look", arguments)


def test_an_empty_list_is_no_logprobs() -> None:
    assert answer({"content": "a"}, choice={"logprobs": {"content": []}}).logprobs is None
    assert Raw(b"[]") == raw([])
