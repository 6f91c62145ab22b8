import pytest
from msgspec.json import encode

from gateway.wire.anthropic_messages.shapes import NAME
from gateway.wire.anthropic_messages.thought import open_seal, proof, seal
from gateway.wire.ir import Thinking
from gateway.wire.signing import is_sealed_elsewhere


@pytest.mark.parametrize(
    "thought",
    [
        Thinking("hm", signature="EqQB", origin=NAME),
        Thinking("hm", signature="CiQ=", origin="gemini"),
        Thinking("hm", signature="CiQ=", redacted="gAAA", origin="openai_responses", id="rs_1"),
        Thinking("hm", origin="openai_responses", id="rs_1", summary=True),
        Thinking("hm", signature="CiQ=", origin="openai_responses", summary=True),
        Thinking("hm"),
    ],
)
def test_a_thought_with_words_comes_back_as_it_was(thought: Thinking) -> None:
    assert open_seal(thought.text, seal(thought, NAME), NAME, hidden=False) == thought


@pytest.mark.parametrize(
    "thought",
    [
        Thinking(redacted="EqQB", origin=NAME),
        Thinking(redacted="gAAA", origin="openai_responses"),
        Thinking(redacted="gAAA", origin="openai_responses", id="rs_1", summary=True),
    ],
)
def test_a_hidden_thought_comes_back_as_it_was(thought: Thinking) -> None:
    assert open_seal("", seal(thought, NAME), NAME, hidden=True) == thought


def test_anthropics_own_signature_is_said_bare() -> None:
    assert seal(Thinking("hm", signature="Eq~~~QB", origin=NAME), NAME) == "Eq~~~QB"
    assert seal(Thinking("hm", signature="CiQ=", origin="gemini"), NAME) == "gw1.gemini.CiQ="


@pytest.mark.parametrize("origin", ["", NAME, "openai_chat"])
def test_a_thought_that_nobody_signed_is_shown_with_a_mark_that_keeps_it_from_anthropic(origin: str) -> None:
    """Clients give no thought back that has no signature, and Anthropic takes none that it didn't sign."""
    mark = proof(Thinking("hm", origin=origin), NAME)
    assert is_sealed_elsewhere(encode({"signature": mark}))
    assert open_seal("hm", mark, NAME, hidden=False) == Thinking("hm")


def test_a_signed_thought_is_shown_with_its_seal() -> None:
    thought = Thinking("hm", signature="CiQ=", origin="gemini")
    assert proof(thought, NAME) == seal(thought, NAME)
