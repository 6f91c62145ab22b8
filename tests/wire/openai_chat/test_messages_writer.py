import pytest

from gateway.errors import UnsupportedFeature
from gateway.wire.ir import (
    Ask,
    Block,
    Cache,
    Citation,
    Foreign,
    Media,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.wire.losses import Losses
from tests.wire.openai_chat.saying import CALL, CALLED, again, foreign_ask, raw, said_of, written

PICTURE = Media("image", "image/png", "aGk=")
SHOWN = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
HI = {"role": "user", "content": "hi"}


def answer_of(*blocks: Block) -> tuple[dict[str, object], list[str]]:
    """The message of another's turn of the assistant, and what was lost."""
    losses = Losses()
    messages = written(foreign_ask(Turn("assistant", list(blocks))), losses)["messages"]
    assert isinstance(messages, list)
    return messages[0], losses.names()


def test_the_system_is_one_message() -> None:
    ask = Ask("gemini", "m", [Turn("user", [Text("hi")])], [Text("a"), Text("b")])
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert written(ask)["messages"] == [{"role": "system", "content": parts}, HI]


def test_a_system_turn_stays_where_it_is() -> None:
    ask = foreign_ask(Turn("user", [Text("hi")], "ann"), Turn("system", [Text("now")]))
    assert written(ask)["messages"] == [{**HI, "name": "ann"}, {"role": "system", "content": "now"}]


def test_results_come_before_what_the_user_says() -> None:
    said = said_of(Text("hi"), ToolResult("c1", [Text("sunny")], "look"))
    assert said == [{"role": "tool", "tool_call_id": "c1", "content": "sunny"}, HI]


def test_a_picture_a_tool_gave_is_shown_by_the_user() -> None:
    losses = Losses()
    result = ToolResult("c1", [Text("see"), PICTURE, Media("document", text="words")], is_error=True, cache=Cache())
    said = said_of(result, Text("hi"), losses=losses)
    assert said == [
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": [{"type": "text", "text": "see"}, {"type": "text", "text": "words"}],
        },
        {
            "role": "user",
            "content": [{"type": "text", "text": "Given by the tool call c1:"}, SHOWN, {"type": "text", "text": "hi"}],
        },
    ]
    assert losses.names() == ["tool_results.images=mapped", "tool_results.error", "documents=mapped", "cache"]


def test_other_media_of_tools_are_noted_by_their_name() -> None:
    losses = Losses()
    said_of(ToolResult("c1", [Media("document", "application/pdf", "aGk=")]), losses=losses)
    assert losses.names() == ["tool_results.documents=mapped"]


def test_only_what_the_last_turn_shows_is_refused() -> None:
    unseen = Turn("user", [Media("image", file="f"), Text("see")])
    losses = Losses()
    assert written(foreign_ask(unseen, Turn("assistant", [Text("yes")]), Turn("user", [Text("hi")])), losses)
    assert losses.names() == ["files"]
    with pytest.raises(UnsupportedFeature):
        written(foreign_ask(unseen, Turn("assistant", [Text("yes")])))


def test_an_assistant_is_one_flat_message() -> None:
    said, lost = answer_of(
        Thinking("h"), ToolCall("c1", "look", "{}"), Thinking("m"), Text("a"), Text("b"), Refusal("no")
    )
    assert said == {
        "role": "assistant",
        "reasoning_content": "hm",
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        "refusal": "no",
        "tool_calls": [CALL],
    }
    assert lost == []


def test_an_assistant_may_say_nothing() -> None:
    assert answer_of()[0] == {"role": "assistant", "content": ""}
    assert answer_of(Thinking(""))[0] == {"role": "assistant", "content": ""}
    assert answer_of(ToolCall("c1", "look"))[0] == CALLED
    assert answer_of(Refusal("no"))[0] == {"role": "assistant", "content": None, "refusal": "no"}


def test_what_another_signed_is_not_said() -> None:
    signed = Thinking("hm", "s", "", "anthropic_messages")
    hidden = Thinking("", "", "d", "anthropic_messages")
    call = ToolCall("c1", "look", "{}", "s", "gemini", Cache())
    said, lost = answer_of(signed, hidden, call)
    assert said == CALLED
    assert set(lost) == {"thinking.signature", "cache", "thinking.blocks"}


def test_what_this_language_signed_goes_home() -> None:
    said, lost = answer_of(Thinking("hm", "s", "", "openai_chat"))
    assert said["reasoning_details"] == [{"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0}]
    assert lost == []


def test_an_assistant_shows_nothing_and_says_nothing_foreign() -> None:
    cited = Text("a", citations=[Citation("anthropic_messages", raw({}), "https://a")])
    said, lost = answer_of(cited, PICTURE, Foreign("anthropic_messages", "server_tool_use", raw({})))
    assert said == {"role": "assistant", "content": "a"}
    assert set(lost) == {"citations", "images", "server_tool_use"}


@pytest.mark.parametrize(
    "message",
    [
        {**HI, "new": 1},
        {**HI, "name": "ann"},
        {"role": "assistant", "name": "bot", "content": "a"},
        {"role": "assistant", "content": "a", "prefix": True},
        {"role": "assistant", "content": None, "tool_calls": [{**CALL, "new": 1}]},
        {"role": "assistant", "content": None, "tool_calls": [{**CALL, "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{**CALL, "extra_content": {"google": {"thought_signature": "s"}}}],
        },
        {"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": "https://a"}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "x"}}]},
        {
            "role": "assistant",
            "content": "a",
            "annotations": [
                {"type": "url_citation", "url_citation": {"url": "https://a", "start_index": 0, "end_index": 1}}
            ],
        },
        {
            "role": "assistant",
            "content": "a",
            "reasoning_details": [
                {"type": "reasoning.text", "text": "hm", "format": "anthropic-claude-v1", "index": 0}
            ],
        },
        {"role": "assistant", "content": "a", "audio": {"id": "audio_1"}},
    ],
)
def test_a_message_goes_back_as_it_came(message: object) -> None:
    assert again([message])["messages"] == [message]


@pytest.mark.parametrize("more", [{}, {"name": "look"}, {"new": 1}, {"cache_control": {"type": "ephemeral"}}])
def test_a_result_goes_back_as_it_came(more: dict[str, object]) -> None:
    result = {"role": "tool", "tool_call_id": "c1", "content": "sunny", **more}
    assert again([CALLED, result, HI])["messages"] == [CALLED, result, HI]
    custom = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "custom", "custom": {}}]}
    assert again([custom, result])["messages"] == [custom, result]


def test_pictures_of_tools_go_back_where_they_were() -> None:
    result = {"role": "tool", "tool_call_id": "c1", "content": [SHOWN]}
    assert again([CALLED, result])["messages"] == [CALLED, result]
