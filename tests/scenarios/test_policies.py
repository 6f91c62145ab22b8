"""What policies do to requests, over real sockets."""

import json

import pytest
from msgspec.structs import replace

from gateway.routing.policy import Fallback, Match, Policy, Require, Retry
from gateway.settings.shape import Backend, Pop, Settings
from tests.bench.bodies import chat_answer
from tests.doubles.inside import CALLER, Inside, settings_for
from tests.doubles.mock_caller import Heard
from tests.scenarios.cast import scene
from tests.scenarios.test_anthropic_callers import JSON
from tests.scenarios.test_crossing_callers import MESSAGE, heard, other
from tests.upstream.scripted import Upstream, sized

EU = Require(jurisdictions=frozenset({"DE", "FR"}))
FRA = Pop("fra", "https://fra.gw.example", "eu-central", "DE", (50.1, 8.7), "DE")
IAD = Pop("iad", "https://iad.gw.example", "us-east", "US", (38.9, -77.4), "US")


def error_of(answer: Heard) -> tuple[str, str]:
    """An error's type and code, "" where it has none."""
    error = json.loads(answer.body)["error"]
    return error["type"], error.get("code", "")


def placed(row: Backend, country: str) -> Backend:
    return replace(row, country=country, processes_in=(country,))


async def test_a_policy_that_allows_no_loss_refuses_what_would_lose_something() -> None:
    strict = (Policy("whole", strict=True),)
    async with Upstream(sized(chat_answer(), more=JSON)) as upstream:
        async with Inside(settings_for({"m": [other("o", upstream)]}, policies=strict)) as inside:
            refused = await heard(inside, "/v1/messages", MESSAGE | {"top_k": 5})
            flagged = await heard(inside, "/v1/messages", MESSAGE, {"anthropic-beta": "one"})
            assert upstream.requests == []
            served = await heard(inside, "/v1/messages", MESSAGE)
        assert len(upstream.requests) == 1
    assert (refused.status, *error_of(refused)) == (400, "invalid_request_error", "")
    assert refused.headers["x-gateway-dropped"] == "top_k"
    assert (flagged.status, flagged.headers["x-gateway-dropped"]) == (400, "anthropic-beta.one")
    assert (served.status, served.headers["x-gateway-policy"]) == (200, "whole")
    assert "x-gateway-dropped" not in served.headers


async def test_a_request_that_must_stay_stays() -> None:
    async with Upstream(sized(chat_answer(), more=JSON)) as away, Upstream(sized(chat_answer(), more=JSON)) as home:
        rows = [placed(other("away", away), "US"), placed(other("home", home), "DE")]
        told = settings_for({"m": rows}, policies=(Policy("eu", require=EU),), pops={"fra": FRA, "iad": IAD}, pop="fra")
        async with Inside(told) as inside:
            answer = await heard(inside, "/v1/chat/completions", {"model": "m", "messages": MESSAGE["messages"]})
            assert answer.status == 200
            assert (len(away.requests), len(home.requests)) == (0, 1)
        async with Inside(replace(told, pop="iad")) as inside:
            answer = await heard(inside, "/v1/chat/completions", {"model": "m", "messages": MESSAGE["messages"]})
        assert (answer.status, error_of(answer)[1]) == (403, "residency_violation")
        assert b"https://fra.gw.example" in answer.body
        assert (len(away.requests), len(home.requests)) == (0, 1)


async def test_a_key_that_must_stay_is_sent_away_before_its_body_is_read() -> None:
    caller = replace(CALLER, require=EU)
    async with Upstream() as upstream:
        told = settings_for({"m": [other("o", upstream)]}, callers=(caller,), pops={"iad": IAD, "fra": FRA}, pop="iad")
        async with Inside(told) as inside:
            answer = await heard(inside, "/v1/messages", {"no": "model"})
    assert (answer.status, error_of(answer)[0]) == (403, "permission_error")


@pytest.mark.parametrize("attempts", [1, 2])
async def test_no_more_attempts_than_the_policy_has(attempts: int) -> None:
    async with scene("500", "500", "", policies=(Policy("few", retry=Retry(attempts=attempts)),)) as on:
        answer = await on.caller_hears(stream=False)
        assert answer.status == 502
        assert len(on.tries()) == attempts


async def test_why_a_place_was_chosen_is_told() -> None:
    async with scene("500", "", policies=(Policy("all"),)) as on:
        answer = await on.caller_hears(stream=True)
        assert answer.headers["x-gateway-reason"] == "fallback"
        assert answer.headers["x-gateway-policy"] == "all"
        assert on.exchange.policies == ("all",)


async def test_where_too_much_was_tried_again_lately_a_failure_is_told_at_once() -> None:
    async with scene("500", "", policies=(Policy("few", retry=Retry(budget=0.1)),)) as on:
        budget = on.gateway.health.retries
        while budget.spend(on.gateway.clock.monotonic(), 0.1):
            pass
        answer = await on.caller_hears(stream=False)
        assert answer.status == 502
        assert on.tries() == [("first", "upstream_invalid_response")]


# --- other models -----------------------------------------------------------------------------------------------------

ALL_CAUSES = frozenset({"unavailable", "rate_limited", "context_length", "content_policy", "deadline"})
FALLS = Policy("falls", match=Match(models=("m",)), fallback=Fallback(("n",), ALL_CAUSES))
ASKS = {"model": "m", "messages": MESSAGE["messages"]}
ANSWER = sized(chat_answer(), more=JSON)


def two(one: Upstream, other_one: Upstream, *policies: Policy) -> Settings:
    """A model `m`, and another, `n`, at a place of its own."""
    return settings_for({"m": [other("one", one)], "n": [other("two", other_one)]}, policies=(FALLS, *policies))


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_where_everybody_is_away_the_policys_other_model_answers_and_is_named(path: str) -> None:
    async with Upstream() as away, Upstream(ANSWER) as there, Inside(two(away, there)) as inside:
        inside.health.drain("one", inside.clock.monotonic())
        answer = await heard(inside, path, ASKS | {"max_tokens": 9})
        assert away.requests == []
    assert answer.status == 200
    assert (answer.headers["x-gateway-model"], answer.headers["x-gateway-reason"]) == ("n", "fallback")
    assert (answer.headers["x-gateway-policy"], answer.headers["x-gateway-attempts"]) == ("falls", "1")
    [exchange] = inside.settled
    assert (exchange.model, exchange.reason, exchange.outcome) == ("n", "fallback", "answered")
    assert [attempt.target.backend.name for attempt in exchange.attempts] == ["two"]


async def test_where_the_other_model_is_away_too_the_first_one_is_what_is_told_of() -> None:
    async with Upstream() as away, Upstream() as gone, Inside(two(away, gone)) as inside:
        for name in ("one", "two"):
            inside.health.drain(name, inside.clock.monotonic())
        answer = await heard(inside, "/v1/chat/completions", ASKS)
    assert (answer.status, error_of(answer)[1]) == (503, "no_backend_available")
    [exchange] = inside.settled
    assert (exchange.model, exchange.attempts) == ("m", [])


async def test_where_the_other_model_fails_as_well_that_is_the_end() -> None:
    broken = sized(b"{}", status=b"500 Internal Server Error", more=JSON)
    async with Upstream() as away, Upstream(broken) as there, Inside(two(away, there)) as inside:
        inside.health.drain("one", inside.clock.monotonic())
        answer = await heard(inside, "/v1/chat/completions", ASKS)
    assert answer.status == 502
    [exchange] = inside.settled
    assert [attempt.target.backend.name for attempt in exchange.attempts] == ["two"]


async def test_what_must_stay_is_answered_by_no_other_model_elsewhere() -> None:
    """Neither where its own model is away, nor where none of its places is allowed."""
    async with Upstream() as home, Upstream() as away:
        told = replace(two(home, away, Policy("eu", require=EU)), pops={"fra": FRA}, pop="fra")
        rows = {
            "m": told.models["m"],
            "n": tuple(replace(one, backend=placed(one.backend, "US")) for one in told.models["n"]),
        }
        allowed = tuple(replace(one, backend=placed(one.backend, "DE")) for one in rows["m"])
        for own, status, code in ((allowed, 503, "no_backend_available"), (rows["m"], 403, "residency_violation")):
            async with Inside(replace(told, models={**rows, "m": own})) as inside:
                inside.health.drain("one", inside.clock.monotonic())
                answer = await heard(inside, "/v1/chat/completions", ASKS)
            assert (answer.status, error_of(answer)[1]) == (status, code)
            assert inside.bugs == []
        assert (home.requests, away.requests) == ([], [])


async def test_a_window_that_is_too_small_everywhere_has_its_other_model() -> None:
    async with Upstream() as small, Upstream(ANSWER) as large:
        told = two(small, large)
        narrow = tuple(replace(target, context_window=4) for target in told.models["m"])
        async with Inside(replace(told, models={**told.models, "m": narrow})) as inside:
            answer = await heard(inside, "/v1/chat/completions", ASKS | {"max_tokens": 99})
        assert small.requests == []
    assert (answer.status, answer.headers["x-gateway-model"]) == (200, "n")
