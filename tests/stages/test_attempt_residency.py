"""What must stay is asserted again where its bytes would leave, whoever planned it and by whatever path."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from gateway.errors import RESIDENCY, Bug, UpstreamTruncated
from gateway.routing.policy import Hedge, Require, Rules
from gateway.upstream.catalogue import Place
from tests.stages.breaking import HALF, REST, breaks
from tests.stages.breaking import ground as breaking
from tests.stages.test_attempt import ground
from tests.stages.test_attempt_hedged import hedged

STAYS = Rules(require=Require(jurisdictions=frozenset({"DE"})))


def standing_in(place: Place, *countries: str) -> Place:
    return replace(place, candidate=replace(place.candidate, processes_in=frozenset(countries)))


def leading_out(places: Sequence[Place]) -> list[Place]:
    """Places inside, with another path each that leads outside: nobody but the last look sees it."""
    return [replace(standing_in(place, "DE"), others=(standing_in(place, "US"),)) for place in places]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_place_that_may_not_see_it_is_not_even_written_for(stream: bool) -> None:
    async with ground("") as on:
        with pytest.raises(Bug) as told:
            await hedged(on, STAYS, stream=stream, places=[standing_in(on.plan[0], "DE", "US")])
        assert (told.value.reason, on.tries) == (RESIDENCY, [])
        assert on.servers[0].ledger.request_count == 0


@pytest.mark.parametrize("hedge", [None, Hedge(after_ms=1.0, budget=1.0)])
@pytest.mark.parametrize("stream", [True, False])
async def test_nothing_is_dialled_that_leads_outside(hedge: Hedge | None, *, stream: bool) -> None:
    async with ground("", "") as on:
        with pytest.raises(Bug) as told:
            await hedged(on, replace(STAYS, hedge=hedge), stream=stream, places=leading_out(on.plan))
        assert (told.value.reason, on.tries) == (RESIDENCY, [("first", RESIDENCY)])
        assert [attempt.sent for attempt in on.exchange.attempts] == [0.0]
        assert [server.ledger.connections for server in on.servers] == [0, 0]
        await on.is_quiet()


async def test_a_broken_stream_does_not_go_on_outside() -> None:
    async with breaking(breaks(*HALF), REST) as on:
        on.rules = replace(STAYS, resume=True)
        first, second = on.plan
        on.plan = [standing_in(first, "DE"), *leading_out([second])]
        assert await on.breaks_off(UpstreamTruncated) == "upstream_truncated"
        assert on.tries == [("first", "upstream_truncated"), ("second", RESIDENCY)]
        assert [one.connections for one in on.providers] == [1, 0]
