"""What becomes of many requests: nobody is flooded, nobody is starved, and a crowd of gateways is no herd."""

from collections import Counter
from heapq import heappop, heappush
from math import log

import pytest
from msgspec import Struct
from msgspec.structs import replace

from gateway.routing.candidate import Candidate
from gateway.routing.chance import mixed, unit
from gateway.routing.facts import Now, Work
from gateway.routing.plan import plan, route
from gateway.routing.policy import OBJECTIVES, Rules, Slo, Sticky
from gateway.routing.snapshot import Home, Load, Pace, Snapshot
from tests.routing.places import LATENCY, NOW, WORK, draws, ejected, fleet

pytestmark = pytest.mark.slow

MANY = 4000


def shares(
    places: list[Candidate], rules: Rules = LATENCY, work: Work = WORK, now: Now = NOW, **seen: object
) -> dict[str, float]:
    """The share of many requests that each place gets; all of them were measured lately, and nothing was unusual."""
    seen.setdefault("paces", {(one.backend, one.model): Pace(at=now.monotonic) for one in places})
    way, snapshot = route(places, rules), Snapshot(**seen)  # type: ignore[arg-type]  # a snapshot's fields
    firsts = Counter(plan(work, way, snapshot, now, draw).order[0].backend for draw in draws(MANY))
    return {one.backend: firsts[one.backend] / MANY for one in places}


# --- slow ones --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("many", [2, 3, 8, 12])
@pytest.mark.parametrize("tokens_in", [50, 1000, 20_000])
def test_a_backend_that_became_five_times_slower_loses_four_fifths_of_its_traffic(many: int, tokens_in: int) -> None:
    """All its times: that of the prompt and that of each token."""
    places = fleet(*(f"b{number}" for number in range(many)))
    work = replace(WORK, tokens_in=tokens_in)
    usual = {(one.backend, "m"): Pace(each=15.0, at=999.0) for one in places}
    slow = {**usual, ("b0", "m"): Pace(slow=5.0, each=75.0, at=999.0)}
    before, after = shares(places, work=work, paces=usual)["b0"], shares(places, work=work, paces=slow)["b0"]
    assert before == pytest.approx(1 / many, abs=0.05)
    assert after <= 0.2 * before


@pytest.mark.parametrize("many", [2, 12])
def test_where_only_its_first_tokens_are_slow_it_loses_as_much(many: int) -> None:
    places = fleet(*(f"b{number}" for number in range(many)))
    slow = {(one.backend, "m"): Pace(at=1000.0) for one in places} | {("b0", "m"): Pace(slow=5.0, at=1000.0)}
    assert shares(places, paces=slow)["b0"] <= 0.2 / many


def test_a_slow_backend_is_asked_again_by_and_by() -> None:
    slow = {("b0", "m"): Pace(slow=5.0, at=1000.0), ("b1", "m"): Pace(at=1000.0)}
    places = fleet("b0", "b1")
    later = [shares(places, now=Now(1000.0 + after), paces=slow)["b0"] for after in (0, 20, 40, 80)]
    assert later == sorted(later)
    assert later[0] == 0.0
    assert later[-1] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("tokens_in", [50, 1000, 20_000])
@pytest.mark.parametrize("slo", [Slo(at="p99"), Slo(ttft_ms=60_000.0, at="p99"), Slo(ttft_ms=1.0, at="p99")])
def test_of_two_of_equal_mean_the_steady_one_gets_what_counts_on_p99(slo: Slo, tokens_in: int) -> None:
    """The other one has four times the spread; whether both keep the promise, or neither does, or there is none."""
    paces = {
        ("steady", "m"): Pace(slow=1.2, slow_p95=1.4, slow_p99=1.6, each=20.0, each_p95=22.0, each_p99=24.0, at=999.0),
        ("wild", "m"): Pace(slow=1.2, slow_p95=2.0, slow_p99=2.8, each=20.0, each_p95=28.0, each_p99=36.0, at=999.0),
    }
    work = replace(WORK, tokens_in=tokens_in)
    places = fleet("steady", "wild")
    assert shares(places, replace(LATENCY, slo=slo), work, paces=paces)["steady"] >= 0.8
    assert shares(places, LATENCY, work, paces=paces)["steady"] == pytest.approx(0.5, abs=0.05)


# --- coming back ------------------------------------------------------------------------------------------------------


def test_a_backend_that_came_back_gets_a_share_that_grows() -> None:
    places = fleet("a", "b", "c")
    back = [shares(places, now=Now(1000.0 + age), loads={"a": Load(since=1000.0)})["a"] for age in (0, 15, 30, 45, 60)]
    usual = 1 / 3
    assert back == pytest.approx([usual * share for share in (0.1, 0.25, 0.5, 0.75, 1.0)], abs=0.03)


def test_it_is_spared_though_it_is_the_best_by_far_or_the_only_one_that_keeps_a_promise() -> None:
    places = [replace(one, rtt_ms=trip) for one, trip in zip(fleet("a", "b"), (1.0, 500.0), strict=True)]
    back = {"a": Load(since=994.0)}
    assert shares(places, loads=back)["a"] == pytest.approx(0.1, abs=0.02)
    promised = replace(LATENCY, slo=Slo(ttft_ms=500.0))
    assert shares(places, promised, loads=back)["a"] == pytest.approx(0.1, abs=0.02)
    dear = replace(promised, prefer=OBJECTIVES["cost"])
    priced = [places[0], replace(places[1], usd_per_request=90.0)]
    assert shares(priced, dear, loads=back)["a"] == pytest.approx(0.1, abs=0.02)


def test_rather_than_refuse_it_serves_where_it_alone_keeps_a_promise() -> None:
    places = [replace(one, rtt_ms=trip) for one, trip in zip(fleet("a", "b"), (1.0, 500.0), strict=True)]
    strict = replace(LATENCY, slo=Slo(ttft_ms=500.0, otherwise="refuse"))
    assert shares(places, strict, loads={"a": Load(since=994.0)})["a"] == 1.0


def test_its_conversations_come_back_as_slowly() -> None:
    rules = replace(LATENCY, affinity=Sticky("session"))
    homes = {7: Home("a", 999.0)}
    back = shares(fleet("a", "b"), rules, replace(WORK, session=7), loads={"a": Load(since=994.0)}, homes=homes)
    assert back["a"] == pytest.approx(0.1, abs=0.02)


def test_where_all_have_just_come_they_share_as_usual() -> None:
    loads = dict.fromkeys(("a", "b"), Load(since=999.0))
    assert shares(fleet("a", "b"), loads=loads)["a"] == pytest.approx(0.5, abs=0.05)


def test_a_whole_tier_that_came_back_is_not_flooded_either() -> None:
    places = [replace(one, order=order) for order, one in enumerate(fleet("primary", "secondary"))]
    ages = (0.0, 15.0, 30.0, 45.0)
    back = [shares(places, now=Now(1000.0 + age), loads={"primary": Load(since=1000.0)})["primary"] for age in ages]
    assert back == pytest.approx([0.14, 0.35, 0.7, 1.0], abs=0.03)


# --- cold and scarce --------------------------------------------------------------------------------------------------


def test_a_loaded_busy_server_keeps_its_traffic_until_its_queue_exceeds_the_load_time_of_a_cold_one() -> None:
    """A slot of eight comes free every half second, so a queue of twelve is six seconds: what loading takes."""
    places = fleet("busy", "cold", slots=8)
    work = Work(tokens_in=0, tokens_out=4000.0 / 15.0)
    for queue in range(40):
        loads = {
            "busy": Load(in_flight=8, queued=float(queue), models=frozenset({"m"})),
            "cold": Load(models=frozenset(), loadable=frozenset({"m"}), cold_ms=6000.0),
        }
        kept = shares(places, work=work, loads=loads)["busy"] if queue in {11, 12, 13, 39} else None
        first = plan(work, route(places, LATENCY), Snapshot(loads=loads), NOW, 0).order[0].backend
        assert first == ("busy" if queue <= 12 else "cold")
        if kept is not None and queue != 12:
            assert kept >= 0.7 if queue < 12 else kept <= 0.3


def test_small_models_go_to_cpus_while_gpus_are_wanted() -> None:
    """A GPU makes a token in 5 ms and a CPU in 15: nobody takes the CPU unless somebody else needs the GPU."""
    gpu = Candidate(0, "gpu", "small", hardware="gpu", slots=8, rtt_ms=5.0, first_ms=20.0, ms_per_token_out=5.0)
    cpu = Candidate(1, "cpu", "small", hardware="cpu", slots=8, rtt_ms=5.0, first_ms=20.0, ms_per_token_out=15.0)
    shares_of_gpu = [
        shares([gpu, cpu], loads={"gpu": Load(in_flight=wanted, only_here=wanted)})["gpu"] for wanted in range(6)
    ]
    assert shares_of_gpu[0] == 1.0
    assert shares_of_gpu == sorted(shares_of_gpu, reverse=True)
    assert shares_of_gpu[-1] == 0.0


def test_what_can_run_on_gpus_only_stays_there() -> None:
    gpu = Candidate(0, "gpu", "large", hardware="gpu", slots=8, ms_per_token_out=5.0, only_here=True)
    spare = replace(gpu, at=1, backend="spare", ms_per_token_out=15.0)
    assert shares([gpu, spare], loads={"gpu": Load(in_flight=5, only_here=5)})["gpu"] == 1.0


# --- many gateways ----------------------------------------------------------------------------------------------------


class Herd(Struct):
    """How the requests of some seconds fell: the largest share that one backend had of a second's, and the waits."""

    largest_share: float
    p99_wait_s: float
    most_at_one: int


class Crowd:
    """Gateways before the same backends on a virtual clock, each with a picture that is a second old.

    A backend works on `slots` requests at once, and keeps the others waiting in their order. Each gateway sees its own
    requests at once, and what the backends told about all others once a second.
    """

    SLOTS = 8
    SERVICE_S = 1.0
    SECONDS = 12

    def __init__(self, gateways: int, backends: int, load: float, *, blind: bool) -> None:
        self.places = fleet(*(f"b{number:02}" for number in range(backends)), slots=self.SLOTS)
        self.places = [replace(one, first_ms=20.0, ms_per_token_out=10.0) for one in self.places]
        self.way = route(self.places, LATENCY)
        self.work = Work(tokens_in=200, tokens_out=100.0)
        self.blind = blind
        self.rate = backends * self.SLOTS / self.SERVICE_S * load / gateways
        self.seen = [Snapshot(loads={one.backend: Load() for one in self.places}) for _ in range(gateways)]
        self.own = [[0] * backends for _ in range(gateways)]
        self.queues: list[list[tuple[float, int]]] = [[] for _ in range(backends)]
        self.busy = [0] * backends
        self.asked: list[Counter[int]] = [Counter() for _ in range(self.SECONDS)]
        self.waits: list[float] = []
        self.most = 0
        self._events: list[tuple[float, int, str, int, int]] = []
        self._numbers = 0

    def run(self) -> Herd:
        for gateway in range(len(self.own)):
            self._at(0.1 * gateway, "look", gateway)
            self._at(0.0, "ask", gateway)
        while self._events:
            now, _, what, gateway, backend = heappop(self._events)
            if what == "done":
                self._done(now, gateway, backend)
            elif now < self.SECONDS:
                getattr(self, f"_{what}")(now, gateway)
        shares_of_seconds = [max(second.values()) / second.total() for second in self.asked]
        self.waits.sort()
        p99_s = self.waits[len(self.waits) * 99 // 100]
        return Herd(sum(shares_of_seconds) / self.SECONDS, p99_s, self.most)

    def _at(self, when: float, what: str, gateway: int, backend: int = 0) -> None:
        self._numbers += 1
        heappush(self._events, (when, self._numbers, what, gateway, backend))

    def _chance(self) -> int:
        self._numbers += 1
        return mixed(self._numbers)

    def _look(self, now: float, gateway: int) -> None:
        for at, one in enumerate(self.places):
            load = self.seen[gateway].loads[one.backend]
            others = self.busy[at] + len(self.queues[at]) - (0 if self.blind else self.own[gateway][at])
            load.reported, load.queued = float(others), float(len(self.queues[at]))
        self._at(now + 1.0, "look", gateway)

    def _ask(self, now: float, gateway: int) -> None:
        self._at(now - log(1.0 - unit(self._chance())) / self.rate, "ask", gateway)
        draw = 0 if self.blind else self._chance()
        at = plan(self.work, self.way, self.seen[gateway], Now(1000.0 + now), draw).order[0].at
        self.asked[int(now)][at] += 1
        self._count(gateway, at, 1)
        self.queues[at].append((now, gateway))
        self.most = max(self.most, self.busy[at] + len(self.queues[at]))
        self._start(now, at)

    def _done(self, now: float, gateway: int, backend: int) -> None:
        self.busy[backend] -= 1
        self._count(gateway, backend, -1)
        self._start(now, backend)

    def _start(self, now: float, backend: int) -> None:
        if self.queues[backend] and self.busy[backend] < self.SLOTS:
            came, gateway = self.queues[backend].pop(0)
            self.waits.append(now - came)
            self.busy[backend] += 1
            self._at(now + self.SERVICE_S * (0.5 + unit(self._chance())), "done", gateway, backend)

    def _count(self, gateway: int, backend: int, step: int) -> None:
        self.own[gateway][backend] += step
        if not self.blind:
            self.seen[gateway].loads[self.places[backend].backend].in_flight += step


@pytest.mark.parametrize(("gateways", "backends"), [(2, 4), (2, 12), (8, 12)])
def test_gateways_with_pictures_a_second_old_do_not_herd(gateways: int, backends: int) -> None:
    """Plain argmin sends a whole second's requests to whoever was idle when it looked; here they spread."""
    herd = Crowd(gateways, backends, 0.7, blind=True).run()
    ours = Crowd(gateways, backends, 0.7, blind=False).run()
    assert ours.largest_share < herd.largest_share / 2
    assert ours.largest_share < 2.2 / backends
    assert ours.most_at_one < herd.most_at_one / 2
    assert ours.p99_wait_s < herd.p99_wait_s / 2


def test_of_several_alike_a_much_worse_one_is_never_asked_for_the_sake_of_spreading() -> None:
    loads = {"b0": Load(in_flight=8), "b1": Load(in_flight=100), "b2": Load(in_flight=100)}
    assert shares(fleet("b0", "b1", "b2", slots=10), loads=loads)["b0"] == 1.0


def test_spreading_is_among_those_that_are_alike_and_a_distant_place_is_not() -> None:
    near = fleet("a", "b", "c", slots=8)
    far = [replace(one, at=at, rtt_ms=400.0) for at, one in enumerate(fleet("x", "y", "z", slots=8), 3)]
    loads = {name: Load(in_flight=busy) for name, busy in (("a", 6), ("b", 7), ("c", 6))}
    found = shares([*near, *far], loads=loads)
    assert sum(found[name] for name in "abc") == 1.0
    assert all(found[name] > 0.0 for name in "ac")


def test_panic_does_not_undo_the_sparing_of_those_who_came_back() -> None:
    loads = {"a": ejected(), "b": ejected(), "c": Load(since=994.0)}
    assert shares(fleet("a", "b", "c"), loads=loads)["c"] == pytest.approx(0.1 / 3, abs=0.02)


def test_where_only_two_are_alike_the_better_one_is_asked() -> None:
    places = [*fleet("a", "b", slots=8), Candidate(2, "far", "m", rtt_ms=900.0, slots=8)]
    assert shares(places, loads={"a": Load(in_flight=8), "b": Load(in_flight=7)})["b"] == 1.0
