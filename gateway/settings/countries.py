"""Countries as ISO 3166-1 alpha-2 codes (countries.txt), and the mend where somebody wrote something else."""

from functools import cache
from pathlib import Path

from gateway.settings.scalars import Unclear

# Codes in daily use that aren't the country's own (exceptionally reserved, or an old one).
MEANT = {"UK": "GB", "EL": "GR", "SU": "RU", "YU": "RS", "TP": "TL", "ZR": "CD", "BU": "MM", "FX": "FR", "AN": "CW"}
GROUPS = ("EU", "EEA", "EFTA")
ANYWHERE = "anywhere"


@cache
def countries() -> dict[str, str]:
    """Names by code, all 249 of them."""
    lines = Path(__file__).with_name("countries.txt").read_text("utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines)


def country(text: str) -> str:
    """A country's code as it was written. Unclear where it is none, with the code that was likely meant."""
    known = countries()
    if text in known:
        return text
    if text in GROUPS:
        raise Unclear(f"{text} is a group of countries", "name the one country, such as DE")
    code = text.upper()
    code = MEANT.get(code, code)
    if code in known:
        raise Unclear(f"{_shown(text)} isn't an ISO 3166-1 code", f"write {code} ({known[code]})")
    named = [code for code, name in known.items() if name.casefold() == text.casefold()]
    if named:
        raise Unclear(f"{_shown(text)} isn't an ISO 3166-1 code", f"write {named[0]}")
    raise Unclear(f"{_shown(text)} isn't a country", "write its two-letter ISO 3166-1 code, such as DE")


def jurisdiction(text: str) -> str:
    """A country's code, or one of the groups EU, EEA and EFTA."""
    if text in GROUPS:
        return text
    if text.upper() in GROUPS:
        raise Unclear(f"{text} isn't a jurisdiction", f"write {text.upper()}")
    return country(text)


def _shown(text: str) -> str:
    return text if len(text) <= 20 and text.isprintable() else "this"
