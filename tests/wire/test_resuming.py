import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamTruncated
from gateway.features import Usage
from gateway.wire import resuming
from gateway.wire.resuming import Count, Prefill, Seam, Torn, count, load, partly, split, together

# --- how many tokens --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("Hello", 1, 1),
        (" world", 1, 1),
        (".\n\n", 1, 1),
        ("  ", 1, 1),
        (" für", 1, 2),  # the u with its dots may have been two
        ("🧀", 1, 4),
        ("two words", 2, 9),  # a token is a word with its space at the most
    ],
)
def test_an_event_is_a_token_unless_it_may_have_been_more(text: str, least: int, most: int) -> None:
    assert count([text]) == Count(least, most)


def test_counts_are_certain_where_the_least_is_the_most() -> None:
    assert count(["a", " b"]).certain
    assert not count(["a", "ü"]).certain
    assert Count(1, 2).plus(2, 3) == Count(3, 5)


# --- where it goes on from --------------------------------------------------------------------------------------------


def test_a_text_that_is_put_behind_the_prompt_goes_on_from_its_end() -> None:
    assert split(["a", ":\n", "\n"], "appended", Count(3, 3)) == ("a:\n\n", Count(3, 3))


@pytest.mark.parametrize("prefill", ["last_turn", "continue_final_message", "prefix"])
def test_white_space_that_might_be_lost_is_left_out(prefill: Prefill) -> None:
    assert split(["a", ":", "\n", " \n"], prefill, Count(4, 4)) == ("a:", Count(2, 2))


def test_a_token_that_is_cut_through_is_one_or_two() -> None:
    assert split(["a", ":\n", "\n"], "last_turn", Count(3, 3)) == ("a:", Count(2, 3))
    events = ["a b c\n"]
    assert split(events, "last_turn", count(events)) == ("a b c", Count(3, 6))


def test_nothing_but_white_space_is_asked_for_once_more() -> None:
    assert split(["\n", "\n"], "last_turn", Count(2, 2)) == ("", Count(0, 0))


words = st.text(st.sampled_from("ab \nü"), min_size=1, max_size=4)


@given(st.lists(words, min_size=1), st.sampled_from(["appended", "last_turn"]))
def test_what_is_left_out_is_white_space_only(events: list[str], prefill: Prefill) -> None:
    text = "".join(events)
    said = count(events)
    sent, reread = split(events, prefill, said)
    assert text.startswith(sent)
    assert not text[len(sent) :].strip()
    assert 0 <= reread.least <= reread.most <= said.most + 1


# --- stop sequences ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "is_so"), [("the EN", True), ("the E", True), ("the", False), ("the END", False), ("", False)]
)
def test_the_beginning_of_a_stop_sequence_at_the_end_is_seen(text: str, is_so: bool) -> None:
    assert partly(text, ["END"]) is is_so


def test_a_stop_sequence_of_one_character_is_never_half_there() -> None:
    assert not partly("a", ["a"])
    assert partly("a\n", ["x", "\n\n"])


# --- the seam ---------------------------------------------------------------------------------------------------------


def test_what_follows_is_new() -> None:
    seam = Seam("Hello", "", "appended")
    assert seam.new(" world") == " world"
    assert not seam.open
    assert seam.again == 0


def test_what_was_left_out_is_said_again_and_not_heard_twice() -> None:
    seam = Seam("a:", "\n\n", "last_turn")
    assert (seam.new("\n"), seam.open) == ("", True)
    assert (seam.new("\nb"), seam.open) == ("b", False)
    assert seam.new("\n") == "\n"
    assert (seam.again, seam.torn) == (1, False)


def test_where_something_else_is_said_instead_the_answer_tears() -> None:
    seam = Seam("a:", "\n\n", "last_turn")
    assert seam.new(" b") == ""
    assert seam.torn


def test_a_provider_that_repeats_what_it_was_given_is_heard_once() -> None:
    """Mistral's way; vLLM's before 0.6.4 is the same, but nobody says so beforehand."""
    seam = Seam("One two", "\n", "prefix")
    assert [seam.new(text) for text in ("One", " two", "\n", "three")] == ["", "", "", "three"]
    assert seam.again == 1  # all before it was no answer of a model's


def test_a_provider_that_should_repeat_it_and_does_not_is_not_believed() -> None:
    seam = Seam("One", "", "prefix")
    assert seam.new(" two") == ""
    assert seam.torn


@pytest.mark.parametrize("prefill", ["appended", "continue_final_message"])
def test_a_whole_text_repeated_in_one_event_is_taken_out(prefill: Prefill) -> None:
    seam = Seam("One two", "", prefill)
    assert seam.new("One two") == ""
    assert seam.new(" three") == " three"
    assert seam.again == 0  # it was not generated
    assert Seam("One two", "", prefill).new("One two three") == " three"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("ha", "ha"),  # a token may well be said twice
        ("One two", "One"),  # the model, beginning anew in its answer
        ("", "One"),
    ],
)
def test_what_may_have_been_generated_is_new(sent: str, said: str) -> None:
    seam = Seam(sent, "", "appended")
    assert seam.new(said) == said


def test_only_the_first_event_can_repeat_it() -> None:
    seam = Seam("One two", "", "appended")
    assert [seam.new(text) for text in ("\n", "One two")] == ["\n", "One two"]


def _pieces(text: str, cuts: list[int]) -> list[str]:
    at = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[one:other] for one, other in pairwise(at)]


@given(st.text("ab \n", min_size=1), st.text("ab \n"), st.lists(st.integers(0, 50)))
def test_however_it_comes_nothing_is_heard_twice_or_left_out(text: str, rest: str, cuts: list[int]) -> None:
    ways: tuple[Prefill, ...] = ("last_turn", "prefix")
    for prefill in ways:
        sent, _ = split([text], prefill, count([text]))
        seam = Seam(sent, text[len(sent) :], prefill)
        said = (text if prefill == "prefix" else text[len(sent) :]) + rest
        pieces = _pieces(said, cuts)
        if prefill != "prefix" and pieces and re.search(r"\S\s+\S", sent) and pieces[0].startswith(sent):
            continue  # no server that sends tokens says so much in its first
        assert "".join(map(seam.new, pieces)) == rest
        assert not seam.torn
        assert not seam.open


# --- what it used -----------------------------------------------------------------------------------------------------


def test_both_halves_are_one_answer_to_one_prompt() -> None:
    second = Usage(input_tokens=45, output_tokens=6, cached_tokens=44)
    assert together(None, Count(5, 5), Count(5, 5), second, 0) == Usage(40, 11, 40)


def test_what_was_said_again_is_paid_once() -> None:
    second = Usage(input_tokens=43, output_tokens=8)
    assert together(None, Count(5, 5), Count(3, 3), second, 2) == Usage(40, 11)


def test_the_prompt_that_the_first_half_told_is_the_prompt() -> None:
    assert together(39, Count(5, 5), Count(5, 5), Usage(45, 6), 0) == Usage(39, 11)


def test_what_was_guessed_is_called_an_estimate() -> None:
    assert together(None, Count(5, 7), Count(5, 7), Usage(45, 6), 0) == Usage(40, 11, estimated=True)
    assert together(None, Count(9, 9), Count(9, 9), Usage(4, 0), 1) == Usage(0, 9)


# --- who can ----------------------------------------------------------------------------------------------------------


def test_the_folder_of_a_language_says_whether_it_can() -> None:
    assert load("openai_chat") is not None
    assert load("anthropic_messages") is None
    assert load("openai_embeddings") is None  # a file
    assert load("klingon") is None


def test_a_module_that_is_missing_somewhere_else_is_no_language_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> None:
        raise ModuleNotFoundError(name, name="msgspec")

    monkeypatch.setattr(resuming, "import_module", fails)
    with pytest.raises(ModuleNotFoundError):
        load("other")


def test_a_torn_answer_is_no_fault_of_the_place_that_could_not_go_on() -> None:
    torn = Torn("torn")
    assert isinstance(torn, UpstreamTruncated)
    assert not torn.hurts_health
    assert not torn.try_elsewhere
