import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings.countries import GROUPS, MEANT, countries, country, jurisdiction
from gateway.settings.scalars import Unclear


def refused(text: str) -> str:
    with pytest.raises(Unclear) as caught:
        country(text)
    return str(caught.value)


def test_there_are_249_countries_and_each_is_taken_as_written() -> None:
    assert len(countries()) == 249
    assert all(len(code) == 2 and code.isascii() and code.isupper() for code in countries())
    assert [country(code) for code in countries()] == list(countries())


def test_no_is_norway() -> None:
    assert country("NO") == "NO"
    assert countries()["NO"] == "Norway"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no", "no isn't an ISO 3166-1 code; write NO (Norway)"),
        ("de", "de isn't an ISO 3166-1 code; write DE (Germany)"),
        ("De", "De isn't an ISO 3166-1 code; write DE (Germany)"),
        ("UK", "UK isn't an ISO 3166-1 code; write GB (United Kingdom)"),
        ("uk", "uk isn't an ISO 3166-1 code; write GB (United Kingdom)"),
        ("EL", "EL isn't an ISO 3166-1 code; write GR (Greece)"),
        ("Germany", "Germany isn't an ISO 3166-1 code; write DE"),
        ("EU", "EU is a group of countries; name the one country, such as DE"),
        ("XX", "XX isn't a country; write its two-letter ISO 3166-1 code, such as DE"),
        ("DEU", "DEU isn't a country; write its two-letter ISO 3166-1 code, such as DE"),
        ("", " isn't a country; write its two-letter ISO 3166-1 code, such as DE"),
        ("a\nb", "this isn't a country; write its two-letter ISO 3166-1 code, such as DE"),
    ],
)
def test_what_is_no_country_is_refused_with_the_one_that_was_meant(text: str, words: str) -> None:
    assert refused(text) == words


def test_codes_that_were_meant_lead_to_countries_and_are_none_themselves() -> None:
    assert set(MEANT.values()) <= set(countries())
    assert not set(MEANT) & set(countries())
    assert not set(GROUPS) & set(countries())


@given(st.text(max_size=10))
def test_only_a_known_code_is_ever_taken(text: str) -> None:
    if text in countries():
        assert country(text) == text
    else:
        assert refused(text)


def test_a_jurisdiction_is_a_country_or_a_group() -> None:
    assert [jurisdiction(word) for word in ("NO", "EU", "EEA", "EFTA")] == ["NO", "EU", "EEA", "EFTA"]
    for text, words in (("eu", "eu isn't a jurisdiction; write EU"), ("UK", "UK isn't an ISO")):
        with pytest.raises(Unclear, match=words):
            jurisdiction(text)
