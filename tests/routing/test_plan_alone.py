"""One place alone is decided the short way: never otherwise than the long one would."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.routing.plan import plan, route
from gateway.routing.policy import Rules
from gateway.routing.snapshot import FOR_EVER, Load, Snapshot
from tests.routing.places import NOW, WORK, fleet, rules

loads = st.builds(
    Load,
    in_flight=st.integers(0, 9),
    shut=st.sampled_from(["", "ejected", "cooling", "drained"]),
    shut_until=st.sampled_from([0.0, NOW.monotonic - 1.0, NOW.monotonic + 1.0]),
    half_open=st.booleans(),
    probing=st.booleans(),
    most=st.sampled_from([FOR_EVER, 4.0]),
    models=st.sampled_from([None, frozenset(("m",)), frozenset(("other",))]),
)


@given(rules(), loads, st.booleans(), st.integers(0, (1 << 64) - 1))
def test_the_short_way_decides_as_the_long_one_does(told: Rules, load: Load, refused: bool, draw: int) -> None:
    [one] = fleet("a")
    way = route([one], told)
    here = frozenset({(one.backend, one.model)}) if refused else frozenset()
    seen = Snapshot(loads={"a": load}, refused_here=here)
    assert plan(WORK, way, seen, NOW, draw) == plan(WORK, replace(way, alone=None), seen, NOW, draw)


def test_there_is_no_short_way_where_there_is_anything_to_choose() -> None:
    assert route(fleet("a"), Rules()).alone is not None
    assert route(fleet("a", "b"), Rules()).alone is None
