"""Callers who come from another gateway and bring its fields along."""

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from gateway.settings.shape import Settings
from tests.bench.bodies import chat_answer
from tests.doubles.caller import Caller, request
from tests.doubles.inside import CALLER, Inside, settings_for
from tests.doubles.mock_caller import Heard
from tests.scenarios.test_anthropic_callers import JSON
from tests.scenarios.test_crossing_callers import CHAT, OPENAI, other
from tests.upstream.scripted import Upstream, sized

ANSWER = sized(chat_answer(), more=JSON)
BUSY = sized(b"{}", status=b"429 Too Many Requests", more=JSON)
GROQ = replace(OPENAI, name="groq")
ALL = frozenset(("openrouter", "litellm", "portkey", "cloudflare"))


async def heard(inside: Inside, fields: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Heard:
    async with Caller(inside.port) as caller:
        caller.send(request({**CHAT, **fields}, headers=headers))
        return await caller.answer()


def two(first: Upstream, second: Upstream, *, on: bool = True) -> Settings:
    settings = settings_for({"m": [other("a", first)], "n": [other("b", second, GROQ)]})
    return replace(settings, aliases=ALL if on else frozenset())


async def test_a_model_to_fall_back_to_answers_and_is_named() -> None:
    async with Upstream(BUSY) as first, Upstream(ANSWER) as second, Inside(two(first, second)) as inside:
        answer = await heard(inside, {"models": ["m", "n"]})
        assert (answer.status, answer.headers["x-gateway-model"]) == (200, "n")
        assert b'"models"' not in second.requests[0]
    assert inside.settled[0].model == "n"


async def test_switched_off_it_has_no_effect_and_is_declared() -> None:
    fields = {"models": ["m", "n"], "provider": {"only": ["groq"]}}
    async with Upstream(BUSY, ANSWER) as first, Upstream() as second, Inside(two(first, second, on=False)) as inside:
        assert (await heard(inside, fields)).status == 429
        answer = await heard(inside, fields, {"x-litellm-timeout": "1"})
        assert answer.headers["x-gateway-dropped"] == "models, provider, x-litellm-timeout"
        assert second.requests == []
        assert b'"provider"' not in first.requests[1]


async def test_a_model_that_is_not_the_keys_is_no_fallback() -> None:
    async with Upstream(BUSY) as first, Upstream() as second:
        settings = replace(two(first, second), callers=(replace(CALLER, models=("m",)),))
        async with Inside(settings) as inside:
            assert (await heard(inside, {"models": ["n", "nobody"]})).status == 429
        assert second.requests == []


@pytest.mark.parametrize(("provider", "first_asked"), [({"order": ["groq"]}, "b"), ({"ignore": ["o"]}, "b"), ({}, "a")])
async def test_providers_are_ordered_and_left_out(provider: dict[str, object], first_asked: str) -> None:
    async with Upstream(ANSWER) as first, Upstream(ANSWER) as second:
        settings = settings_for({"m": [other("a", first), other("b", second, GROQ)]})
        async with Inside(replace(settings, aliases=ALL)) as inside:
            answer = await heard(inside, {"provider": provider})
    assert (answer.status, answer.headers["x-gateway-backend"]) == (200, first_asked)


async def test_a_deadline_of_another_gateway_holds() -> None:
    async with Upstream([]) as first, Upstream() as second, Inside(two(first, second)) as inside:
        answer = await heard(inside, {}, {"x-portkey-request-timeout": "50"})
    assert answer.status == 504
