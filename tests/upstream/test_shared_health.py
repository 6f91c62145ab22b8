"""What every implementation of the shared health must do: each subclasses the contract and gives it a `fleet`."""

import pytest
from msgspec import Struct

from gateway.clock import HandClock
from gateway.upstream.probes.reading import Reading
from gateway.upstream.shared_health import GONE_S, LEASE_S, MemoryHealth, Share, SharedHealth

BUSY = Share(in_flight=3, waiting_tokens=900.0)
READING = Reading(alive=True, running=4.0, models=frozenset({"m"}))


class Fleet(Struct):
    """An implementation, and the time as it and its callers see it."""

    health: SharedHealth
    clock: HandClock

    @property
    def now(self) -> float:
        return self.clock.monotonic()


class SharedHealthContract:
    """The tests. `advance` of the fleet's clock moves the time that leases and ages are reckoned by."""

    async def test_the_first_who_asks_leads_and_goes_on_leading(self, fleet: Fleet) -> None:
        assert await fleet.health.lead("eu", "one", fleet.now)
        fleet.clock.advance(LEASE_S - 0.5)
        assert await fleet.health.lead("eu", "one", fleet.now)
        fleet.clock.advance(LEASE_S - 0.5)
        assert await fleet.health.lead("eu", "one", fleet.now)

    async def test_there_is_one_leader_a_region_and_one_for_each(self, fleet: Fleet) -> None:
        assert await fleet.health.lead("eu", "one", fleet.now)
        assert not await fleet.health.lead("eu", "two", fleet.now)
        assert await fleet.health.lead("us", "two", fleet.now)

    async def test_who_stops_asking_leads_no_more_when_his_lease_ends(self, fleet: Fleet) -> None:
        await fleet.health.lead("eu", "one", fleet.now)
        fleet.clock.advance(LEASE_S - 0.5)
        assert not await fleet.health.lead("eu", "two", fleet.now)
        fleet.clock.advance(1.0)
        assert await fleet.health.lead("eu", "two", fleet.now)
        assert not await fleet.health.lead("eu", "one", fleet.now)

    async def test_what_one_says_everybody_reads(self, fleet: Fleet) -> None:
        await fleet.health.publish("one", {"b": BUSY}, fleet.now)
        await fleet.health.publish("two", {"b": Share(in_flight=1), "c": BUSY}, fleet.now)
        said = await fleet.health.read(fleet.now)
        assert {who: dict(shares) for who, shares in said.items()} == {
            "one": {"b": BUSY},
            "two": {"b": Share(in_flight=1), "c": BUSY},
        }

    async def test_what_one_says_replaces_what_he_said(self, fleet: Fleet) -> None:
        await fleet.health.publish("one", {"b": BUSY, "c": BUSY}, fleet.now)
        await fleet.health.publish("one", {"b": Share()}, fleet.now)
        assert dict((await fleet.health.read(fleet.now))["one"]) == {"b": Share()}

    async def test_a_reading_grows_older_while_it_lies_there(self, fleet: Fleet) -> None:
        await fleet.health.publish("one", {"b": Share(reading=READING, age_s=0.5)}, fleet.now)
        fleet.clock.advance(0.25)
        share = (await fleet.health.read(fleet.now))["one"]["b"]
        assert share.reading == READING
        assert share.age_s == pytest.approx(0.75, abs=0.1)

    async def test_a_gateway_that_died_has_no_load(self, fleet: Fleet) -> None:
        await fleet.health.publish("one", {"b": BUSY}, fleet.now)
        fleet.clock.advance(GONE_S + 0.5)
        await fleet.health.publish("two", {"b": BUSY}, fleet.now)
        assert [*(await fleet.health.read(fleet.now))] == ["two"]

    async def test_what_cools_for_one_cools_for_all_until_its_time(self, fleet: Fleet) -> None:
        until = fleet.now + 10.0
        await fleet.health.cool("b", until, fleet.now)
        assert await fleet.health.cooling(fleet.now) == {"b": pytest.approx(until, abs=0.1)}
        fleet.clock.advance(11.0)
        assert await fleet.health.cooling(fleet.now) == {}

    @pytest.mark.parametrize("seconds", [(10.0, 30.0), (30.0, 10.0)])
    async def test_of_two_times_to_cool_the_later_holds(self, fleet: Fleet, seconds: tuple[float, float]) -> None:
        for left_s in seconds:
            await fleet.health.cool("b", fleet.now + left_s, fleet.now)
        assert await fleet.health.cooling(fleet.now) == {"b": pytest.approx(fleet.now + 30.0, abs=0.1)}

    async def test_cooling_outlives_who_asked_for_it(self, fleet: Fleet) -> None:
        await fleet.health.publish("one", {"b": BUSY}, fleet.now)
        await fleet.health.cool("b", fleet.now + 10.0, fleet.now)
        fleet.clock.advance(GONE_S + 1.0)
        assert "b" in await fleet.health.cooling(fleet.now)


class TestMemoryHealth(SharedHealthContract):
    @pytest.fixture
    def fleet(self) -> Fleet:
        return Fleet(MemoryHealth(), HandClock())
