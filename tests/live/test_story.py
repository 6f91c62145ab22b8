"""Three POPs and six model servers on three continents: where callers are answered from, whatever happens to those."""

import asyncio

import pytest
from msgspec import to_builtins

from tests.live.conftest import KEPT
from tests.live.figures import LOSING_S, Figures, figures
from tests.live.places import HOMES
from tests.live.story import KILLED, Record, tell
from tests.live.world import World

pytestmark = pytest.mark.real

# Two looks in a row, a second and a tenth apart, of which the second is waited for a second (docs/probes.md).
DETECTION_S = 3.2


@pytest.fixture(scope="module")
def told(world: World) -> Record:
    record = asyncio.run(tell(world))
    record.write(KEPT)
    return record


@pytest.fixture(scope="module")
def seen(told: Record) -> Figures:
    return figures(told)


def test_the_run_is_told_in_figures(seen: Figures, figures_of_run: dict[str, object]) -> None:
    figures_of_run["routing"] = to_builtins(seen)
    assert seen.requests > 0


def test_callers_of_three_countries_are_answered_from_the_nearest_region(told: Record, seen: Figures) -> None:
    nearest = {country: home.nearest for country, home in HOMES.items()}
    assert seen.pops == nearest
    assert {(one.country, one.pop) for one in told.answers if one.status} == set(nearest.items())
    # One request in a hundred goes to see how a place is of which nothing is known any more.
    assert min(seen.nearest.values()) >= 0.9, seen.nearest


def test_a_server_that_is_five_times_slower_loses_its_traffic_within_ten_seconds(seen: Figures) -> None:
    assert seen.slowed_from_per_s > 0
    assert seen.slowed_lost >= 0.8
    assert seen.slowed_lost_after_s <= LOSING_S


def test_a_server_that_is_as_fast_as_before_has_its_traffic_again(seen: Figures) -> None:
    assert seen.healed > 0.1


def test_what_is_too_much_for_a_region_goes_to_the_next_and_no_more_than_that(seen: Figures) -> None:
    assert seen.kept_of_capacity >= 0.8
    assert seen.spilt > 0.1
    assert seen.spilt_to_next >= 0.6
    # And those who live there aren't driven out.
    assert min(seen.others_at_home.values()) >= 0.6, seen.others_at_home


def test_nobody_without_content_notices_that_a_region_was_killed(told: Record, seen: Figures) -> None:
    assert seen.failed == 0
    broken = [one for one in told.answers if one.outcome == "broken"]
    assert [one for one in broken if one.backend not in KILLED or one.sent > told.at["killed"]] == []


def test_a_killed_region_is_left_within_the_time_that_a_failure_needs_to_be_detected(seen: Figures) -> None:
    assert seen.left_after_s <= DETECTION_S
    assert seen.dead_next >= 0.6


def test_a_region_that_is_back_is_not_flooded_and_has_all_of_its_share_a_minute_later(seen: Figures) -> None:
    shares = seen.back_shares
    # Each of its two servers begins with a tenth.
    assert 0.0 < shares[0] < 0.5, shares
    first, middle, last = (sum(shares[at : at + 2]) / 2 for at in (0, 2, 4))
    assert first < middle < last, shares
    assert max(shares[-2:]) >= 0.8, shares
