"""Ways: permitted, decided, packed."""

import json

import pytest
from msgspec.structs import replace

from gateway.clock import HandClock
from gateway.errors import (
    BadRequest,
    Bug,
    DeadlineExceeded,
    Forbidden,
    GatewayError,
    NoRoute,
    Overloaded,
    Unauthorized,
    UnknownModel,
    UpstreamBroken,
    UpstreamBusy,
    UpstreamRefused,
)
from gateway.exchange import Exchange
from gateway.features import Request
from gateway.routing.estimate import Lengths
from gateway.routing.policy import Fallback, Match, Policy, Require, Split
from gateway.routing.snapshot import Load, Snapshot
from gateway.settings.shape import Caller, Target
from gateway.stages.borrow import Borrowed
from gateway.stages.choose import Chooser
from gateway.stages.find import Finder, cause_of
from gateway.stages.trial import Way
from gateway.upstream.catalogue import Catalogue
from gateway.wire import Endpoint, load
from tests.doubles.inside import CALLER, backend, settings_for
from tests.stages.kept import call

SIMPLE = Policy("small-first", match=Match(models=("large",)), complexity={"simple": "small"})


class Bench:
    """A large model at two places and a small one at a third."""

    def __init__(self, *policies: Policy, caller: Caller = CALLER, clock: HandClock | None = None) -> None:
        rows = {name: backend(name, f"http://{name}.example") for name in ("one", "two", "three")}
        told = settings_for({"large": [rows["one"], rows["two"]], "small": [rows["three"]]}, policies=policies)
        self.loads: dict[str, Load] = {}
        self.settings = told
        self.caller = caller
        self.clock = clock or HandClock()
        catalogue = Catalogue(told)
        chooser = Chooser(told, Snapshot(loads=self.loads), self.clock)
        self.finder = Finder("here", catalogue, chooser, lambda _: None, Lengths())

    def ask(self, model: str = "large", text: str = "hi", **headers: str) -> tuple[Exchange, Request]:
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}).encode()
        told = call(body=body, headers={name.encode(): value.encode() for name, value in headers.items()})
        told.endpoint, told.caller = Endpoint("chat", "openai_chat"), self.caller
        exchange = Exchange(told, 100.0)
        exchange.operation = "chat"
        return exchange, load("openai_chat").read_request(body)

    def find(self, model: str = "large", text: str = "hi", **headers: str) -> tuple[Exchange, Way]:
        exchange, request = self.ask(model, text, **headers)
        return exchange, self.finder.find(exchange, model, request)


def names(way: Way) -> list[str]:
    return [place.name for place in way.places]


def test_a_way_has_its_places_and_says_why() -> None:
    exchange, way = Bench(Policy("all")).find()
    assert names(way) == ["one", "two"]
    assert (exchange.model, exchange.policies, exchange.reason) == ("large", ("all",), "only_allowed")
    assert way.head == b"x-request-id: req_stage\r\nx-gateway-hop: here\r\n"
    assert way.total == 100.0 + 590.0


def test_what_a_key_may_not_call_it_does_not_find() -> None:
    bench = Bench(caller=replace(CALLER, models=("small",)))
    with pytest.raises(Forbidden):
        bench.find()
    with pytest.raises(UnknownModel):
        Bench().find("nobodys")


def test_a_request_without_a_place_says_what_stands_in_the_way() -> None:
    bench = Bench()
    bench.loads |= {name: Load(shut="drained", shut_until=1e12) for name in ("one", "two")}
    with pytest.raises(NoRoute):
        bench.find()


def test_what_nobody_can_do_is_named() -> None:
    bench = Bench()
    [target, *_] = bench.settings.models["large"]
    blind = replace(bench.settings, models={"large": (replace(target, capabilities=("tools",)),)})
    finder = Finder("here", Catalogue(blind), Chooser(blind, Snapshot(), bench.clock), lambda _: None, Lengths())
    exchange, _ = bench.ask()
    seen = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}]
    request = load("openai_chat").read_request(json.dumps({"model": "large", "messages": seen}).encode())
    with pytest.raises(BadRequest) as told:
        finder.find(exchange, "large", request)
    assert "vision" in told.value.message


def test_what_is_able_but_away_is_not_called_unable() -> None:
    bench = Bench()
    able = tuple(replace(target, capabilities=("tools",)) for target in bench.settings.models["large"])
    told = replace(bench.settings, models={"large": able})
    bench.loads["one"] = bench.loads["two"] = Load(shut="drained", shut_until=1e12)
    finder = Finder(
        "here", Catalogue(told), Chooser(told, Snapshot(loads=bench.loads), bench.clock), lambda _: None, Lengths()
    )
    exchange, request = bench.ask()
    with pytest.raises(NoRoute):
        finder.find(exchange, "large", request)


def test_who_a_split_chose_is_on_record() -> None:
    split = Policy("canary", split=(Split("all-of-it", "two", 100.0),))
    exchange, way = Bench(split).find()
    assert names(way) == ["two", "one"]
    assert (exchange.split, exchange.reason) == ("all-of-it", "canary")


def test_a_copy_goes_along_unseen() -> None:
    exchange, way = Bench(Policy("shadow", split=(Split("unseen", "two", 100.0, copy=True),))).find()
    assert (names(way), [place.name for place in way.copies]) == (["one"], ["two"])
    assert exchange.split == ""


# --- the small model first --------------------------------------------------------------------------------------------


def test_a_simple_question_goes_to_the_small_model_first() -> None:
    exchange, way = Bench(SIMPLE).find(text="What is the capital of France?")
    assert names(way) == ["three", "one", "two"]
    assert [place.instead for place in way.places] == ["small", "", ""]
    assert exchange.model == "large"


def test_a_hard_question_does_not() -> None:
    _, way = Bench(SIMPLE).find(text="Prove step by step that this algorithm terminates, and refactor it. ```x = 1```")
    assert names(way) == ["one", "two"]


def test_a_key_that_may_not_call_the_small_model_keeps_to_its_own() -> None:
    _, way = Bench(SIMPLE, caller=replace(CALLER, models=("large",))).find()
    assert names(way) == ["one", "two"]


@pytest.mark.parametrize("simple", ["large", "nobodys"])
def test_a_small_model_that_is_none_changes_nothing(simple: str) -> None:
    _, way = Bench(replace(SIMPLE, complexity={"simple": simple})).find()
    assert names(way) == ["one", "two"]


def test_the_small_model_is_enough_where_the_large_one_is_away() -> None:
    bench = Bench(SIMPLE)
    bench.loads |= {name: Load(shut="drained", shut_until=1e12) for name in ("one", "two")}
    assert names(bench.find()[1]) == ["three"]


def test_what_the_asked_model_requires_holds_for_the_small_one() -> None:
    stays = Policy("stays", match=Match(models=("large",)), require=Require(no_training=True))
    bench = Bench(SIMPLE, stays)
    with pytest.raises(Forbidden) as told:
        bench.find()
    assert told.value.reason == "policy_violation"


# --- other models -----------------------------------------------------------------------------------------------------


def falls_back(*models: str, on: tuple[str, ...] = ("unavailable",)) -> Policy:
    return Policy("falls", match=Match(models=("large",)), fallback=Fallback(models, frozenset(on)))


def test_another_model_is_tried_for_the_causes_that_are_named() -> None:
    bench = Bench(falls_back("small", "large", "nobodys"))
    exchange, request = bench.ask()
    way = bench.finder.find(exchange, "large", request)
    other = bench.finder.fall_back(exchange, request, way, UpstreamBroken("Broken."))
    assert other is not None
    assert [(place.name, place.instead) for place in other.places] == [("three", "small")]
    assert (exchange.model, exchange.policies) == ("large", ("falls",))
    assert bench.finder.fall_back(exchange, request, other, UpstreamBroken("Broken.")) is None
    assert bench.finder.fall_back(exchange, request, way, UpstreamBusy("Busy.")) is None


def test_no_other_model_is_no_way() -> None:
    bench = Bench(falls_back("nobodys"))
    exchange, request = bench.ask()
    way = bench.finder.find(exchange, "large", request)
    assert bench.finder.fall_back(exchange, request, way, UpstreamBroken("Broken.")) is None
    assert bench.finder.fall_back(exchange, request, Way((), b"", 0.0), UpstreamBroken("Broken.")) is None


def test_a_model_that_is_away_is_no_place_to_fall_back_to() -> None:
    bench = Bench(falls_back("small"))
    bench.loads["three"] = Load(shut="drained", shut_until=1e12)
    exchange, request = bench.ask()
    way = bench.finder.find(exchange, "large", request)
    assert bench.finder.fall_back(exchange, request, way, UpstreamBroken("Broken.")) is None


def test_models_that_a_request_names_follow_its_own() -> None:
    bench = Bench()
    exchange, request = bench.ask()
    way = bench.finder.find(exchange, "large", request)
    steered = bench.finder.steer(way, Borrowed(models=("small",), timeout_s=1.0), exchange, request)
    assert names(steered) == ["one", "two", "three"]
    assert steered.total == 101.0
    assert bench.finder.steer(way, Borrowed(), exchange, request).total == way.total


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (BadRequest("Too long.", code="context_length_exceeded"), "context_length"),
        (UpstreamRefused("No.", code="content_filter"), "content_policy"),
        (UpstreamRefused("No."), ""),
        (UpstreamBusy("Busy."), "rate_limited"),
        (DeadlineExceeded("Late."), "deadline"),
        (NoRoute("Nobody."), "unavailable"),
        (Overloaded("Full."), "unavailable"),
        (UpstreamBroken("Broken."), "unavailable"),
        (Unauthorized("Who?"), ""),
        (Bug("Ours."), ""),
    ],
)
def test_what_went_wrong_has_a_word(error: GatewayError, cause: str) -> None:
    assert cause_of(error) == cause


def test_a_key_that_was_brought_is_used_at_its_place() -> None:
    target = Target(backend("one", "http://one.example"), "m")
    provider = replace(target.backend.provider, auth=replace(target.backend.provider.auth, scheme="bearer"))
    theirs = replace(target, backend=replace(target.backend, provider=provider))
    bench = Bench(caller=replace(CALLER, may=replace(CALLER.may, byok=("mock",))))
    told = replace(bench.settings, models={"large": (theirs,)})
    bench.finder = Finder("here", Catalogue(told), Chooser(told, Snapshot(), bench.clock), lambda _: None, Lengths())
    _, way = bench.find(**{"x-gateway-key": "sk-gw-mine", "authorization": "Bearer sk-theirs"})
    assert [place.lent for place in way.places] == [True]
    _, own = bench.find()
    assert [place.lent for place in own.places] == [False]
