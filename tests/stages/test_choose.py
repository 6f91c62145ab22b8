"""Policies looked up, decided by, and carried out."""

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from gateway.clock import HandClock
from gateway.errors import BadRequest, DeadlineExceeded, Forbidden, GatewayError, NoRoute, Overloaded
from gateway.routing.facts import Work
from gateway.routing.plan import Plan
from gateway.routing.policy import Hours, Match, Patience, Policy, Require, Rules, Slo
from gateway.routing.snapshot import Load, Snapshot
from gateway.settings.shape import Backend, Caller, May, Pop, Settings, Target
from gateway.stages.choose import Chooser, Chosen, may_compute, priority_of, tags_of, with_team
from gateway.upstream.catalogue import Catalogue
from tests.doubles.inside import CALLER, backend, settings_for
from tests.stages.kept import call

EU = Require(jurisdictions=frozenset({"DE", "FR"}))
POPS = {
    "fra": Pop("fra", "https://fra.gw.example", "eu-central", "DE", (50.1, 8.7), "DE"),
    "iad": Pop("iad", "https://iad.gw.example", "us-east", "US", (38.9, -77.4), "US"),
}
FRIDAY_NOON_S = 1_763_726_400.0  # 2025-11-21T12:00:00Z


def place(name: str, country: str) -> Backend:
    return replace(backend(name, f"http://{name}.example"), country=country, processes_in=(country,) if country else ())


class Bench:
    """A model with a place in Germany and one in the United States, and policies over them."""

    def __init__(self, *policies: Policy, pop: str = "fra", caller: Caller = CALLER) -> None:
        rows = [place("here", "DE"), place("there", "US")]
        self.settings: Settings = settings_for({"story": rows}, policies=policies, pops=POPS, pop=pop)
        self.loads: dict[str, Load] = {}
        self.clock = HandClock(wall=FRIDAY_NOON_S)
        self.chooser = Chooser(self.settings, Snapshot(loads=self.loads), self.clock)
        self.served = Catalogue(self.settings).plan("story", "chat", "openai_chat")
        self.caller = caller

    def chosen(self, headers: Mapping[bytes, bytes] | None = None, country: str = "") -> Chosen:
        told = call(headers=dict(headers or {}))
        told.caller, told.country, told.arrived_wall = self.caller, country, self.clock.wall()
        return self.chooser.chosen(told, self.served, "chat")

    def decide(self, headers: Mapping[bytes, bytes] | None = None) -> Plan:
        return self.chooser.decide(self.chosen(headers), Work(), self.clock.wall())

    def names(self, headers: Mapping[bytes, bytes] | None = None) -> list[str]:
        return [one.backend for one in self.decide(headers).order]

    def refusal(self) -> GatewayError:
        chosen = self.chosen()
        return self.chooser.refusal(self.chooser.decide(chosen, Work(), self.clock.wall()), chosen.rules.require)


def test_without_policies_everyone_may_serve_in_the_order_that_was_written() -> None:
    bench = Bench()
    assert bench.names() == ["here", "there"]
    assert bench.chosen().rules == Rules(priority="normal")
    assert bench.chosen().lines == b""


def test_what_is_alike_is_worked_out_once() -> None:
    bench = Bench(Policy("all"))
    assert bench.chosen() is bench.chosen()
    by_header = Bench(Policy("some", match=Match(headers={"x-app": ("voice",)})))
    assert by_header.chosen({b"x-app": b"voice"}) is by_header.chosen({b"x-app": b"voice"})
    assert by_header.chosen({b"x-app": b"voice"}) is not by_header.chosen()


def test_a_policy_is_named_to_the_caller_and_decides_who_may_serve() -> None:
    bench = Bench(Policy("eu", require=EU))
    assert bench.chosen().lines == b"x-gateway-policy: eu\r\n"
    assert bench.names() == ["here"]
    assert [(left.candidate.backend, left.why) for left in bench.decide().out] == [("there", "residency")]


def test_a_team_is_required_for_whatever_policies_say() -> None:
    assert Bench(caller=replace(CALLER, require=EU)).names() == ["here"]
    assert with_team(Rules(), None) == Rules(priority="normal")


def test_a_teams_priority_holds_where_no_policy_says_one() -> None:
    urgent = replace(CALLER, priority="high")
    assert with_team(Rules(), urgent).priority == "high"
    assert with_team(Rules(priority="low"), urgent).priority == "low"


@pytest.mark.parametrize("operation", ["messages", "generate", "converse", "cohere_chat", "count_tokens"])
def test_a_conversation_is_one_in_every_language(operation: str) -> None:
    bench = Bench(Policy("talk", match=Match(operations=("chat",))))
    told = call()
    assert bench.chooser.chosen(told, bench.served, operation).rules.names == ("talk",)
    assert bench.chooser.chosen(told, bench.served, "embeddings").rules.names == ()
    assert bench.chooser.chosen(told, bench.served, "responses").rules.names == ()


def test_outside_its_places_a_gateway_serves_nobody_and_says_who_does() -> None:
    bench = Bench(Policy("eu", require=EU), pop="iad")
    with pytest.raises(Forbidden) as told:
        bench.decide()
    assert told.value.reason == "residency_violation"
    assert "https://fra.gw.example" in told.value.message
    assert "iad" not in told.value.message


def test_a_gateway_that_does_not_know_where_it_is_is_outside() -> None:
    with pytest.raises(Forbidden) as told:
        Bench(Policy("moon", require=Require(jurisdictions=frozenset({"JP"}))), pop="").decide()
    assert told.value.message == "This request may not be processed in this place."
    Bench(pop="").chooser.stand_in(Require())


def test_a_policy_of_the_night_holds_at_night() -> None:
    night = Policy("night", match=Match(hours=Hours(22 * 60, 6 * 60, "Asia/Tokyo")), require=EU)
    bench = Bench(night)
    assert bench.names() == ["here", "there"]  # 21:00 in Tokyo
    bench.clock.advance(3600.0)
    assert bench.names() == ["here"]
    bench.clock.advance(8 * 3600.0)
    assert bench.names() == ["here", "there"]


def test_a_policy_of_a_country_meets_its_callers() -> None:
    bench = Bench(Policy("german", match=Match(countries=("DE",)), require=EU))
    assert bench.chosen(country="DE").rules.names == ("german",)
    assert bench.chosen(country="US").rules.names == ()
    assert bench.chosen(country="").rules.names == ("german",)


def test_a_key_chooses_only_among_the_policies_it_may() -> None:
    fast, cheap = Policy("fast", match=Match(keys=("nobody",))), Policy("cheap")
    bench = Bench(fast, cheap, caller=replace(CALLER, may=May(policies=("fast", "gone"))))
    assert bench.chosen({b"x-gateway-policy": b"fast"}).rules.names == ("fast", "cheap")
    for name in (b"cheap", b"gone", b"\xff"):
        with pytest.raises(Forbidden) as told:
            bench.chosen({b"x-gateway-policy": name})
        assert told.value.reason == "policy_not_allowed"
    bench.caller = CALLER
    with pytest.raises(Forbidden):
        bench.chosen({b"x-gateway-policy": b"fast"})


def test_a_tag_is_added_and_never_changed() -> None:
    has = replace(CALLER, tags={"data": "personal"})
    assert tags_of(has, None) == {"data": "personal"}
    assert tags_of(has, b"app=voice, data=personal") == {"data": "personal", "app": "voice"}
    assert tags_of(None, b"app=") == {"app": ""}
    with pytest.raises(Forbidden) as told:
        tags_of(has, b"data=public")
    assert told.value.reason == "tag_not_allowed"


@pytest.mark.parametrize("said", [b"", b"app", b"=x", b"a=b,,", b",".join(b"k%d=v" % at for at in range(17))])
def test_tags_are_a_short_list_of_pairs(said: bytes) -> None:
    with pytest.raises(BadRequest):
        tags_of(CALLER, said)


def test_a_priority_is_lowered_by_anybody_and_raised_by_whoever_may() -> None:
    assert priority_of(Rules(), CALLER, None) == Rules()
    assert priority_of(Rules(), CALLER, b"low").priority == "low"
    assert priority_of(Rules(), None, b"normal").priority == "normal"
    assert priority_of(Rules(), replace(CALLER, may=May(priority="high")), b"high").priority == "high"
    assert priority_of(Rules(priority="high"), CALLER, b"high").priority == "high"
    with pytest.raises(Forbidden):
        priority_of(Rules(), CALLER, b"high")
    with pytest.raises(BadRequest):
        priority_of(Rules(), CALLER, b"urgent")


def test_a_policys_patience_is_its_places() -> None:
    bench = Bench(Policy("quick", timeouts=Patience(first_token_s=0.5, total_s=20.0)))
    chosen = bench.chosen()
    assert chosen.total_s == 20.0
    times = {(one.target.timeouts.connect_s, one.target.timeouts.first_token_s) for one in chosen.places}
    assert times == {(1.0, 0.5)}
    other = Backend("two", bench.settings.backends["here"].provider, ("http://a.example", "http://b.example"))
    served = Catalogue(replace(bench.settings, models={"story": (Target(other, "m"),)})).plan(
        "story", "chat", "openai_chat"
    )
    [patient] = bench.chooser.chosen(call(), served, "chat").places
    assert [path.target.timeouts.first_token_s for path in patient.others] == [0.5]


@pytest.mark.parametrize(
    ("refused", "kind", "reason"),
    [
        ("full", Overloaded, "overloaded"),
        ("shed", Overloaded, "overloaded"),
        ("deadline", DeadlineExceeded, "deadline_exceeded"),
        ("price", Forbidden, "price_limit"),
        ("not_allowed", Forbidden, "policy_violation"),
        ("unavailable", NoRoute, "no_backend_available"),
        ("slo", NoRoute, "no_backend_available"),
        ("context", BadRequest, "context_length_exceeded"),
        ("capability", BadRequest, "unsupported_feature"),
    ],
)
def test_what_a_plan_without_a_place_means(refused: str, kind: type[GatewayError], reason: str) -> None:
    told = Bench().chooser.refusal(Plan((), refused=refused), Require())
    assert (type(told), told.reason) == (kind, reason)


def test_nobody_in_the_allowed_places_is_a_violation_that_names_them() -> None:
    told = Bench(Policy("at", require=Require(jurisdictions=frozenset({"DE", "AT"}), providers=EU.providers))).decide()
    assert [one.backend for one in told.order] == ["here"]
    bench = Bench(Policy("eu", require=replace(EU, jurisdictions=frozenset({"DE"}))))
    bench.served = replace(bench.served, places=bench.served.places[1:])
    bench.served = replace(
        bench.served,
        places=tuple(replace(one, candidate=replace(one.candidate, at=0)) for one in bench.served.places),
    )
    refusal = bench.refusal()
    assert (type(refusal), refusal.reason) == (Forbidden, "residency_violation")
    assert "DE" in refusal.message


def test_a_promise_that_nobody_keeps_can_be_a_refusal() -> None:
    bench = Bench(Policy("voice", slo=Slo(ttft_ms=1.0, otherwise="refuse")))
    assert isinstance(bench.refusal(), NoRoute)


def test_who_may_see_a_request_is_asked_of_the_place_itself() -> None:
    here, there = Bench().served.places
    assert may_compute(here, EU)
    assert not may_compute(there, EU)
    assert may_compute(there, Require())
