"""GET /v1/pops: the POPs that may serve this key, the nearest to this caller first: for a client or a DNS to choose by.

Near is a short round trip: measured where there are measurements, else expected from the distance. A place that nobody
knows anything of counts as neither near nor far, so without any knowledge the configured order stays.
"""

from functools import cache
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct
from msgspec.json import Encoder

from gateway.exchange import Call
from gateway.routing.geo import UNKNOWN_RTT_MS, Location, rtt_ms, rtt_prior_ms
from gateway.server.trips import Trip, Trips
from gateway.settings.shape import Pop, Settings

CERTAIN: Final = 1_000_000  # samples, against which an expectation weighs nothing

_encode: Final = Encoder().encode


class Ranked(Struct):
    """One POP as this caller sees it; `rtt_ms` is None where not even his place is known."""

    name: str
    url: str
    region: str
    country: str
    rtt_ms: float | None
    measured: bool
    here: bool


class Measurements(Protocol):
    """Who knows round trips from a country to a POP."""

    def trip(self, country: str, pop: str) -> Trip | None: ...


class Own(Struct, frozen=True):
    """What this process alone has measured: the way to its own POP."""

    pop: str
    trips: Trips

    def trip(self, country: str, pop: str) -> Trip | None:
        """The mean round trip, None where nobody came from there, or it is another POP's."""
        return self.trips.of(country) if pop == self.pop else None


def answer(call: Call, settings: Settings, known: Measurements, own_ms: float | None) -> bytes:
    """The ranking as JSON. `own_ms` is the round trip of the connection that asks, where it is the caller's own."""
    origin = call.origin
    place = {name: text for name, text in (("region", origin.region), ("city", origin.city)) if text}
    return _encode({"pops": ranked(call, settings, known, own_ms), "country": call.country, **place})


def ranked(call: Call, settings: Settings, known: Measurements, own_ms: float | None = None) -> list[Ranked]:
    """The POPs that the key's team may be served by, the nearest first; those that are as near in configured order."""
    location = call.origin.location or centre(call.country)
    allowed = call.caller.require.jurisdictions if call.caller is not None else None
    rows = [
        _row(pop, settings.pop, location, _measured(pop, settings.pop, call.country, known, own_ms))
        for pop in settings.pops.values()
        if allowed is None or pop.country in allowed
    ]
    return sorted(rows, key=lambda row: UNKNOWN_RTT_MS if row.rtt_ms is None else row.rtt_ms)


def _measured(pop: Pop, here: str, country: str, known: Measurements, own_ms: float | None) -> Trip | None:
    if own_ms is not None and pop.name == here:
        # His own connection says more than those of others from his country.
        return Trip(own_ms, CERTAIN)
    return known.trip(country, pop.name) if country else None


def _row(pop: Pop, here: str, location: Location | None, trip: Trip | None) -> Ranked:
    expected = rtt_prior_ms(location, pop.location) if location is not None else None
    found: float | None = expected
    if trip is not None:
        found = trip.rtt_ms if expected is None else rtt_ms(expected, trip.rtt_ms, trip.samples)
    return Ranked(
        name=pop.name,
        url=pop.url,
        region=pop.region,
        country=pop.country,
        rtt_ms=None if found is None else round(found, 2),
        measured=trip is not None,
        here=pop.name == here,
    )


def centre(country: str) -> Location | None:
    """Where a country's people live, on average; None for an unknown one, and for those where nobody lives."""
    return _centres().get(country)


@cache
def _centres() -> dict[str, Location]:
    lines = Path(__file__).with_name("centres.txt").read_text("utf-8").splitlines()
    rows = (line.split() for line in lines if not line.startswith("#"))
    return {code: (float(latitude), float(longitude)) for code, latitude, longitude in rows}
