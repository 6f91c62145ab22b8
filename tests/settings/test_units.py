import pytest

from gateway.settings.scalars import Unclear
from gateway.settings.units import seconds, size


@pytest.mark.parametrize(
    ("text", "value"),
    [("80ms", 0.08), ("10s", 10.0), ("1.5s", 1.5), ("5m", 300.0), ("1h", 3600.0), ("30d", 2_592_000.0), ("10 s", 10.0)],
)
def test_a_duration_is_its_number_times_its_unit(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("512B", 512), ("64KiB", 65536), ("32MiB", 33554432), ("1GiB", 1 << 30), ("1.5KiB", 1536)]
)
def test_a_size_is_its_number_times_its_unit(text: str, value: int) -> None:
    assert size(text) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10", "10 has no unit; a duration carries one: write 10s"),
        ("10 sec", "sec isn't a unit of a duration; write one of ms, s, m, h, d"),
        ("-5s", "isn't a duration; write 10s, 80ms, 5m, 1h or 30d"),
        ("soon", "isn't a duration; write 10s, 80ms, 5m, 1h or 30d"),
        ("1e9s", "isn't a duration; write 10s, 80ms, 5m, 1h or 30d"),
        ("", "isn't a duration; write 10s, 80ms, 5m, 1h or 30d"),
        ("1" * 400 + "s", "isn't a duration; write 10s, 80ms, 5m, 1h or 30d"),
    ],
)
def test_what_is_no_duration_is_refused_with_its_mend(text: str, words: str) -> None:
    with pytest.raises(Unclear) as caught:
        seconds(text)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("32", "32 has no unit; a size carries one: write 32MiB"),
        ("32MB", "32MB: sizes are in powers of 1024 here; write 32MiB"),
        ("32G", "32G: sizes are in powers of 1024 here; write 32GiB"),
        ("3 parsecs", "parsecs isn't a unit of a size; write one of B, KiB, MiB, GiB"),
        ("big", "isn't a size; write 32MiB, 64KiB or 512B"),
    ],
)
def test_what_is_no_size_is_refused_with_its_mend(text: str, words: str) -> None:
    with pytest.raises(Unclear) as caught:
        size(text)
    assert str(caught.value) == words
