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
from gateway.routing.policy import Hours, Match, Policy, Require, Split
from gateway.routing.snapshot import Load, Snapshot
from gateway.settings.shape import Caller, May, Target
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


def test_a_head_that_comes_again_finds_what_another_configuration_makes_of_it() -> None:
    """As when a reload comes between a head and its body."""
    before, after = Bench(Policy("old")), Bench(Policy("new"))
    exchange, request = before.ask()
    for bench, name in ((before, "old"), (before, "old"), (after, "new")):
        bench.finder.find(exchange, "large", request)
        assert exchange.policies == (name,)


def test_a_head_that_comes_again_at_another_hour_finds_what_holds_then() -> None:
    night = Policy("night", match=Match(hours=Hours(22 * 60, 6 * 60, "Etc/UTC")))
    bench = Bench(Policy("always"), night)
    exchange, request = bench.ask()
    for hour, names_then in ((12, ("always",)), (23, ("night", "always")), (36, ("always",))):
        exchange.call.arrived_wall = hour * 3600.0
        bench.finder.find(exchange, "large", request)
        assert exchange.policies == names_then


def test_models_that_one_client_asks_for_by_turns_are_kept_up_to_a_limit() -> None:
    bench = Bench()
    exchange, request = bench.ask()
    exchange.call.kept |= dict.fromkeys(map(str, range(16)), None)
    bench.finder.find(exchange, "large", request)
    assert list(exchange.call.kept) == ["large"]


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


@pytest.mark.parametrize(
    ("asked", "is_so"),
    [
        ("large", True),
        ("big-2", True),
        ("large-by-glob", True),
        ("one/big-1", False),
        ("big-1", False),
        ("any/big-1", False),
    ],
)
@pytest.mark.parametrize("opts_in", [False, True])
def test_who_asks_for_a_providers_model_gets_that_unless_his_key_opts_in(
    asked: str, *, is_so: bool, opts_in: bool
) -> None:
    names_all = replace(SIMPLE, match=Match(models=("*",)))
    bench = Bench(names_all, caller=replace(CALLER, may=May(complexity=opts_in)))
    one, _ = bench.settings.models["large"]
    big = (replace(one, model="big-1"),)
    # A name that is also what its place is asked for is a name all the same.
    rows = {**bench.settings.models, "large": big, "big-2": (replace(one, model="big-2"),), "*-by-glob": big}
    rows["any/*"] = (replace(one, model="*"),)
    told = replace(bench.settings, models=rows)
    chooser = Chooser(told, Snapshot(), bench.clock)
    bench.finder = Finder("here", Catalogue(told), chooser, lambda _: None, Lengths())
    _, way = bench.find(asked)
    assert names(way) == (["three", "one"] if is_so or opts_in else ["one"])


@pytest.mark.parametrize("opts_in", [False, True])
def test_a_policy_that_names_no_model_moves_nobody_who_did_not_opt_in(*, opts_in: bool) -> None:
    everybodys = replace(SIMPLE, match=Match(keys=(CALLER.name,)))
    bench = Bench(everybodys, caller=replace(CALLER, may=May(complexity=opts_in)))
    assert names(bench.find()[1]) == (["three", "one", "two"] if opts_in else ["one", "two"])


def test_a_policy_that_a_header_names_moves_only_the_names_it_matches() -> None:
    other = replace(SIMPLE, match=Match(models=("small",)))
    bench = Bench(other, caller=replace(CALLER, may=May(policies=(other.name,))))
    exchange, way = bench.find(**{"x-gateway-policy": other.name})
    assert (names(way), exchange.policies) == (["one", "two"], (other.name,))


def test_what_the_small_model_may_not_be_asked_for_leaves_the_request_where_it_was() -> None:
    """A policy's word on the large one, which a header leans on, is none on the small one."""
    bench = Bench(replace(SIMPLE, priority="high"))
    assert names(bench.find(**{"x-gateway-priority": "high"})[1]) == ["one", "two"]


def test_a_small_model_that_would_fetch_is_shown_no_addresses() -> None:
    hard = replace(SIMPLE, complexity={"complex": "small"})
    bench = Bench(hard)
    rows = bench.settings.models
    own = replace(rows["small"][0].backend, tier="self_hosted")
    told = replace(bench.settings, models={**rows, "small": (replace(rows["small"][0], backend=own),)})
    bench.finder = Finder("here", Catalogue(told), Chooser(told, Snapshot(), bench.clock), lambda _: None, Lengths())
    exchange, _ = bench.ask()
    seen = [{"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest"}}, {"type": "text", "text": "?"}]
    body = json.dumps({"model": "large", "messages": [{"role": "user", "content": seen}]}).encode()
    way = bench.finder.find(exchange, "large", load("openai_chat").read_request(body))
    assert names(way) == ["one", "two"]


def test_what_the_asked_model_requires_holds_for_the_small_one() -> None:
    stays = Policy("stays", match=Match(models=("large",)), require=Require(no_training=True))
    bench = Bench(SIMPLE, stays)
    with pytest.raises(Forbidden) as told:
        bench.find()
    assert told.value.reason == "policy_violation"


# --- the rest ---------------------------------------------------------------------------------------------------------


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
