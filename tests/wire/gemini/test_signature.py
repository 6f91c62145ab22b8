from base64 import b64decode, b64encode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.gemini.signature import SKIP, own, read, show, standard
from gateway.wire.ir import Thinking

WORDS = st.text(st.characters(codec="ascii", categories=("L", "N", "P")), max_size=40)


def test_geminis_own_signature_is_said_bare() -> None:
    assert show(Thinking("x", "c2ln", origin="gemini")) == "c2ln"
    assert read("c2ln", "x") == Thinking("x", "c2ln", origin="gemini")


def test_a_thought_without_a_signature_has_nothing_to_keep() -> None:
    assert show(Thinking("x", origin="anthropic_messages")) == ""
    assert read("", "x") == Thinking("x")


@given(
    WORDS.filter(bool), WORDS, WORDS, st.booleans(), st.sampled_from(["anthropic_messages", "openai_responses", "x_y"])
)
def test_a_foreign_thought_comes_back_as_it_went(
    signature: str, redacted: str, name: str, summary: bool, origin: str
) -> None:
    thinking = Thinking("words", signature, redacted, origin, name, summary)
    shown = show(thinking)
    assert read(shown, "words") == thinking
    # Google's clients hold it as bytes, and write those in their own alphabet.
    assert read(urlsafe_b64encode(b64decode(shown, validate=True)).decode(), "words") == thinking


def test_redacted_alone_is_kept_too() -> None:
    thinking = Thinking("", "", "sealed", "anthropic_messages")
    assert read(show(thinking)) == thinking


def test_openrouters_encrypted_data_is_geminis_signature() -> None:
    assert own(Thinking("", "", "c2ln", "gemini")) == "c2ln"
    assert show(Thinking("", "", "c2ln", "gemini")) == "c2ln"


@pytest.mark.parametrize("sentence", [SKIP, "skip_thought_signature_validator", "context_engineering_is_the_way_to_go"])
def test_a_sentence_for_a_missing_signature_is_none(sentence: str) -> None:
    assert read(sentence) == Thinking("")


@pytest.mark.parametrize(
    "looks_packed",
    ["Z3cxLx", b64encode(b"gw1.\xff\xff").decode(), b64encode(b"gw1.a.no json").decode(), "Z3cxL" + "A" * 4 + "é"],
)
def test_what_only_looks_packed_is_geminis(looks_packed: str) -> None:
    assert read(looks_packed) == Thinking("", looks_packed, origin="gemini")


@given(st.binary(max_size=20))
def test_base64_is_brought_to_the_usual_alphabet(data: bytes) -> None:
    assert standard(urlsafe_b64encode(data).decode().rstrip("=")) == b64encode(data).decode()
