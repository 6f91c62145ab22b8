"""Models asked for by other names than the configured ones: what answers, what is said of it, and what stays shut."""

import json
from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from gateway.settings.keys import digest_of
from gateway.settings.shape import Backend, Caller, NameRule, Provider, Settings, Target
from tests.bench.bodies import chat_answer
from tests.doubles.caller import Caller as Asking
from tests.doubles.caller import request
from tests.doubles.inside import CALLER, KEY, Inside
from tests.doubles.mock_caller import Heard
from tests.scenarios.test_anthropic_callers import JSON
from tests.upstream.scripted import Upstream, sized

OTHER_KEY = "sk-gw-other-0123456789abcdef"
NARROW = Caller(name="narrow", team="tests", digest=digest_of(OTHER_KEY, ""), models=("llama-*",))
RULES = (
    NameRule(ends="[1m]"),
    NameRule(ends="@20######", becomes="-20######"),
    NameRule(ends="-20######"),
    NameRule(ends="-20##-##-##"),
)
MESSAGES = [{"role": "user", "content": "hi"}]
PATHS = {"chat": "/v1/chat/completions"}


def settings(one: Upstream, two: Upstream) -> Settings:
    def backend(name: str, upstream: Upstream) -> Backend:
        row = Provider(name=f"{name}-row", speaks="openai_chat", paths=PATHS)
        return Backend(name=name, provider=row, base_urls=(upstream.url,))

    first, second = backend("one", one), backend("two", two)
    models = {
        "llama-small": (Target(first, "own/Small"), Target(second, "small-instant", order=1)),
        "secret": (Target(first, "llama-secret"), Target(first, "llama-twice")),
        "twice": (Target(first, "llama-twice"),),
    }
    return Settings(
        models=models,
        backends={"one": first, "two": second},
        callers=(CALLER, NARROW),
        state="memory",
        name_rules=RULES,
    )


async def heard(
    inside: Inside, model: str, *, key: str = KEY, path: str = "/v1/chat/completions", **fields: object
) -> Heard:
    headers: Mapping[str, str] = {"authorization": f"Bearer {key}"}
    async with Asking(inside.port) as caller:
        caller.send(request({"model": model, "messages": MESSAGES, **fields}, path=path, headers=headers))
        return await caller.answer()


def sent(upstream: Upstream) -> object:
    return json.loads(upstream.requests[0].partition(b"\r\n\r\n")[2])["model"]


@pytest.mark.parametrize(
    ("asked", "to_two", "model"),
    [
        ("llama-small", False, "own/Small"),
        ("own/Small", False, "own/Small"),
        ("small-instant", False, "own/Small"),
        ("two/small-instant", True, "small-instant"),
        ("two-row/small-instant", True, "small-instant"),
        ("llama-small-20250929", False, "own/Small"),
        ("llama-small@20250929", False, "own/Small"),
        ("llama-small-2024-08-06[1m]", False, "own/Small"),
        ("two/small-instant[1m]", True, "small-instant"),
    ],
)
async def test_whatever_it_is_called_the_configured_name_is_what_is_said(asked: str, to_two: bool, model: str) -> None:
    answer = sized(chat_answer(), more=JSON)
    async with Upstream(answer) as one, Upstream(answer) as two, Inside(settings(one, two)) as inside:
        told = await heard(inside, asked)
        assert told.status == 200
        assert (len(one.requests), len(two.requests)) == ((0, 1) if to_two else (1, 0))
        assert sent(two if to_two else one) == model
    assert told.headers["x-gateway-model"] == "llama-small"
    assert inside.settled[0].model == "llama-small"


async def test_a_place_that_is_named_is_the_only_one_tried() -> None:
    broken = sized(b"{}", status=b"500 Internal Server Error", more=JSON)
    async with Upstream() as one, Upstream(broken) as two, Inside(settings(one, two)) as inside:
        told = await heard(inside, "two/small-instant")
        assert (told.status, len(one.requests), len(two.requests)) == (502, 0, 1)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("secret", 403),
        ("one/llama-secret", 403),
        ("secret-20250929", 403),
        ("nobody", 403),
        # A name of his own: whether it is another's model is not told.
        ("llama-secret", 404),
        ("llama-secret-20250929", 404),
        ("llama-nobody", 404),
    ],
)
async def test_no_spelling_opens_what_the_configured_name_does_not(asked: str, status: int) -> None:
    async with Upstream() as one, Upstream() as two, Inside(settings(one, two)) as inside:
        told = await heard(inside, asked, key=OTHER_KEY)
        assert told.status == status
        assert one.requests == two.requests == []


async def test_a_list_of_models_holds_for_every_spelling_of_them() -> None:
    async with (
        Upstream(sized(chat_answer(), more=JSON)) as one,
        Upstream() as two,
        Inside(settings(one, two)) as inside,
    ):
        told = await heard(inside, "own/Small", key=OTHER_KEY)
    assert (told.status, told.headers["x-gateway-model"]) == (200, "llama-small")


@pytest.mark.parametrize("asked", ["llama-twice", "one/llama-twice", "one/nobody", "secret[2m]"])
async def test_what_two_names_have_is_unknown(asked: str) -> None:
    async with Upstream() as one, Upstream() as two, Inside(settings(one, two)) as inside:
        told = await heard(inside, asked)
        error = told.json["error"]
        assert isinstance(error, dict)
        assert (told.status, error["code"]) == (404, "model_not_found")


async def test_a_spelling_that_cannot_do_an_operation_is_told_so() -> None:
    async with Upstream() as one, Upstream() as two, Inside(settings(one, two)) as inside:
        told = await heard(inside, "own/Small", path="/v1/embeddings", input="x")
        error = told.json["error"]
        assert isinstance(error, dict)
        assert (told.status, error["code"]) == (400, "unsupported_operation")


async def test_another_language_spells_as_freely() -> None:
    async with (
        Upstream(sized(chat_answer(), more=JSON)) as one,
        Upstream() as two,
        Inside(settings(one, two)) as inside,
    ):
        told = await heard(inside, "llama-small[1m]", path="/v1/messages?beta=true", max_tokens=9)
    assert (told.status, told.headers["x-gateway-model"]) == (200, "llama-small")
    assert told.json["type"] == "message"


async def test_a_reload_forgets_old_spellings() -> None:
    async with Upstream(sized(chat_answer(), more=JSON)) as one, Upstream() as two:
        told = settings(one, two)
        async with Inside(told) as inside:
            assert (await heard(inside, "own/Small")).status == 200
        async with Inside(replace(told, models={})) as inside:
            assert (await heard(inside, "own/Small")).status == 404
