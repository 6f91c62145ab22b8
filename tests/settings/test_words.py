import pytest

from gateway.settings.words import is_model, is_name


@pytest.mark.parametrize("text", ["a", "vllm-fra-1", "eu.central_1", "9", "a" * 63])
def test_a_name_is_letters_digits_dot_dash_and_underscore(text: str) -> None:
    assert is_name(text)


@pytest.mark.parametrize("text", ["", "-a", ".a", "a b", "a/b", "a\n", "é", "a" * 64, "${X}"])
def test_anything_else_is_no_name(text: str) -> None:
    assert not is_name(text)


@pytest.mark.parametrize(
    "text", ["gpt-4o-mini", "meta-llama/Llama-3.1-8B", "llama3.2:1b", "openai/*", "*", "@cf/x"[1:]]
)
def test_a_model_may_have_a_path_and_a_star(text: str) -> None:
    assert is_model(text)


@pytest.mark.parametrize("text", ["", "/x", "a b", "a\n", "a?", "a[b]", "a{b}", "x" * 257, "ü"])
def test_anything_else_is_no_model(text: str) -> None:
    assert not is_model(text)
