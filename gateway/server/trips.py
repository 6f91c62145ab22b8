"""How far callers are, by country: the mean round trip of the connections they came by (gateway/tcp_info.py)."""

from typing import Final

from msgspec import Struct

# How much the last measurement counts: as much as each of the first twenty, then this.
_GAIN: Final = 0.05


class Trip(Struct):
    """A mean round trip, and how often it was measured."""

    rtt_ms: float = 0.0
    samples: int = 0


class Trips:
    """Round trips to callers by their country. ISO countries are few, so this needs no bound."""

    def __init__(self) -> None:
        self._by_country: dict[str, Trip] = {}

    def note(self, country: str, measured_ms: float) -> None:
        """One connection more from a country."""
        trip = self._by_country.setdefault(country, Trip())
        trip.samples += 1
        trip.rtt_ms += max(_GAIN, 1 / trip.samples) * (measured_ms - trip.rtt_ms)

    def of(self, country: str) -> Trip | None:
        """What was measured of a country."""
        return self._by_country.get(country)
