"""What settles the class, what the words of a text add to it, and how often that agrees with the labels."""

import hashlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.complexity import BYTES_MOST, POINTS_MOST, SYSTEM_MOST, TOKENS_MOST, Signs, Verdict, complexity
from tests.routing.complexity import FOLDER, confusion, prompts
from tests.routing.complexity.__main__ import tables

DOCS = Path(__file__).parent.parent.parent / "docs/complexity.md"
EASY = "Why is the sky blue?"


def of(text: str) -> Verdict:
    return complexity(Signs(text))


def test_a_short_question_of_common_words_is_simple() -> None:
    assert of(EASY) == Verdict("simple", "a short question")


@pytest.mark.parametrize(
    "text", ["hi", "Hello!", "Thanks.", "hola", "Bonjour !", "Привет!", "你好\uff01", "नमस्ते", "안녕하세요"]
)
def test_a_greeting_is_simple(text: str) -> None:
    assert of(text) == Verdict("simple", "a greeting")


def test_a_small_request_that_is_no_question_is_simple() -> None:
    assert of("Tell me how to boil an egg") == Verdict("simple", "a small request")


@pytest.mark.parametrize(
    ("signs", "why"),
    [
        (Signs(EASY, has_tools=True), "tools"),
        (Signs(EASY, has_images=True), "images"),
        (Signs(EASY, has_schema=True), "a schema"),
        (Signs(EASY, asks_thinking=True), "thinking"),
        (Signs(EASY, turns=2), "a conversation"),
        (Signs(EASY, bytes_in=BYTES_MOST + 1), "long"),
        (Signs(EASY, system_chars=SYSTEM_MOST + 1), "long instructions"),
        (Signs(EASY, max_tokens=TOKENS_MOST + 1), "a long answer"),
    ],
)
def test_what_is_more_than_a_text_is_complex_whatever_the_text(signs: Signs, why: str) -> None:
    assert complexity(signs) == Verdict("complex", why)


def test_what_is_just_within_the_limits_is_judged_by_its_text() -> None:
    signs = Signs(EASY, bytes_in=BYTES_MOST, system_chars=SYSTEM_MOST, max_tokens=TOKENS_MOST)

    assert complexity(signs).name == "simple"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Please write me a poem", "something to compose"),
        ("Can you pretend that you are my boss?", "a part to play"),
        ("How do I debug this?", "code"),
        ("What is better than a dog?", "reasoning"),
        ("What would happen then?", "a world that isn't"),
        ("What is the weather like?", "the latest or exact figures"),
        ("How many stars are there?", "the latest or exact figures"),
        ("How much is it?", "the latest or exact figures"),
        ("Is it legal to park there?", "harm"),
        ("What is so special about Zorblax?", "names"),
        ("What does the term NGX mean?", "names"),
        ("Do you know what fooBar is?", "names"),
        ("How does x relate to y = 2?", "code"),
        ("how to use math.isclose()?", "code"),
        ("Where is it? Why is it there? What is it?", "several sentences"),
        ("Does institutional bureaucratic organisation matter?", "long words"),
        ("Who are you, and what of the year 1969?", "the latest or exact figures"),
        ('Explain what "it" is', "steps in detail"),
        ("What is the one thing that all of us here want to do when we are old?", "long"),
        ("word " * 40, "long"),
        ("  ?! ", "no words"),
        ("", "no words"),
    ],
)
def test_each_sign_of_a_hard_request_is_named(text: str, why: str) -> None:
    verdict = of(text)

    assert (verdict.name, verdict.why) == ("complex", why)


def test_a_sentence_may_name_what_every_school_book_names() -> None:
    assert of("How cold is it in Antarctica?").name == "simple"
    assert of("How cold is it in Kettle?") == Verdict("complex", "names", 3)


def test_two_small_signs_together_are_enough_and_one_is_not() -> None:
    assert of("Who are you?") == Verdict("simple", "a short question", 2)
    assert of("Who are the 4?").points > POINTS_MOST


def test_how_at_the_end_of_a_text_asks_for_no_figure() -> None:
    assert of("How?").name == "simple"


def test_a_curly_apostrophe_is_an_apostrophe() -> None:
    assert of("What\u2019s the best way to learn?") == of("What's the best way to learn?")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Schreibe ein Lied über den Herbst.", "not a plain question"),
        ("python vs julia", "not a plain question"),
        ("写一首诗", "not a plain question"),
        ("丝绸之路的历史是什么\uff0c它对当时的经济、文化和政治有什么影响\uff1f", "length"),
        ("Pourquoi la deuxième fournée de crêpes dore-t-elle bien plus vite ?", "length"),
        ("是吗\uff1f为什么\uff1f", "several sentences"),
        ("Какие события 1969 года?", "figures"),
        ("Qui est Vinny Vinesauce ?", "names"),
    ],
)
def test_what_is_in_another_language_is_judged_by_its_form(text: str, why: str) -> None:
    assert of(text) == Verdict("complex", why)


@pytest.mark.parametrize(
    "text",
    [
        "Wie funktioniert ein Schaltgetriebe?",
        "¿Cuál es tu propósito?",
        "你是谁\uff1f",
        "Как работает насос?",
        "तुम कौन हो?",
        "من أنت؟",
    ],
)
def test_a_very_short_question_in_another_language_is_simple(text: str) -> None:
    assert of(text) == Verdict("simple", "a short question")


@given(
    st.builds(
        Signs,
        st.text(),
        turns=st.integers(1, 3),
        bytes_in=st.integers(0, 10_000),
        has_tools=st.booleans(),
        has_images=st.booleans(),
        has_schema=st.booleans(),
        asks_thinking=st.booleans(),
    )
)
def test_any_text_has_a_verdict_and_only_a_plain_request_a_simple_one(signs: Signs) -> None:
    verdict = complexity(signs)

    assert verdict.why
    if verdict.name == "simple":
        assert verdict.points <= POINTS_MOST
        assert len(signs.text) <= 160
        assert not any((signs.has_tools, signs.has_images, signs.has_schema, signs.asks_thinking, signs.turns > 1))


@given(
    st.sampled_from([prompt.text for prompt in prompts()]), st.sampled_from(["tools", "images", "schema", "thinking"])
)
def test_no_text_makes_a_request_with_more_than_text_simple(text: str, what: str) -> None:
    flags = {
        "has_tools": what == "tools",
        "has_images": what == "images",
        "has_schema": what == "schema",
        "asks_thinking": what == "thinking",
    }
    assert complexity(msgspec.structs.replace(Signs(text), **flags)).name == "complex"


@given(st.sampled_from([prompt.text for prompt in prompts()]))
def test_a_complex_request_is_none_the_simpler_for_more_words(text: str) -> None:
    if of(text).name == "complex":
        assert of(f"{text} {text}").name == "complex"


def test_the_labels_are_those_that_were_there_before_the_rules() -> None:
    readme = (FOLDER / "README.md").read_text()
    for file in ("prompts.jsonl", "translated.jsonl"):
        assert hashlib.sha256((FOLDER / file).read_bytes()).hexdigest() in readme, file


def test_the_labelled_prompts_are_enough_and_no_two_are_the_same() -> None:
    labelled = prompts()

    assert len(labelled) >= 300
    assert len({prompt.text for prompt in labelled}) == len(labelled)
    assert all((prompt.name == "simple") == (prompt.why == 0) for prompt in labelled)
    for half in (True, False):
        assert {prompt.name for prompt in labelled if prompt.held_out is half} == {"simple", "complex"}


def test_at_most_one_in_twenty_complex_prompts_that_no_rule_was_tuned_on_is_called_simple() -> None:
    found = confusion(prompt for prompt in prompts() if prompt.held_out)

    assert found.complex_as_simple / found.complex <= 0.05
    assert found.simple_as_simple / found.simple >= 0.2


def test_neither_all_nor_none_of_what_is_not_english_is_simple() -> None:
    found = confusion(prompts("translated.jsonl"))

    assert found.complex_as_simple / found.complex <= 0.05
    assert found.simple_as_simple / found.simple >= 0.3


def test_the_tables_in_the_documentation_are_those_of_today() -> None:
    assert tables() in DOCS.read_text()
