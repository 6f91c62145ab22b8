import pytest

from gateway.settings.scalars import Scalar, Unclear, plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("false", False),
        ("NO", "NO"),
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("Off", "Off"),
        ("y", "y"),
        ("2027-01-01", "2027-01-01"),
        ("0", 0),
        ("-0", 0),
        ("7", 7),
        ("+7", 7),
        ("-7", -7),
        ("9223372036854775807", 2**63 - 1),
        ("1e3", 1000.0),
        ("1E-3", 0.001),
        (".5", 0.5),
        ("5.", 5.0),
        ("0.50", 0.5),
        ("00.5", 0.5),
        ("-1.25", -1.25),
        ("10s", "10s"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("1.2.3", "1.2.3"),
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        (".5.", ".5."),
        ("-", "-"),
        ("+", "+"),
        (".", "."),
        ("1e", "1e"),
        ("e3", "e3"),
    ],
)
def test_a_bare_word_means_what_yaml_1_2_says(text: str, value: Scalar) -> None:
    found = plain(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("010", 'write 10, or "010" for text'),
        ("-007", 'write -7, or "-007" for text'),
        ("00", 'write 0, or "00" for text'),
        ("0o7", 'write 7, or "0o7" for text'),
        ("0x1F", 'write 31, or "0x1F" for text'),
        ("0b101", 'write 5, or "0b101" for text'),
        ("1_000", 'write 1000, or "1_000" for text'),
        ("1_0.5", 'write 10.5, or "1_0.5" for text'),
        ("12:30", 'write "12:30" for text'),
        ("12:30:45", 'write "12:30:45" for text'),
        ("-1:30.5", 'write "-1:30.5" for text'),
        (".inf", "write a finite number"),
        ("-.INF", "write a finite number"),
        (".NaN", "write a finite number"),
        ("True", 'write true, or "True" for text'),
        ("FALSE", 'write false, or "FALSE" for text'),
        ("9223372036854775808", "write a smaller one, or quote it for text"),
        ("1e999", "write a smaller one, or quote it for text"),
        ("9" * 5000, "write a smaller one, or quote it for text"),
        ("0." + "1" * 5000, "write a smaller one, or quote it for text"),
    ],
)
def test_what_two_readers_would_read_differently_is_refused_with_its_mend(text: str, mend: str) -> None:
    with pytest.raises(Unclear) as caught:
        plain(text)
    assert caught.value.mend == mend
    assert len(str(caught.value)) < 200
