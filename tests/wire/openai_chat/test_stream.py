import json

import pytest
from msgspec import Raw

from gateway.errors import UpstreamBroken, UpstreamTruncated
from gateway.features import Usage
from gateway.wire.ir import (
    BlockClosed,
    BlockOpened,
    Citation,
    Finished,
    Foreign,
    Media,
    Refusal,
    Started,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.losses import Losses
from gateway.wire.openai_chat.codec import CODEC
from tests.wire.openai_chat.saying import CALL, chunk, fold, frame, heard, raw, told

DONE = b"data: [DONE]\n\n"


def call(index: int | None, id_: str | None = None, name: str | None = None, arguments: str | None = None) -> object:
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": index, "id": id_, "type": "function", "function": function}]}


def test_a_stream_is_an_answer() -> None:
    stream = b"".join(
        (
            frame({"id": "", "choices": [], "prompt_filter_results": []}),  # Azure
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "he"}, service_tier="default"),
            chunk({"content": "y"}),
            chunk({}, "stop"),
            frame({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}),
            DONE,
            chunk({"content": "ignored"}),
        )
    )
    answer = fold(heard(stream))
    assert answer.started == Started("chat-1", "m-1", 7)
    assert answer.blocks == [Text("hey")]
    assert answer.finished == Finished("stop", "", Usage(1, 2), "default")


def test_done_is_the_end() -> None:
    reader = CODEC.reader(Losses())
    assert reader.feed("", b"[DONE]") == []
    assert reader.done
    assert reader.feed("", b'{"choices":[]}') == []


def test_an_answer_without_its_end_is_truncated() -> None:
    with pytest.raises(UpstreamTruncated):
        heard(chunk({"content": "a"}))
    with pytest.raises(UpstreamTruncated):
        heard(DONE)
    assert fold(heard(chunk({"content": "a"}) + DONE)).finished.finish == "stop"
    assert fold(heard(chunk({"content": "a"}, "length"))).finished.finish == "length"


def test_an_answer_may_be_empty() -> None:
    assert fold(heard(chunk({}, "stop"))).blocks == []
    assert fold(heard(chunk(None, "stop", choice={"delta": None}))).finished.finish == "stop"
    reader = CODEC.reader(Losses())
    reader.feed("", b'{"choices":[{"finish_reason":"stop"}]}')
    assert reader.end() == [Finished("stop")]


def test_an_error_breaks_it() -> None:
    for broken in (frame({"error": {"message": "no"}}), frame({"object": "error"}), chunk({}, "error")):
        with pytest.raises(UpstreamBroken):
            heard(chunk({"content": "a"}) + broken)
    assert fold(heard(frame({"sla": 1}) + chunk({"content": "a"}, "stop"))).blocks == [Text("a")]
    with pytest.raises(ValueError, match="malformed"):
        heard(b"data: {nonsense}\n\n")


def test_usage_may_be_told_elsewhere() -> None:
    groq = chunk({"content": "a"}, "stop", x_groq={"usage": {"prompt_tokens": 1, "completion_tokens": 2}})
    assert fold(heard(groq)).finished.usage == Usage(1, 2)
    moonshot = chunk({"content": "a"}, "stop", choice={"usage": {"prompt_tokens": 1, "completion_tokens": 2}})
    assert fold(heard(moonshot)).finished.usage == Usage(1, 2)
    absurd = frame({"choices": [], "usage": {"prompt_tokens": -1}})
    assert fold(heard(groq + absurd)).finished.usage == Usage(1, 2)


def test_of_several_answers_one_is_read() -> None:
    losses = Losses()
    second = chunk({"content": "b"}, choice={"index": 1})
    assert fold(heard(chunk({"content": "a"}) + second + chunk({}, "stop"), losses)).blocks == [Text("a")]
    assert losses.names() == ["n"]


def test_what_does_not_fit_is_read_loosely() -> None:
    odd = chunk({"content": "a"}, choice={"index": 0.0})
    assert fold(heard(odd + chunk({}, "stop"))).blocks == [Text("a")]


# --- words ------------------------------------------------------------------------------------------------------------


def test_tokens_have_their_odds() -> None:
    def odds(*tokens: str) -> dict[str, object]:
        return {"logprobs": {"content": [{"token": token} for token in tokens]}}

    stream = (
        chunk({"content": ""}, choice=odds())
        + chunk({"content": ""}, choice=odds("lost"))
        + chunk({"content": "a"}, choice=odds("a"))
        + chunk({"content": ""}, choice=odds("b"))
        + chunk({"content": "c"}, "stop", choice={"logprobs": {"content": None}})
    )
    answer = fold(heard(stream))
    assert answer.blocks == [Text("ac")]
    assert [json.loads(bytes(one)) for one in answer.logprobs] == [[{"token": "a"}], [{"token": "b"}]]


def test_words_follow_one_another() -> None:
    answer = told({"content": "a"}, {"refusal": "n"}, {"refusal": "o"}, {"content": "b"}, {"reasoning": "hm"})
    assert answer.blocks == [Text("a"), Refusal("no"), Text("b"), Thinking("hm")]


def test_a_content_may_be_a_list() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "h"}]}
    answer = told(
        {"content": [thought]},
        {"content": [{"type": "thinking", "thinking": []}]},
        {"content": [{"type": "thinking", "thinking": "m"}, {"type": "text", "text": "a"}]},
        {"content": [{"type": "text", "text": ""}, {"type": "reference", "reference_ids": [1]}]},
    )
    assert answer.blocks[:2] == [Thinking("hm"), Text("a")]
    reference = answer.blocks[2]
    assert isinstance(reference, Foreign)
    assert reference.kind == "reference"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (rb"a\ud83d", rb"\ude00b"),
        (rb"a\uD83D", rb"\uDE00b"),
    ],
)
def test_a_character_cut_in_two_is_put_together(first: bytes, second: bytes) -> None:
    def said(text: bytes) -> bytes:
        return b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % text

    assert fold(heard(said(first) + said(second) + chunk({}, "stop"))).blocks == [Text("a\U0001f600b")]
    assert fold(heard(said(first) + said(b"b") + chunk({}, "stop"))).blocks == [Text("ab")]
    assert fold(heard(said(second) + chunk({}, "stop"))).blocks == [Text("\ufffdb")]


def test_words_have_their_sources() -> None:
    note = {"type": "url_citation", "url_citation": {"url": "https://a", "start_index": 0, "end_index": 1}}
    answer = told({"content": "a"}, {"annotations": [note]}, {"content": "b"})
    (text,) = answer.blocks
    assert isinstance(text, Text)
    assert text.text == "ab"
    assert [(one.url, one.start, one.end) for one in text.citations] == [("https://a", 0, 1)]
    assert isinstance(told({"annotations": [note]}).blocks[0], Text)


def test_addresses_beside_the_answer_are_its_sources() -> None:
    stream = chunk({"content": "a"}, citations=["https://a"]) + chunk({"content": "b"}, "stop", citations=["https://a"])
    (text,) = fold(heard(stream)).blocks
    assert isinstance(text, Text)
    assert text.text == "ab"
    assert [one.url for one in text.citations] == ["https://a"]
    note = {"type": "url_citation", "url_citation": {"url": "https://b"}}
    (text,) = fold(heard(chunk({"content": "a", "annotations": [note]}, "stop", citations=["https://a"]))).blocks
    assert isinstance(text, Text)
    assert [one.url for one in text.citations] == ["https://b"]


def test_pictures_sounds_and_others_tools() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    answer = told(
        {"content": "a", "images": [picture, {"type": "odd"}]},
        {"audio": {"id": "x", "transcript": "hi"}},
        {"audio": {"data": "aGk="}},
        {"audio": None, "executed_tools": [{"type": "search"}]},
        {"executed_tools": []},
    )
    assert answer.blocks[:3] == [Text("a"), Media("image", "image/png", "aGk="), Text("hi")]
    kinds = [block.kind for block in answer.blocks[3:] if isinstance(block, Foreign)]
    assert kinds == ["message.audio", "message.audio", "message.executed_tools"]


# --- thoughts ---------------------------------------------------------------------------------------------------------


def detail(text: str = "", signature: str | None = None, **more: object) -> dict[str, object]:
    said = {"type": "reasoning.text", "text": text, "signature": signature, "format": "anthropic-claude-v1", "index": 0}
    return {"reasoning_details": [said | more]}


def test_thoughts_grow_and_are_signed() -> None:
    answer = told(
        {**detail("h"), "reasoning": "h"},
        {**detail("m"), "reasoning": "m"},
        detail("", "s"),
        detail("", None),
        {"content": "a", "reasoning_details": []},
    )
    assert answer.blocks == [Thinking("hm", "s", origin="anthropic_messages"), Text("a")]


def test_whose_a_thought_is_may_be_said_once() -> None:
    first = {"type": "reasoning.text", "text": "h", "format": "anthropic-claude-v1", "id": "t1", "index": 0}
    more = {"type": "reasoning.text", "text": "m", "signature": "s", "index": 0}
    assert told({"reasoning_details": [first]}, {"reasoning_details": [more]}).blocks == [
        Thinking("hm", "s", origin="anthropic_messages", id="t1")
    ]
    assert told({"reasoning_details": [first]}, {"reasoning_details": [more | {"index": 1}]}).blocks == [
        Thinking("h", origin="anthropic_messages", id="t1"),
        Thinking("m", "s", origin="openai_chat"),
    ]


def test_a_second_thought_is_another() -> None:
    answer = told(detail("a", "s"), detail("b", index=1), detail("", "t", index=1))
    assert answer.blocks == [
        Thinking("a", "s", origin="anthropic_messages"),
        Thinking("b", "t", origin="anthropic_messages"),
    ]


def test_what_only_its_maker_reads_is_a_block() -> None:
    summary = {"type": "reasoning.summary", "summary": "in short", "format": "openai-responses-v1", "index": 0}
    sealed = {"type": "reasoning.encrypted", "data": "d", "format": "openai-responses-v1", "id": "rs", "index": 0}
    assert told({"reasoning": "in short", "reasoning_details": [summary]}, {"reasoning_details": [sealed]}).blocks == [
        Thinking("in short", origin="openai_responses", summary=True),
        Thinking("", "", "d", "openai_responses", "rs"),
    ]


def test_details_without_text_leave_it_to_what_stands_beside_them() -> None:
    assert told({"reasoning": "hm", **detail("", "s")}).blocks == [
        Thinking("", "s", origin="anthropic_messages"),
        Thinking("hm"),
    ]


def test_a_thought_that_is_only_named_is_there() -> None:
    assert told(detail("", id="rs")).blocks == [Thinking(origin="anthropic_messages", id="rs")]


def test_litellms_blocks_are_anthropics() -> None:
    def block(text: str, signature: str | None) -> dict[str, object]:
        said = {"type": "thinking", "thinking": text, "signature": signature}
        return {"reasoning_content": text, "thinking_blocks": [said]}

    assert told(block("h", None), block("m", None), block("", "s")).blocks == [
        Thinking("hm", "s", origin="anthropic_messages")
    ]


# --- calls ------------------------------------------------------------------------------------------------------------


def test_calls_grow_side_by_side() -> None:
    answer = told(
        call(0, "c1", "look", ""),
        call(0, None, None, '{"a"'),
        call(1, "c2", "hear", ""),
        call(1, None, None, "{}"),
        call(0, None, None, ":1}"),
    )
    assert answer.blocks == [ToolCall("c1", "look", '{"a":1}'), ToolCall("c2", "hear", "{}")]
    assert answer.finished.finish == "tools"


def test_a_whole_call_is_closed_when_something_else_begins() -> None:
    events = heard(
        chunk({"content": "a"})
        + chunk(call(0, "c1", "look", "{}"))
        + chunk(call(1, "c2", "hear", "{}"))
        + chunk(call(0, None, None, " "))
        + chunk({}, "tool_calls")
    )
    order = [(type(event), event.at) for event in events if isinstance(event, BlockOpened | BlockClosed)]
    assert order == [
        (BlockOpened, 0),
        (BlockClosed, 0),
        (BlockOpened, 1),
        (BlockClosed, 1),
        (BlockOpened, 2),
        (BlockClosed, 2),
    ]


def test_without_an_index_an_id_begins_a_call() -> None:
    answer = told(
        call(None, "c1", "look", "{"),
        call(None, None, None, "}"),
        call(None, "c2", "hear", "["),
        call(None, "c2", None, "]"),
    )
    assert answer.blocks == [ToolCall("c1", "look", "{}"), ToolCall("c2", "hear", "[]")]


def test_calls_under_one_index_are_told_by_their_ids() -> None:
    answer = told(call(0, "c1", "look", "{}"), call(0, "c2", "hear", "{}"))
    assert answer.blocks == [ToolCall("c1", "look", "{}"), ToolCall("c2", "hear", "{}")]
    again = told(call(0, "c1", "look", "{"), call(0, "c1", "look", "}"))
    assert again.blocks == [ToolCall("c1", "look", "{}")]


def test_a_call_waits_for_its_name() -> None:
    answer = told(call(0, "c1", None, "{"), call(0, None, "look", ""), call(0, None, None, "}"))
    assert answer.blocks == [ToolCall("c1", "look", "{}")]
    assert told(call(0, "c1", None, "{}"), {"content": "a"}).blocks == [Text("a"), ToolCall("c1", "", "{}")]


def test_a_call_without_an_id_gets_one() -> None:
    assert told(call(0, None, "look", "{}"), call(1, None, "hear", "{}")).blocks == [
        ToolCall("chat-1_call_0", "look", "{}"),
        ToolCall("chat-1_call_1", "hear", "{}"),
    ]


def test_functions_of_old_are_calls() -> None:
    answer = told({"function_call": {"name": "look", "arguments": ""}}, {"function_call": {"arguments": "{}"}})
    assert answer.blocks == [ToolCall("chat-1_call_0", "look", "{}")]


def test_another_kind_of_call_is_noted() -> None:
    losses = Losses()
    custom = {"tool_calls": [{"index": 0, "id": "c1", "type": "custom", "custom": {"name": "x", "input": ""}}]}
    assert fold(heard(chunk(custom) + chunk({}, "tool_calls"), losses)).blocks == []
    assert losses.names() == ["custom_tool_call"]


def test_a_bare_call_says_nothing() -> None:
    assert told({"tool_calls": [{"index": 0}]}).blocks == [ToolCall("chat-1_call_0", "")]


def test_google_signs_calls() -> None:
    extra = {"extra_content": {"google": {"thought_signature": "s"}}}
    signed = {"tool_calls": [{"index": 0, **CALL, **extra}]}
    assert told(signed).blocks == [ToolCall("c1", "look", "{}", "s", "gemini")]
    later = told({"tool_calls": [{"index": 0, **CALL}]}, {"tool_calls": [{"index": 0, **extra}]})
    assert later.blocks == [ToolCall("c1", "look", "{}", "s")]


def test_gemini_signs_calls_in_details() -> None:
    seal = {"type": "reasoning.encrypted", "data": "s", "id": "c1", "format": "google-gemini-v1"}
    signed = told({"reasoning_details": [seal], "tool_calls": [{"index": 0, **CALL}]})
    assert signed.blocks == [ToolCall("c1", "look", "{}", "s", "gemini")]
    assert told({"reasoning_details": [seal]}, {"content": "a"}).blocks == [
        Text("a"),
        Thinking("", "", "s", "gemini", "c1"),
    ]


def test_vllm_says_which_sequence_ended_it() -> None:
    ended = fold(heard(chunk({"content": "a"}, "stop", choice={"stop_reason": "END"}))).finished
    assert (ended.finish, ended.sequence) == ("sequence", "END")


def test_citations_keep_their_form() -> None:
    note = {"type": "file_citation"}
    (text,) = told({"content": "a", "annotations": [note]}).blocks
    assert isinstance(text, Text)
    (citation,) = text.citations
    assert isinstance(citation, Citation)
    assert json.loads(bytes(citation.raw)) == note
    assert Raw(b"[]") == raw([])
