"""A calm day is decided the short way: never otherwise than the long one would."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.routing.calm import calm
from gateway.routing.candidate import Candidate
from gateway.routing.facts import Now, Work
from gateway.routing.plan import plan, route
from gateway.routing.policy import OBJECTIVES, Rules, Slo, Split, Sticky
from gateway.routing.snapshot import FOR_EVER, Home, Load, Pace, Snapshot
from tests.routing.places import LATENCY, NOW, WORK, fleet, mostly

some = st.floats(0.0, 2000.0)
loads = st.builds(
    Load,
    in_flight=st.integers(0, 6),
    waiting_tokens=st.sampled_from([0.0, 300.0]),
    reported=mostly(None, 0.0, 2.0),
    queued=mostly(0.0, 1.0),
    shut_until=mostly(0.0, NOW.monotonic - 1.0, NOW.monotonic + 1.0),
    half_open=mostly(False, True),
    since=mostly(-FOR_EVER, NOW.monotonic - 61.0, NOW.monotonic - 59.0),
    rtt_ms=st.sampled_from([0.0, 3.0, 30.0]),
    held_ms=mostly(0.0, 500.0),
    most=mostly(FOR_EVER, 4.0),
    models=mostly(None, frozenset(("m",)), frozenset(("other",))),
    only_here=mostly(0, 1),
)
paces = st.builds(Pace, slow=mostly(1.0, 0.5, 3.0), each=mostly(0.0, 7.0), ms_per_token_in=mostly(0.0, 0.2), at=some)
places = st.lists(
    st.builds(
        Candidate,
        at=st.just(0),
        backend=st.just(""),
        model=st.just("m"),
        slots=st.sampled_from([0, 8, 1]),
        weight=mostly(1.0, 2.0),
        usd_per_token_out=mostly(0.0, 1e-6, 3e-6),
        rtt_ms=st.sampled_from([5.0, 10.0, 80.0]),
        capabilities=mostly(frozenset[str](), frozenset(("vision",))),
    ),
    min_size=1,
    max_size=8,
).map(lambda found: [replace(one, at=at, backend=f"b{at}") for at, one in enumerate(found)])
rules = st.builds(
    Rules,
    prefer=st.sampled_from([OBJECTIVES["latency"], OBJECTIVES["balanced"]]),
    affinity=st.sampled_from([Sticky(), Sticky("prefix"), Sticky("session")]),
    queue_s=mostly(0.0, 1.0),
)
works = st.builds(
    Work,
    tokens_in=st.integers(0, 2000),
    tokens_out=st.floats(1.0, 500.0),
    capabilities=mostly(frozenset[str](), frozenset(("vision",))),
    session=st.sampled_from([0, 7]),
    prefix=st.sampled_from([0, 9]),
    left_ms=mostly(600_000.0, 300.0),
    stream=st.booleans(),
)


@given(places, rules, works, st.data(), st.integers(0, (1 << 64) - 1))
def test_the_short_way_decides_as_the_long_one_does(
    group: list[Candidate], told: Rules, work: Work, data: st.DataObject, draw: int
) -> None:
    way = route(group, told)
    seen = Snapshot(
        {one.backend: data.draw(loads) for one in group},
        {(one.backend, "m"): data.draw(paces) for one in group if data.draw(st.booleans())},
        {key: Home(data.draw(st.sampled_from(group)).backend, 990.0) for key in (7, 9) if data.draw(st.booleans())},
        refused_here=data.draw(mostly(frozenset[tuple[str, str]](), frozenset({("b0", "m")}))),
        cooling=data.draw(mostly(dict[tuple[str, str], float](), {("b0", "m"): 1010.0}, {("b0", "m"): 990.0})),
    )
    assert plan(work, way, seen, NOW, draw) == plan(work, replace(way, calm=False), seen, NOW, draw)


def test_it_is_gone_where_one_group_is_all_there_is_and_its_rules_look_at_no_more() -> None:
    few = fleet("a", "b")
    assert route(few, Rules()).calm
    assert not route(fleet(*"abcdefghi"), Rules()).calm
    assert not route([few[0], replace(few[1], order=1)], Rules()).calm
    for told in (
        Rules(slo=Slo(ttft_ms=300.0)),
        Rules(split=(Split("canary", "b", 5.0),)),
        Rules(priority="low"),
        Rules(prefer=OBJECTIVES["carbon"]),
        Rules(prefer=replace(LATENCY.prefer, regions=frozenset(("eu",)))),
    ):
        assert not route(few, told).calm


def test_a_usual_day_is_calm() -> None:
    seen = Snapshot(
        {"a": Load(in_flight=1, reported=2.0, models=frozenset(("m",))), "b": Load(in_flight=2, rtt_ms=3.0)},
        {("a", "m"): Pace(slow=1.2, at=999.0)},
    )
    way = route(fleet("a", "b", slots=16), Rules(affinity=Sticky("prefix")))
    assert calm(replace(WORK, prefix=9), way, seen, NOW, 1) is not None
    assert calm(WORK, way, replace(seen, refused_here=frozenset({("a", "m")})), NOW, 1) is None
    assert calm(WORK, way, replace(seen, cooling={("a", "m"): 1010.0}), NOW, 1) is None


def test_what_was_measured_fades_on_a_calm_day_too() -> None:
    slow = {("a", "m"): Pace(slow=8.0, at=1000.0)}
    seen = Snapshot({"a": Load(rtt_ms=8.0), "b": Load(rtt_ms=10.0)}, slow)
    way = route(fleet("a", "b", slots=16), Rules())
    firsts = [plan(WORK, way, seen, Now(1000.0 + after), 0).order[0].backend for after in (0.0, 100.0)]
    assert firsts == ["b", "a"]
