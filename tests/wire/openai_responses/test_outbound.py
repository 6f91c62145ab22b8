import pytest
from msgspec import Raw

from gateway.errors import UnsupportedFeature
from gateway.wire.ir import (
    Ask,
    Block,
    Cache,
    Effort,
    Foreign,
    Format,
    Media,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from gateway.wire.losses import Losses
from tests.wire.openai_responses.talk import JSON, NAME, again, raw, write

CLAUDE = "anthropic_messages"
CHAT = "openai_chat"


def ask(*turns: Turn, origin: str = CLAUDE, **more: object) -> Ask:
    asked = Ask(origin, "m", list(turns))
    for name, value in more.items():
        setattr(asked, name, value)
    return asked


def user(*blocks: Block) -> Turn:
    return Turn("user", list(blocks))


def model(*blocks: Block) -> Turn:
    return Turn("assistant", list(blocks))


def items(*turns: Turn, origin: str = CLAUDE, losses: Losses | None = None) -> object:
    return write(ask(*turns, origin=origin), losses=losses)["input"]


def lost(asked: Ask, model_: str = "m") -> list[str]:
    losses = Losses()
    write(asked, model_, losses)
    return losses.names()


def test_nothing_is_stored_and_thoughts_are_asked_for_sealed() -> None:
    assert write(ask(user(Text("hi"))), "gpt-5") == {
        "model": "gpt-5",
        "input": [{"role": "user", "content": "hi"}],
        "include": ["reasoning.encrypted_content"],
        "store": False,
    }


@pytest.mark.parametrize("name", ["gpt-4o", "openai/gpt-4.1-mini", "my-gpt-4o", "gpt-35-turbo", "gpt-5-chat-latest"])
def test_a_model_that_does_not_think_is_not_asked_to(name: str) -> None:
    asked = ask(user(Text("hi")), thinking=Effort("high"))
    assert write(asked, name).keys() == {"model", "input", "store"}
    assert lost(asked, name) == ["thinking"]
    assert lost(ask(thinking=Effort("none")), name) == []


@pytest.mark.parametrize(
    ("effort", "reasoning", "losses"),
    [
        (Effort("high"), {"effort": "high"}, []),
        (Effort("none"), {"effort": "none"}, []),
        (Effort(tokens=1024), {"effort": "low"}, ["thinking=mapped"]),
        (Effort(tokens=8000), {"effort": "medium"}, ["thinking=mapped"]),
        (Effort(tokens=32000, shown=True), {"effort": "high", "summary": "auto"}, ["thinking=mapped"]),
        (Effort("vast"), None, ["thinking"]),
        (Effort(shown=False), None, []),
    ],
)
def test_an_effort_is_said_in_words(effort: Effort, reasoning: object, losses: list[str]) -> None:
    asked = ask(thinking=effort)
    assert write(asked).get("reasoning") == reasoning
    assert lost(asked) == losses


def test_the_first_text_of_the_system_is_the_instructions_and_the_others_are_messages() -> None:
    written = write(ask(user(Text("hi")), system=[Text("one", Cache("1h")), Text("two")]))
    assert written["instructions"] == "one"
    assert written["input"] == [{"role": "system", "content": "two"}, {"role": "user", "content": "hi"}]
    assert lost(ask(system=[Text("one", Cache())])) == ["cache=mapped"]


def test_a_marked_system_of_this_language_keeps_its_mark() -> None:
    marked = {"type": "input_text", "text": "one", "prompt_cache_breakpoint": {"mode": "explicit"}}
    talk: list[JSON] = [{"role": "system", "content": [marked]}, {"role": "user", "content": "hi"}]
    written = again(input=talk)
    assert "instructions" not in written
    assert written["input"] == talk


def test_what_is_said_in_a_row_is_one_message() -> None:
    turn = model(Text("a"), Text("b"), ToolCall("c1", "f", '{"a": 1}'), Refusal("no"))
    assert items(user(Text("hi"), Media("image", url="u")), turn, user(ToolResult("c1", [Text("ok")]), Text("go"))) == [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "hi"},
                {"type": "input_image", "image_url": "u", "detail": "auto"},
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}],
        },
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"type": "function_call_output", "call_id": "c1", "output": "ok"},
        {"role": "user", "content": "go"},
    ]


def test_a_system_turn_stands_where_it_stood() -> None:
    assert items(user(Text("a")), Turn("system", [Text("b")])) == [
        {"role": "user", "content": "a"},
        {"role": "system", "content": "b"},
    ]


def test_a_call_without_arguments_has_some() -> None:
    assert items(model(ToolCall("c1", "f"))) == [
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    ]


def test_a_result_with_pictures_is_a_list_and_one_without_a_word_is_empty() -> None:
    picture = Media("image", "image/png", data="A")
    results = user(ToolResult("c1", [Text("see"), picture]), ToolResult("c2", []))
    assert items(results) == [
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [
                {"type": "input_text", "text": "see"},
                {"type": "input_image", "image_url": "data:image/png;base64,A", "detail": "auto"},
            ],
        },
        {"type": "function_call_output", "call_id": "c2", "output": ""},
    ]


def test_a_thought_goes_back_to_who_made_it_alone() -> None:
    losses = Losses()
    thoughts = model(
        Thinking("mine", "gAAA", origin=NAME, id="rs_1", summary=True),
        Thinking("theirs", "SIG", origin=CLAUDE),
        Thinking("plain"),
        Thinking("unsealed", origin=NAME),
        Text("a"),
    )
    assert items(thoughts, losses=losses) == [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "mine"}],
            "encrypted_content": "gAAA",
        },
        {"role": "assistant", "content": "a"},
    ]
    assert losses.names() == ["thinking.blocks"]


def test_words_and_summary_of_one_thought_are_one_item_again() -> None:
    item: JSON = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "short"}],
        "content": [{"type": "reasoning_text", "text": "long"}],
    }
    talk: list[JSON] = [{"role": "user", "content": "hi"}, item, {"role": "assistant", "content": "a"}]
    assert again(input=talk)["input"] == talk


def test_what_crosses_unsaid_is_noted() -> None:
    asked = ask(
        user(Text("a"), ToolResult("c1", [Text("no")], is_error=True, cache=Cache())),
        model(
            ToolCall("c1", "f", signature="S", origin="gemini", cache=Cache()),
            Foreign("gemini", "executableCode", Raw(b"{}")),
        ),
        user(Text("b", Cache())),
        stop=["x"],
        sampling={"top_k": Raw(b"4"), "temperature": Raw(b"0.50")},
        service_tier="standard_only",
        cache=Cache(),
        other={"container": Raw(b"{}")},
    )
    asked.messages[0].name = "Ann"
    assert lost(asked) == [
        "name",
        "tool_results.error",
        "cache=mapped",
        "thinking.signature",
        "executableCode",
        "top_k",
        "stop",
        "service_tier",
        "container",
    ]


def test_several_answers_are_refused() -> None:
    with pytest.raises(UnsupportedFeature):
        write(ask(n=2))


def test_a_picture_the_caller_asks_about_must_be_shown_and_an_earlier_one_may_be_missing() -> None:
    film = user(Media("video", data="A"))
    assert lost(ask(film, model(Text("a")), user(Text("b")))) == ["video"]
    with pytest.raises(UnsupportedFeature):
        write(ask(film))


def test_numbers_and_names_are_said() -> None:
    written = write(
        ask(
            tools=[Tool("f")],
            choice=ToolChoice("tool", ("f",), parallel=False),
            max_tokens=7,
            logprobs=0,
            stream=True,
            user="who",
            metadata={"a": "b"},
            service_tier="flex",
            cache_key="k",
            format=Format(),
        )
    )
    assert written == {
        "model": "m",
        "input": [],
        "tools": [{"type": "function", "name": "f", "parameters": None, "strict": False}],
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": False,
        "max_output_tokens": 7,
        "top_logprobs": 0,
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
        "text": {"format": {"type": "json_object"}},
        "safety_identifier": "who",
        "metadata": {"a": "b"},
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "stream": True,
        "store": False,
    }


def test_a_schema_always_has_a_name() -> None:
    form = Format(raw({"type": "object"}), description="d")
    assert write(ask(format=form))["text"] == {
        "format": {"type": "json_schema", "name": "answer", "schema": {"type": "object"}, "description": "d"}
    }


def test_a_long_name_of_a_user_is_hashed_since_it_would_be_refused() -> None:
    asked = ask(user="u" * 65)
    said = write(asked)["safety_identifier"]
    assert isinstance(said, str)
    assert len(said) == 64
    assert lost(asked) == ["user=mapped"]
    assert again(safety_identifier="u" * 65)["safety_identifier"] == "u" * 65


def test_what_chat_and_responses_call_alike_crosses() -> None:
    asked = ask(origin=CHAT, other={"verbosity": raw("low"), "moderation": raw({"model": "m"}), "store": raw(True)})
    written = write(asked)
    assert (written["text"], written["moderation"], written["store"]) == (
        {"verbosity": "low"},
        {"model": "m"},
        False,
    )
    assert lost(asked) == ["store"]


def test_nothing_is_stored_even_where_the_caller_asks_for_it() -> None:
    assert again(store=True)["store"] is False


def test_what_is_included_beside_is_asked_for_where_thoughts_are_not() -> None:
    assert again(include=["file_search_call.results"])["include"] == [
        "reasoning.encrypted_content",
        "file_search_call.results",
    ]


def test_a_tier_of_this_languages_own_is_said_as_it_was() -> None:
    assert again(service_tier="warp")["service_tier"] == "warp"


def test_custom_tools_and_namespaces_are_called_as_they_were() -> None:
    body: JSON = {
        "model": "m",
        "input": [
            {"role": "user", "content": "hi"},
            {"type": "custom_tool_call", "call_id": "c1", "name": "exec", "input": "ls"},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "a"},
            {"type": "function_call", "call_id": "c2", "name": "wait", "arguments": "{}", "namespace": "agents"},
            {"type": "function_call_output", "call_id": "c2", "output": "b"},
        ],
        "tools": [
            {"type": "custom", "name": "exec"},
            {"type": "namespace", "name": "agents", "tools": [{"type": "function", "name": "wait", "parameters": {}}]},
        ],
        "include": ["reasoning.encrypted_content"],
        "store": False,
    }
    assert again(**body) == body
