from gateway.wire.ir import Thinking, ToolCall
from gateway.wire.openai_responses.thoughts import (
    Reasoning,
    Words,
    answered_thoughts,
    read_thoughts,
    seal,
    seal_call,
    signed_call,
    write_thought,
)
from tests.wire.openai_responses.talk import NAME

CLAUDE = "anthropic_messages"


def test_a_thought_of_openais_own_is_a_summary_and_what_only_openai_reads() -> None:
    item = Reasoning("rs_1", [Words("a"), Words("b")], None, "gAAA")
    thought = Thinking("a\n\nb", "gAAA", origin=NAME, id="rs_1", summary=True)
    assert read_thoughts(item) == [thought]
    assert answered_thoughts(item) == [thought]


def test_words_and_their_summary_are_two_thoughts_of_one_item() -> None:
    item = Reasoning("rs_1", [Words("short")], [Words("long")], "gAAA")
    thoughts = read_thoughts(item)
    assert thoughts == [
        Thinking("long", origin=NAME, id="rs_1"),
        Thinking("short", "gAAA", origin=NAME, id="rs_1", summary=True),
    ]
    assert answered_thoughts(item) == thoughts
    first = write_thought(thoughts[0], None)
    assert write_thought(thoughts[1], first) is None
    assert first == {
        "type": "reasoning",
        "id": "rs_1",
        "content": [{"type": "reasoning_text", "text": "long"}],
        "summary": [{"type": "summary_text", "text": "short"}],
        "encrypted_content": "gAAA",
    }


def test_a_thought_without_a_word_is_there_for_its_seal_alone() -> None:
    assert read_thoughts(Reasoning("rs_1", [], encrypted_content="gAAA")) == [
        Thinking(signature="gAAA", origin=NAME, id="rs_1")
    ]
    assert answered_thoughts(Reasoning("rs_1", encrypted_content="gAAA")) == [
        Thinking(signature="gAAA", origin=NAME, id="rs_1")
    ]
    assert read_thoughts(Reasoning("rs_1")) == []
    assert answered_thoughts(Reasoning("rs_1")) == []


def test_anothers_signature_goes_to_the_caller_and_comes_home_without_our_id() -> None:
    sealed = seal("SIG", "", CLAUDE)
    assert sealed == f"gw1.{CLAUDE}.SIG"
    assert read_thoughts(Reasoning("rs_ours", [Words("hm")], None, sealed)) == [
        Thinking("hm", "SIG", origin=CLAUDE, summary=True)
    ]


def test_a_redacted_thought_comes_home_as_one() -> None:
    assert read_thoughts(Reasoning("rs_ours", [], None, seal("", "DATA", CLAUDE))) == [
        Thinking(redacted="DATA", origin=CLAUDE)
    ]
    assert seal("", "DATA", NAME) == "DATA"
    assert seal("", "", CLAUDE) == ""


def test_a_seal_that_a_backend_made_goes_back_to_it_as_it_is() -> None:
    sealed = f"gw1.{CLAUDE}.SIG"
    assert answered_thoughts(Reasoning("rs_1", [Words("hm")], None, sealed)) == [
        Thinking("hm", sealed, origin=NAME, id="rs_1", summary=True)
    ]


def test_a_call_keeps_its_signature_in_an_item_beside_it() -> None:
    call = ToolCall("call_1", "f", signature="S I G", origin="gemini")
    assert signed_call(Reasoning("rs", encrypted_content=seal_call(call))) == ("call_1", "S I G", "gemini")
    assert signed_call(Reasoning("rs", encrypted_content="gAAA")) == ("", "", "")
    assert signed_call(Reasoning("rs", encrypted_content=seal("SIG", "", CLAUDE))) == ("", "", "")


def test_thoughts_of_different_items_stay_apart() -> None:
    first = write_thought(Thinking("a", id="rs_1", origin=NAME), None)
    second = write_thought(Thinking(redacted="x", origin=NAME), first)
    assert second == {"type": "reasoning", "summary": [], "encrypted_content": "x"}
