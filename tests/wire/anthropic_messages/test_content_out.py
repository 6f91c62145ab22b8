import json

import pytest
from msgspec import Raw
from msgspec.json import decode, encode

from gateway.errors import UnsupportedFeature
from gateway.wire.anthropic_messages.content_out import ContentOut, Placed, arguments, tool_id
from gateway.wire.anthropic_messages.shapes import NAME
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

OTHER = "openai_chat"
EARLIER = [Turn("user", [Text("Hi")]), Turn("assistant", [Text("Ho")])]


def write(
    turns: list[Turn], *, origin: str = OTHER, placed: Placed | None = None
) -> tuple[list[dict[str, object]], list[str]]:
    losses = Losses()
    said = ContentOut(Ask(origin, "m", turns), placed or {}, losses).turns(turns)
    return decode(encode(said), type=list[dict[str, object]]), losses.names()


def block(said: Block, role: str = "user", *, origin: str = OTHER) -> tuple[object, list[str]]:
    """One block of a turn that isn't the last."""
    turns = [Turn("assistant" if role == "assistant" else "user", [said, Text("-")]), Turn("user", [Text("?")])]
    if role == "user":
        turns.insert(1, Turn("assistant", [Text("!")]))
    written, lost = write(turns, origin=origin)
    content = written[0]["content"]
    return (content[0] if isinstance(content, list) else None), lost


def test_one_plain_text_is_a_string() -> None:
    assert write(EARLIER) == (
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}],
        [],
    )


def test_turns_alternate_and_results_come_before_all_else() -> None:
    picture = Media("image", url="u")
    turns = [
        Turn("assistant", [Text("a")]),
        Turn("assistant", [ToolCall("t1", "f"), ToolCall("t2", "f")]),
        Turn("user", [ToolResult("t1", [Text("1")])]),
        Turn("system", [Text("be brief")]),
        Turn("user", [ToolResult("t2", [Text("2"), picture], is_error=True)]),
        Turn("user", [Text("and?")]),
    ]
    written, lost = write(turns)
    called = {"type": "tool_use", "name": "f", "input": {}}
    source = {"type": "url", "url": "u"}
    assert written == [
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "a"}, {**called, "id": "t1"}, {**called, "id": "t2"}],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "1"},
                {
                    "type": "tool_result",
                    "tool_use_id": "t2",
                    "content": [{"type": "text", "text": "2"}, {"type": "image", "source": source}],
                    "is_error": True,
                },
                {"type": "text", "text": "be brief"},
                {"type": "text", "text": "and?"},
            ],
        },
    ]
    assert lost == ["system=mapped"]


def test_what_would_be_nothing_is_left_out() -> None:
    turns = [Turn("user", [Text("Hi")]), Turn("assistant", [Text(" ")]), Turn("user", [Text("")])]
    assert write(turns)[0] == [{"role": "user", "content": "Hi"}]


def test_its_own_turns_stay_as_they_were() -> None:
    turns = [
        Turn("system", [Text("x")]),
        Turn("user", []),
        Turn("user", [Text("")]),
        Turn("user", [Text("a"), Text("b")]),
    ]
    placed = {"messages[0]": {"mood": Raw(b'"calm"')}, "messages[3].content[1]": {"tint": Raw(b"1")}}
    assert write(turns, origin=NAME, placed=placed)[0] == [
        {"role": "system", "content": "x", "mood": "calm"},
        {"role": "user", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": ""}]},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "tint": 1}]},
    ]


def test_a_block_kept_whole_goes_back_whole_and_a_foreign_one_is_untouched() -> None:
    turns = [Turn("user", [Media("document", text="x"), Foreign(NAME, "k", Raw(b'{"type":"k"}'))])]
    placed = {"messages[0].content[0]": {"whole": Raw(b'{"type":"search_result"}')}, "messages[0].content[1]": {}}
    assert write(turns, origin=NAME, placed=placed)[0][0]["content"] == [{"type": "search_result"}, {"type": "k"}]


def test_a_speakers_name_is_lost() -> None:
    assert write([Turn("user", [Text("x")], name="Ada")])[1] == ["name"]


def test_marks_keep_their_time() -> None:
    assert block(Text("x", Cache("1h")))[0] == {
        "type": "text",
        "text": "x",
        "cache_control": {"type": "ephemeral", "ttl": "1h"},
    }


def test_only_its_own_citations_go_back() -> None:
    own = Citation(NAME, Raw(b'{"type":"page_location"}'))
    said, lost = block(Text("x", citations=[own, Citation("gemini", Raw(b"{}"), "u")]), "assistant")
    assert said == {"type": "text", "text": "x", "citations": [{"type": "page_location"}]}
    assert lost == ["citations"]


@pytest.mark.parametrize(
    ("thought", "said", "lost"),
    [
        (Thinking("hm", "Eq", origin=NAME), {"type": "thinking", "thinking": "hm", "signature": "Eq"}, []),
        (Thinking(redacted="Eq", origin=NAME), {"type": "redacted_thinking", "data": "Eq"}, []),
        (Thinking("hm"), {"type": "text", "text": "-"}, ["thinking.blocks"]),
        (Thinking("hm", origin=NAME), {"type": "text", "text": "-"}, ["thinking.blocks"]),
        (Thinking("hm", "Ci", origin="gemini"), {"type": "text", "text": "-"}, ["thinking.blocks"]),
    ],
)
def test_a_thought_goes_back_to_who_signed_it(thought: Thinking, said: object, lost: list[str]) -> None:
    written, noted = block(thought, "assistant")
    assert (written or {"type": "text", "text": "-"}, noted) == (said, lost)


def test_a_refusal_is_text_and_a_foreign_block_is_lost() -> None:
    assert block(Refusal("no"), "assistant") == ({"type": "text", "text": "no"}, ["refusal=mapped"])
    assert block(Refusal(""), "assistant") == (None, ["refusal=mapped"])
    assert block(Foreign("gemini", "executableCode", Raw(b"{}")), "assistant") == (None, ["executableCode"])


def test_a_calls_signature_has_no_place() -> None:
    call = ToolCall("t.1", "f", '{"a": 1}', "CiQ=", "gemini", Cache())
    said, lost = block(call, "assistant")
    assert said == {
        "type": "tool_use",
        "id": "t_2e_1",
        "name": "f",
        "input": {"a": 1},
        "cache_control": {"type": "ephemeral"},
    }
    assert lost == ["thinking.signature"]


def test_ids_hold_only_what_anthropic_takes() -> None:
    assert tool_id("toolu_01-aB") == "toolu_01-aB"
    assert tool_id("functions.f:0") == "functions_2e_f_3a_0"


@pytest.mark.parametrize(
    ("text", "said", "lost"),
    [
        ('{"n": 1.00}', '{"n": 1.00}', []),
        ("", "{}", []),
        (" \n", "{}", []),
        ("[1]", '{"arguments":[1]}', ["tools.arguments=mapped"]),
        ('{"n": ', '{"arguments":"{\\"n\\": "}', ["tools.arguments=mapped"]),
    ],
)
def test_arguments_are_always_an_object(text: str, said: str, lost: list[str]) -> None:
    losses = Losses()
    assert bytes(arguments(text, losses)).decode() == said
    assert losses.names() == lost


TEXT = {"type": "text", "media_type": "text/plain", "data": "a,b"}


@pytest.mark.parametrize(
    ("media", "said", "lost"),
    [
        (Media("image", url="u"), {"source": {"type": "url", "url": "u"}}, []),
        (
            Media("image", data="iV", detail="high", cache=Cache()),
            {
                "source": {"type": "base64", "media_type": "image/png", "data": "iV"},
                "cache_control": {"type": "ephemeral"},
            },
            ["images.detail"],
        ),
        (Media("image", url="u", detail="auto"), {"source": {"type": "url", "url": "u"}}, []),
        (
            Media("document", data="JVBE", name="a.pdf"),
            {"source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}, "title": "a.pdf"},
            [],
        ),
        (
            Media("document", text="a,b", title="T", name="n", context="C", cites=True),
            {"source": TEXT, "title": "T", "context": "C", "citations": {"enabled": True}},
            [],
        ),
        (Media("document", "text/plain", "YSxi"), {"source": TEXT}, []),
        (Media("document", "text/csv", "YSxi"), {"source": TEXT}, ["documents=mapped"]),
    ],
)
def test_pictures_and_documents(media: Media, said: dict[str, object], lost: list[str]) -> None:
    assert block(media) == ({"type": media.kind, **said}, lost)


@pytest.mark.parametrize(
    ("media", "word"),
    [
        (Media("audio", data="x"), "audio"),
        (Media("video", url="x"), "video"),
        (Media("image", file="file_1"), "files"),
        (Media("document", "application/vnd.ms-excel", "UEs="), "documents"),
        (Media("document", "text/plain", "/w=="), "documents"),
    ],
)
def test_what_cannot_be_shown_is_lost_and_in_the_question_refused(media: Media, word: str) -> None:
    assert block(media) == (None, [word])
    with pytest.raises(UnsupportedFeature) as refused:
        write([*EARLIER, Turn("user", [Text("x"), media])])
    assert refused.value.param == word
    with pytest.raises(UnsupportedFeature):
        write([*EARLIER, Turn("user", [ToolResult("t", [media])])])


def test_a_picture_of_the_models_own_is_lost() -> None:
    assert block(Media("image", url="u"), "assistant") == (None, ["images"])
    assert block(Media("image", url="u"), "assistant", origin=NAME)[1] == []


def test_a_stored_file_goes_back_where_it_is_stored() -> None:
    assert block(Media("image", file="f"), origin=NAME)[0] == {
        "type": "image",
        "source": {"type": "file", "file_id": "f"},
    }


def test_a_conversation_without_questions_loses_what_it_must() -> None:
    assert write([Turn("assistant", [Media("audio", data="x"), Text("x")])])[1] == ["audio"]


def test_the_system_prompt_is_a_string_or_blocks() -> None:
    out = ContentOut(Ask(OTHER, "m", []), {"system[1]": {"tint": Raw(b"1")}}, Losses())
    assert out.texts([Text("x")]) == "x"
    marked = out.texts([Text("x", Cache()), Text("y")])
    assert json.loads(encode(marked)) == [
        {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "y", "tint": 1},
    ]
