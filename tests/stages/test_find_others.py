"""Other models than the one that was asked for: named by the request itself, or by its policy."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.clock import HandClock
from gateway.errors import (
    BadRequest,
    DeadlineExceeded,
    Forbidden,
    GatewayError,
    NoRoute,
    Overloaded,
    UpstreamBroken,
    UpstreamBusy,
)
from gateway.features import Request
from gateway.routing.estimate import Lengths
from gateway.routing.filters import forbidden
from gateway.routing.policy import Choice, Fallback, Match, Policy, Require, Split
from gateway.routing.snapshot import Load, Snapshot
from gateway.settings.shape import Pop, Settings, Target
from gateway.stages.borrow import Borrowed
from gateway.stages.choose import Chooser
from gateway.stages.find import Finder
from gateway.stages.trial import Way
from gateway.stages.waiting import Full
from gateway.upstream.catalogue import Catalogue
from tests.doubles.inside import CALLER, backend
from tests.stages.test_find import Bench, names

AWAY = Load(shut="drained", shut_until=1e12)
EU = frozenset({"DE", "FR"})
FRA = Pop("fra", "https://fra.gw.example", "eu-central", "DE", (50.1, 8.7), "DE")


def bench(*policies: Policy, told: Settings | None = None) -> Bench:
    """As test_find's, at the moment its requests come in."""
    made = Bench(*policies, clock=HandClock(100.0))
    if told is not None:
        use(made, told)
    return made


def use(on: Bench, told: Settings) -> None:
    on.settings = told
    chooser = Chooser(told, Snapshot(loads=on.loads), on.clock)
    on.finder = Finder("here", Catalogue(told), chooser, lambda _: None, Lengths())


def away(on: Bench, *backends: str) -> None:
    on.loads.update(dict.fromkeys(backends, AWAY))


def falls_back(*models: str, on: tuple[str, ...] = ("unavailable",)) -> Policy:
    return Policy("falls", match=Match(models=("large",)), fallback=Fallback(models, frozenset(on)))


def refused(on: Bench, borrowed: Borrowed | None = None, text: str = "hi") -> tuple[Way | None, GatewayError]:
    """What comes of a request that `find` refuses, and what it is refused with."""
    exchange, request = on.ask(text=text)
    with pytest.raises(GatewayError) as told:
        on.finder.find(exchange, "large", request)
    way = on.finder.instead(exchange, "large", told.value, request, borrowed)
    assert exchange.model == "large"
    assert exchange.reason == ("fallback" if way is not None else "")
    return way, told.value


# --- after an attempt -------------------------------------------------------------------------------------------------


def test_another_model_is_tried_for_the_causes_that_are_named() -> None:
    on = bench(falls_back("small", "large", "nobodys"))
    exchange, request = on.ask()
    way = on.finder.find(exchange, "large", request)
    assert on.finder.fall_back(exchange, "large", way, UpstreamBusy("Busy."), request) is None
    exchange.model = "tiny"  # that of the last attempt
    other = on.finder.fall_back(exchange, "large", way, UpstreamBroken("Broken."), request)
    assert other is not None
    assert [(place.name, place.instead) for place in other.places] == [("three", "small")]
    assert (exchange.model, exchange.policies, exchange.reason) == ("large", ("falls",), "fallback")
    assert on.finder.fall_back(exchange, "large", other, UpstreamBroken("Broken."), request) is None


def test_no_other_model_is_no_way() -> None:
    on = bench(falls_back("nobodys"))
    exchange, request = on.ask()
    way = on.finder.find(exchange, "large", request)
    assert on.finder.fall_back(exchange, "large", way, UpstreamBroken("Broken."), request) is None
    assert on.finder.fall_back(exchange, "large", Way((), b"", 0.0), UpstreamBroken("Broken."), request) is None


def test_a_model_that_is_away_is_no_place_to_fall_back_to() -> None:
    on = bench(falls_back("small"))
    away(on, "three")
    exchange, request = on.ask()
    way = on.finder.find(exchange, "large", request)
    assert on.finder.fall_back(exchange, "large", way, UpstreamBroken("Broken."), request) is None


def test_when_the_time_is_up_there_is_none_for_another_model() -> None:
    on = bench(falls_back("small", on=("deadline",)))
    exchange, request = on.ask()
    way = on.finder.find(exchange, "large", request)
    on.clock.advance(way.total - on.clock.monotonic())
    assert on.finder.fall_back(exchange, "large", way, DeadlineExceeded("Late."), request) is None


def test_what_a_request_says_of_providers_holds_for_its_policys_models_too() -> None:
    on = bench(falls_back("small"))
    exchange, request = on.ask()
    way = on.finder.find(exchange, "large", request)
    for brought, wanted in ((Borrowed(ignore=("three",)), None), (Borrowed(ignore=("one",)), ["three"])):
        other = on.finder.fall_back(exchange, "large", way, UpstreamBroken("Broken."), request, brought)
        assert (names(other) if other is not None else None) == wanted


# --- named by the request ---------------------------------------------------------------------------------------------


def test_models_that_a_request_names_follow_its_own() -> None:
    on = bench()
    exchange, request = on.ask()
    way = on.finder.find(exchange, "large", request)
    steered = on.finder.steer(way, Borrowed(models=("small",), timeout_s=1.0), exchange, request)
    assert names(steered) == ["one", "two", "three"]
    assert steered.total == 101.0
    assert on.finder.steer(way, Borrowed(), exchange, request).total == way.total


def test_where_its_own_has_no_place_a_model_that_a_request_names_comes_before_its_policys() -> None:
    on = bench(falls_back("small"))
    rows = {**on.settings.models, "medium": (Target(backend("four", "http://four.example"), "m"),)}
    use(on, replace(on.settings, models=rows))
    away(on, "one", "two")
    way, _ = refused(on, Borrowed(models=("nobodys", "medium"), dropped=("route",), timeout_s=2.0))
    assert way is not None
    assert [(place.name, place.instead) for place in way.places] == [("four", "medium")]
    assert (way.dropped, way.total) == (("route",), 102.0)
    # Where that fails as well, its policy's turn comes.
    assert way.rules.fallback is not None
    way, _ = refused(on, Borrowed(models=("medium",), only=("three",)))
    assert way is not None
    assert names(way) == ["three"]


# --- a plan without a place -------------------------------------------------------------------------------------------


def test_a_model_that_nobody_serves_now_has_its_policys_other_models() -> None:
    on = bench(falls_back("nobodys", "small"))
    away(on, "one", "two")
    way, told = refused(on)
    assert isinstance(told, NoRoute)
    assert way is not None
    assert [(place.name, place.instead) for place in way.places] == [("three", "small")]
    assert (way.total, way.rules.names, way.rules.fallback) == (690.0, ("falls",), None)
    assert way.head == b"x-request-id: req_stage\r\nx-gateway-hop: here\r\n"
    away(on, "three")
    assert refused(on)[0] is None


@pytest.mark.parametrize("on", [("deadline",), ("unavailable",)])
def test_a_plan_that_would_be_too_late_has_a_cause_of_its_own(on: tuple[str, ...]) -> None:
    quick = replace(backend("three", "http://three.example"), country="DE")
    made = bench(falls_back("small", on=on))
    use(made, replace(made.settings, models={**made.settings.models, "small": (Target(quick, "m"),)}))
    exchange, request = made.ask(**{"x-gateway-timeout-ms": "1"})
    with pytest.raises(DeadlineExceeded) as told:
        made.finder.find(exchange, "large", request)
    # Nobody is that quick, so there is a cause, and nobody to turn to.
    assert made.finder.instead(exchange, "large", told.value, request) is None


@pytest.mark.parametrize("on", [("context_length",), ("unavailable",)])
def test_what_is_too_long_for_every_window_has_a_cause_of_its_own(on: tuple[str, ...]) -> None:
    made = bench(falls_back("small", on=on))
    rows = made.settings.models
    narrow = tuple(replace(target, context_window=10) for target in rows["large"])
    use(made, replace(made.settings, models={**rows, "large": narrow}))
    way, told = refused(made, text="far too long " * 20)
    assert (type(told), told.reason) == (BadRequest, "context_length_exceeded")
    assert (names(way) if way is not None else []) == (["three"] if on == ("context_length",) else [])


def test_a_window_that_is_only_wide_enough_where_nothing_may_go_is_too_small() -> None:
    only = Policy("only", match=Match(models=("large",)), require=Require(backends=Choice(frozenset({"one", "three"}))))
    made = bench(falls_back("small", on=("context_length",)), only)
    one, two = made.settings.models["large"]
    rows = {**made.settings.models, "large": (replace(one, context_window=10), two)}
    use(made, replace(made.settings, models=rows))
    way, told = refused(made, text="far too long " * 20)
    assert (type(told), told.reason) == (BadRequest, "context_length_exceeded")
    assert way is not None
    assert names(way) == ["three"]


@pytest.mark.parametrize("jurisdictions", [EU, None])
def test_what_nobody_may_see_is_sent_nowhere_else(jurisdictions: frozenset[str] | None) -> None:
    stays = Policy("stays", require=Require(jurisdictions=jurisdictions, no_training=True))
    made = bench(falls_back("small", on=("unavailable", "context_length", "deadline")), stays)
    use(made, replace(made.settings, pops={"fra": FRA}, pop="fra"))
    way, told = refused(made, Borrowed(models=("small",)))
    assert isinstance(told, Forbidden)
    assert way is None


def test_what_a_policy_does_not_allow_has_no_other_model_even_where_that_would_be_allowed() -> None:
    only = Policy("only", match=Match(models=("large",)), require=Require(backends=Choice(frozenset({"three"}))))
    way, told = refused(bench(falls_back("small"), only), Borrowed(models=("small",)))
    assert (type(told), told.reason) == (Forbidden, "policy_violation")
    assert way is None


def test_what_turns_to_another_model_stays_where_that_ones_policies_say() -> None:
    eu = Policy("eu", match=Match(models=("small",)), require=Require(jurisdictions=EU))
    made = bench(falls_back("small"), eu)
    rows = dict(made.settings.models)
    [third] = rows["small"]
    rows["small"] = (replace(third, backend=replace(third.backend, processes_in=("DE",))),)
    use(made, replace(made.settings, models=rows, pops={"fra": FRA}, pop="fra"))
    away(made, "one", "two")
    exchange, request = made.ask()
    with pytest.raises(NoRoute) as told:
        made.finder.find(exchange, "large", request)
    assert exchange.jurisdictions is None
    assert made.finder.instead(exchange, "large", told.value, request) is not None
    assert exchange.jurisdictions == EU


def test_a_key_that_may_not_call_the_other_model_has_no_other() -> None:
    made = bench(falls_back("small"))
    made.caller = replace(CALLER, models=("large",))
    away(made, "one", "two")
    assert refused(made)[0] is None


def test_what_can_be_called_from_nowhere_near_is_away_and_not_forbidden() -> None:
    made = bench(falls_back("small"))
    [one, _] = made.settings.models["large"]
    far = replace(one.backend, provider=replace(one.backend.provider, unavailable_from=("DE",)))
    rows = {**made.settings.models, "large": (replace(one, backend=far),)}
    use(made, replace(made.settings, models=rows, pops={"fra": FRA}, pop="fra"))
    way, told = refused(made)
    assert isinstance(told, NoRoute)
    assert way is not None
    assert names(way) == ["three"]


def test_a_request_that_turned_to_another_model_is_part_of_no_split() -> None:
    made = bench(
        falls_back("small"), Policy("canary", match=Match(keys=(CALLER.name,)), split=(Split("c", "two", 50.0),))
    )
    away(made, "one", "two")
    exchange, request = made.ask()
    with pytest.raises(NoRoute) as told:
        made.finder.find(exchange, "large", request)
    assert exchange.splits
    assert made.finder.instead(exchange, "large", told.value, request) is not None
    assert (exchange.split, exchange.splits) == ("", ())


def test_an_upload_turns_to_another_model_too() -> None:
    made = bench(falls_back("small"))
    away(made, "one", "two")
    exchange, _ = made.ask()
    with pytest.raises(NoRoute) as told:
        made.finder.find(exchange, "large")
    way = made.finder.instead(exchange, "large", told.value)
    assert way is not None
    assert names(way) == ["three"]


def test_what_another_model_is_not_able_to_do_it_is_not_asked() -> None:
    made = bench(falls_back("small"))
    rows = dict(made.settings.models)
    rows["small"] = (replace(rows["small"][0], context_window=10),)
    use(made, replace(made.settings, models=rows))
    away(made, "one", "two")
    assert refused(made, text="far too long " * 20)[0] is None
    assert refused(made)[0] is not None


# --- everything is taken ----------------------------------------------------------------------------------------------


def taken(on: Bench, *backends: str) -> None:
    for name in backends:
        on.loads[name] = Load(in_flight=2, most=2.0)


def test_while_its_own_is_full_a_model_that_a_request_names_is_asked_at_once() -> None:
    on = bench(Policy("waits", queue_s=10.0), falls_back("small"))
    taken(on, "one", "two")
    exchange, request = on.ask()
    with pytest.raises(Full):
        on.finder.find(exchange, "large", request)
    way = on.finder.named(exchange, request, Borrowed(models=("small",)))
    assert way is not None
    assert (names(way), exchange.reason) == (["three"], "fallback")
    for nothing in (None, Borrowed(), Borrowed(models=("nobodys",)), Borrowed(models=("small",), ignore=("three",))):
        assert on.finder.named(exchange, request, nothing) is None
    # That the other one is full, too, is nothing to wait for there.
    taken(on, "three")
    assert on.finder.named(exchange, request, Borrowed(models=("small",))) is None


def test_who_waited_in_vain_turns_to_his_policys_models() -> None:
    on = bench(Policy("waits", queue_s=10.0), falls_back("small"))
    taken(on, "one", "two")
    exchange, request = on.ask()
    with pytest.raises(Full):
        on.finder.find(exchange, "large", request)
    exchange.waited_s = 10.0
    on.clock.advance(10.0)
    way = on.finder.instead(exchange, "large", Overloaded("Busy."), request)
    assert way is not None
    assert way.work.left_ms == pytest.approx(580e3)


# --- the law ----------------------------------------------------------------------------------------------------------

PLACES = ("DE", "FR", "US")
REQUIRES = st.builds(
    Require,
    jurisdictions=st.none() | st.frozensets(st.sampled_from(PLACES), min_size=1),
    no_training=st.booleans(),
    retention_days=st.none() | st.just(0),
    backends=st.builds(Choice, never=st.frozensets(st.sampled_from([f"b{at}" for at in range(6)]), max_size=2)),
)
FAILURES: tuple[GatewayError, ...] = (
    NoRoute("Nobody."),
    UpstreamBroken("Broken."),
    Overloaded("Full."),
    DeadlineExceeded("Late."),
    BadRequest("Long.", code="context_length_exceeded"),
    Forbidden("No.", code="residency_violation"),
)


@st.composite
def fleets(draw: st.DrawFn) -> tuple[Bench, Require, Require]:
    """Three models at six backends, some away; what policies require of all that ask for the first, and the second."""
    rows = []
    for at in range(6):
        made = replace(
            backend(f"b{at}", f"http://b{at}.example"),
            processes_in=tuple(draw(st.frozensets(st.sampled_from(PLACES), max_size=2))),
            retention=draw(st.sampled_from(("none", "30d", "unknown"))),
            training=draw(st.sampled_from(("no", "unknown"))),
        )
        rows.append(Target(made, "m"))
    required, other = draw(REQUIRES), draw(REQUIRES)
    causes = frozenset({"unavailable", "deadline", "context_length"})
    policies = (
        Policy("asked", match=Match(models=("large",)), require=required, fallback=Fallback(("small", "tiny"), causes)),
        Policy("other", match=Match(models=("small",)), require=other),
    )
    on = bench(*policies)
    models = {"large": tuple(rows[:2]), "small": tuple(rows[2:4]), "tiny": tuple(rows[4:])}
    use(on, replace(on.settings, models=models, pops={"fra": FRA}, pop="fra"))
    away(on, *draw(st.frozensets(st.sampled_from([row.backend.name for row in rows]))))
    return on, required, other


def ways(on: Bench, request: Request, error: GatewayError, named: Iterable[str]) -> Iterable[Way]:
    """Every way that a request can get to any model."""
    exchange, _ = on.ask()
    borrowed = Borrowed(models=tuple(named))
    way: Way | None = None
    try:
        way = on.finder.find(exchange, "large", request)
    except GatewayError as refusal:
        error = refusal
    if way is not None:
        yield way
        yield on.finder.steer(way, borrowed, exchange, request)
        other = on.finder.fall_back(exchange, "large", way, error, request, borrowed)
    else:
        other = on.finder.instead(exchange, "large", error, request, borrowed)
    if other is not None:
        yield other


@given(fleets(), st.sampled_from(FAILURES), st.lists(st.sampled_from(("large", "small", "tiny", "none")), max_size=3))
def test_no_other_model_is_asked_where_the_request_may_not_go(
    made: tuple[Bench, Require, Require], error: GatewayError, named: list[str]
) -> None:
    on, required, other = made
    _, request = on.ask()
    for way in ways(on, request, error, named):
        assert all(forbidden(place.candidate, required, "") == "" for place in (*way.places, *way.copies))
        assert all(forbidden(place.candidate, other, "") == "" for place in way.places if place.instead == "small")
