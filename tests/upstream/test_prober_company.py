"""Several gateways: one of a region looks, all of them know; and what they have at a backend beside that."""

from gateway.upstream.prober import TRUSTED_S
from gateway.upstream.probes.reading import UNKNOWN
from gateway.upstream.shared_health import GONE_S, LEASE_S
from tests.upstream.probing import TICK_S, probing, server
from tests.upstream.scripted import Upstream, sized

PAIR = ("one", "two")
HEALTHY = sized(b"")
METRICS = sized(b"vllm:num_requests_running 2\nvllm:num_requests_waiting 1\nvllm:kv_cache_usage_perc 0.5\n")
MODELS = sized(b'{"data":[{"id":"m"}]}')
LOOKS = [HEALTHY, METRICS, MODELS, *[HEALTHY, METRICS] * 4] * 4


async def test_one_of_a_region_looks_and_the_other_hears_of_it() -> None:
    async with Upstream(*LOOKS) as upstream, probing(server("b", upstream.url), who=PAIR) as fleet:
        reading = await fleet["one"].look()
        read_at = fleet.clock.monotonic()
        await fleet.pass_time(TICK_S)
        assert fleet.leaders == ["one"]
        assert fleet["two"].ears.readings == [("b", reading, read_at)]
        assert fleet["two"].ears.looks == []
        assert len(upstream.peers) == 1


async def test_what_was_heard_once_is_not_told_again() -> None:
    async with Upstream(*LOOKS) as upstream, probing(server("b", upstream.url), who=PAIR) as fleet:
        await fleet["one"].look()
        await fleet.pass_time(3 * TICK_S)
        assert len(fleet["two"].ears.readings) == 1


async def test_gateways_of_two_regions_both_look() -> None:
    async with (
        Upstream(*LOOKS) as upstream,
        probing(server("b", upstream.url), who=PAIR, regions=("eu", "us")) as fleet,
    ):
        await fleet["one"].look()
        await fleet["two"].look()
        assert fleet.leaders == ["one", "two"]


async def test_when_the_one_who_looks_dies_another_does_so_within_its_lease() -> None:
    async with Upstream(*LOOKS) as upstream, probing(server("b", upstream.url), who=PAIR) as fleet:
        await fleet["one"].look()
        await fleet.tick("two")
        await fleet.pass_time(LEASE_S - TICK_S, "two")
        assert fleet.leaders == ["one"]
        heard = len(fleet["two"].ears.readings)
        await fleet.pass_time(2 * TICK_S, "two")
        assert "two" in fleet.leaders
        await fleet["two"].ears.until(lambda: len(fleet["two"].ears.readings) > heard)


async def test_who_comes_back_does_not_take_the_lead_from_another() -> None:
    async with Upstream(*LOOKS) as upstream, probing(server("b", upstream.url), who=PAIR) as fleet:
        await fleet["one"].look()
        await fleet.pass_time(LEASE_S + TICK_S, "two")
        await fleet.tick()
        assert fleet.leaders == ["two"]
        assert fleet["one"].ears.lefts == 1


async def test_without_anybody_who_looks_what_was_heard_is_no_longer_trusted() -> None:
    async with Upstream(*LOOKS) as upstream, probing(server("b", upstream.url), who=PAIR) as fleet:
        await fleet["one"].look()
        read_at = fleet.clock.monotonic()
        await fleet.tick("two")
        fleet["two"].prober._servers["b"].busy = True  # it leads soon and gets no further
        await fleet.pass_time(TRUSTED_S + TICK_S, "two")
        assert fleet["two"].ears.readings[1:] == [("b", UNKNOWN, read_at)]


async def test_each_knows_what_all_others_have_at_a_backend() -> None:
    async with (
        Upstream(*LOOKS) as upstream,
        probing(server("b", upstream.url), who=("one", "two", "three")) as fleet,
    ):
        fleet["one"].ears.mine["b"] = (3, 900.0)
        fleet["two"].ears.mine["b"] = (4, 100.0)
        await fleet.tick()
        await fleet.tick()
        assert fleet["three"].ears.others["b"] == (7, 1000.0)
        assert fleet["one"].ears.others["b"] == (4, 100.0)


async def test_also_of_backends_that_nobody_looks_at() -> None:
    theirs = server("theirs", "https://api.example", tier="external")
    async with probing(theirs, who=PAIR) as fleet:
        fleet["one"].ears.mine["theirs"] = (3, 900.0)
        await fleet.tick()
        assert fleet["two"].ears.others["theirs"] == (3, 900.0)


async def test_the_load_of_a_gateway_that_died_vanishes_by_itself() -> None:
    async with Upstream(*LOOKS) as upstream, probing(server("b", upstream.url), who=PAIR) as fleet:
        fleet["one"].ears.mine["b"] = (3, 900.0)
        await fleet.tick()
        assert fleet["two"].ears.others["b"] == (3, 900.0)
        await fleet.pass_time(GONE_S + TICK_S, "two")
        assert fleet["two"].ears.others["b"] == (0, 0.0)


async def test_what_one_lets_cool_all_let_cool_and_the_longest_holds() -> None:
    async with Upstream(*LOOKS) as upstream, probing(server("b", upstream.url), who=PAIR) as fleet:
        now = fleet.clock.monotonic()
        fleet["one"].ears.cooling["b"] = now + 10.0
        fleet["two"].ears.cooling["b"] = now + 30.0
        await fleet.tick()
        await fleet.tick()
        assert fleet["one"].ears.cooling["b"] == now + 30.0
        assert fleet["two"].ears.cooling["b"] == now + 30.0
        assert fleet["one"].ears.told_to_cool == [("b", now + 30.0)]
        await fleet.pass_time(31.0)
        assert fleet["one"].ears.told_to_cool == [("b", now + 30.0)]


async def test_a_time_to_cool_that_comes_back_a_little_later_is_the_same_one() -> None:
    async with Upstream(*LOOKS) as upstream, probing(server("b", upstream.url), who=PAIR) as fleet:
        now = fleet.clock.monotonic()
        fleet["one"].ears.cooling["b"] = now + 10.0
        fleet["two"].ears.cooling["b"] = now + 10.05
        await fleet.tick()
        await fleet.tick()
        assert fleet["one"].ears.told_to_cool == fleet["two"].ears.told_to_cool == []


async def test_without_company_only_readings_are_shared() -> None:
    async with Upstream(*LOOKS) as upstream, probing(server("b", upstream.url), who=PAIR, lonely=True) as fleet:
        await fleet["one"].look()
        await fleet.pass_time(TICK_S)
        assert len(fleet["two"].ears.readings) == 1
        assert fleet["two"].ears.others == {}
