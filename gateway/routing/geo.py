"""How far places are from each other, and what that says of the time a packet needs: a prior, until it is measured."""

from collections.abc import Iterable
from math import asin, cos, radians, sin, sqrt
from typing import Final

Location = tuple[float, float]  # degrees of latitude and longitude

EARTH_KM: Final = 6371.0
# Light in fibre does 200 km a millisecond; routes are longer than the great circle. Fitted on IBM Cloud's table of
# 78 pairs of cities (routing 4.8): median error 13 %, and 20 % on another provider's table.
_BASE_MS: Final = 2.0
_MS_PER_KM: Final = 0.0165
# Nothing is known of where it is: neither near nor the other side of the world.
UNKNOWN_RTT_MS: Final = 80.0

_EU: Final = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split()  # noqa: SIM905  (a list of words reads worse)
)
_EFTA: Final = frozenset({"CH", "IS", "LI", "NO"})
# Member states: european-union.europa.eu and efta.int, 2026. Overseas territories have ISO codes of their own, and are
# not meant by their state's.
GROUPS: Final = {"EU": _EU, "EEA": _EU | {"IS", "LI", "NO"}, "EFTA": _EFTA}
ANYWHERE: Final = "anywhere"


def countries(jurisdictions: Iterable[str]) -> frozenset[str]:
    """ISO country codes, and the groups EU, EEA and EFTA, as countries."""
    found: set[str] = set()
    for name in jurisdictions:
        found |= GROUPS.get(name, frozenset({name}))
    return frozenset(found)


def kilometres(here: Location, there: Location) -> float:
    """The great circle between two places."""
    up, down = radians(here[0]), radians(there[0])
    turned = sin((down - up) / 2) ** 2 + cos(up) * cos(down) * sin(radians(there[1] - here[1]) / 2) ** 2
    return 2 * EARTH_KM * asin(min(1.0, sqrt(turned)))


def rtt_prior_ms(here: Location | None, there: Location | None) -> float:
    """What a round trip between two places is expected to take before anybody has measured it."""
    if here is None or there is None:
        return UNKNOWN_RTT_MS
    return _BASE_MS + _MS_PER_KM * kilometres(here, there)


def rtt_ms(prior_ms: float, measured_ms: float, samples: int, *, weight: int = 20) -> float:
    """A measured round trip, believed the more the oftener it was measured: the prior counts as `weight` samples."""
    return (weight * prior_ms + samples * measured_ms) / (weight + samples)
