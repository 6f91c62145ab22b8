import pytest

from gateway.mock.options import MockOptions, seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"), [("80ms", 0.08), ("2s", 2.0), ("1.5s", 1.5), ("1m", 60.0), ("250us", 0.00025), ("0", 0.0)]
)
def test_a_duration_has_a_unit(text: str, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["80", "ms", "-1s", "1h", "1 s", "", "1s "])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        seconds_of(text)


def test_a_language_without_answers_is_refused() -> None:
    with pytest.raises(ValueError, match="openai_chat, not 'latin'"):
        MockOptions(speaks="latin")


def test_a_server_without_slots_is_refused() -> None:
    with pytest.raises(ValueError, match="slots must be at least 1"):
        MockOptions(slots=0)


def test_time_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="tpot_s must not be negative"):
        MockOptions(tpot_s=-0.1)
