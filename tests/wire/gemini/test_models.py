import pytest

from gateway.wire.gemini.models import is_before_3, thinks


@pytest.mark.parametrize(
    ("model", "old", "thinking"),
    [
        ("gemini-1.5-flash", True, False),
        ("gemini-pro-vision", True, False),
        ("gemini-2.0-flash-exp", True, False),
        ("gemini-2.5-pro", True, True),
        ("models/gemini-2.5-flash-lite", True, True),
        ("google/gemma-3-27b-it", True, False),
        ("gemini-3-flash-preview", False, True),
        ("gemini-3.1-flash-lite", False, True),
        ("gemini-flash-latest", False, True),
        ("another", False, True),
    ],
)
def test_a_name_tells_what_a_model_can(model: str, *, old: bool, thinking: bool) -> None:
    assert is_before_3(model) is old
    assert thinks(model) is thinking
