from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.answer_id import answer_id
from gateway.wire.ir import Ask, Text, Turn


def ask(*words: str) -> Ask:
    return Ask(
        "openai_chat", "m", [Turn("user" if n % 2 == 0 else "assistant", [Text(w)]) for n, w in enumerate(words)]
    )


def test_an_answers_own_id_is_kept() -> None:
    assert answer_id("chatcmpl-1", ask("hi"), "msg") == "chatcmpl-1"


def test_an_answer_without_one_gets_one_of_its_kind() -> None:
    made = answer_id("", ask("hi"), "msg")
    assert made.startswith("msg_")
    assert made[4:].isalnum()
    assert made == answer_id("", ask("hi"), "msg")


@given(st.lists(st.text(max_size=3), min_size=1, max_size=8))
def test_no_two_turns_of_a_conversation_have_the_same(words: list[str]) -> None:
    made = [answer_id("", ask(*words[: n + 1]), "msg") for n in range(len(words))]
    assert len(set(made)) == len(words)
