"""GET /v1/pops: how far callers of a country are, by the kernel's own measurement of their connections."""

import asyncio

import pytest

from tests.live.callers import Pop, Ranking, client, ranking
from tests.live.places import DETOUR, HOMES, REGIONS, round_trip_ms
from tests.live.world import World

pytestmark = pytest.mark.real

CONNECTIONS = 60
CEILING_S = 60.0
# On a busy machine a packet may have to wait for its turn.
LATE_MS = 25.0


def to_pop(ranked: Ranking, name: str) -> Pop:
    return next(pop for pop in ranked.pops if pop.name == name)


def names(ranked: Ranking) -> list[str]:
    return [pop.name for pop in ranked.pops]


@pytest.mark.parametrize("country", HOMES)
async def test_a_callers_own_connection_says_how_far_the_pop_is_that_he_asks(world: World, country: str) -> None:
    for region in REGIONS:
        async with client(world, country) as session:
            ranked = await ranking(session, region)
        told = to_pop(ranked, region)
        trip_ms = round_trip_ms(country, region)
        assert ranked.country == country
        assert (told.measured, trip_ms is not None) == (True, True)
        assert told.rtt_ms is not None
        assert trip_ms is not None
        assert trip_ms <= told.rtt_ms <= trip_ms + LATE_MS
        assert names(ranked)[0] == HOMES[country].nearest


async def test_measured_round_trips_of_a_country_outweigh_the_map(
    world: World, figures_of_run: dict[str, object]
) -> None:
    """A proxy in Virginia asks for somebody in Brazil, before and after others from there connected by themselves."""
    async with client(world, "iad") as proxy:
        before = await ranking(proxy, "iad", DETOUR.address)
        mapped_ms, trip_ms = to_pop(before, "iad").rtt_ms, round_trip_ms(DETOUR.country, "iad")
        assert mapped_ms is not None
        assert trip_ms is not None
        blended_ms = (20 * mapped_ms + CONNECTIONS * trip_ms) / (20 + CONNECTIONS) - 1.0
        async with client(world, DETOUR.country, kept=False) as session, asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(ranking(session, "iad"))
        async with asyncio.timeout(CEILING_S):
            # A connection is measured when it ends, and what the map says counts as twenty of them.
            while (to_pop(after := await ranking(proxy, "iad", DETOUR.address), "iad").rtt_ms or 0.0) < blended_ms:
                pass
    figures_of_run["brazil"] = {
        when: {pop.name: pop.rtt_ms for pop in ranked.pops} for when, ranked in (("map", before), ("measured", after))
    }
    assert (before.country, after.country) == (DETOUR.country, DETOUR.country)
    assert names(before)[0] == "iad"
    assert not any(pop.measured for pop in before.pops)
    assert names(after)[0] == DETOUR.nearest
    assert [pop.name for pop in after.pops if pop.measured] == ["iad"]
