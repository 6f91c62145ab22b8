"""Other gateways' names: what they do where they are on, and that they are gone and declared where they aren't."""

import json

import pytest
from msgspec.structs import replace

from gateway.errors import BadRequest
from gateway.features import Request
from gateway.settings.shape import Target
from gateway.stages.borrow import SOURCES, Borrowed, borrow, brings, narrow
from gateway.upstream.catalogue import Place
from gateway.wire.raw import read_fields
from tests.stages.test_trial import PLACE

ALL = frozenset(SOURCES)
NONE: frozenset[str] = frozenset()


def request(**fields: object) -> Request:
    return Request(read_fields(json.dumps({"model": "m"} | fields).encode()), "m")


def at(name: str) -> Place:
    backend = PLACE.target.backend
    provider = replace(backend.provider, name=name)
    return replace(PLACE, target=replace(PLACE.target, backend=replace(backend, name=f"{name}-1", provider=provider)))


PRICES = {"groq": (0.05, 0.08), "openai": (0.15, 0.6)}


def price_of(target: Target) -> tuple[float, float] | None:
    return PRICES.get(target.backend.provider.name)


OPENAI, GROQ, VLLM = at("openai"), at("groq"), at("vllm")
PLACES = [OPENAI, GROQ, VLLM]


def left(provider: dict[str, object]) -> list[Place]:
    return list(narrow(PLACES, borrow(request(provider=provider), {}, ALL), price_of))


def test_a_request_of_its_own_language_brings_nothing() -> None:
    assert not brings(request(messages=[], metadata={"a": "b"}), {b"content-type": b"application/json"})
    assert borrow(request(), {}, ALL) == Borrowed()


@pytest.mark.parametrize(
    ("fields", "headers", "named"),
    [
        ({"models": ["a"], "provider": {"order": ["groq"]}}, {}, ("models", "provider")),
        ({"route": "fallback", "transforms": []}, {}, ("route", "transforms")),
        ({"fallbacks": ["a"], "context_window_fallbacks": [{}]}, {}, ("fallbacks", "context_window_fallbacks")),
        ({"metadata": {"tags": ["x"]}}, {}, ("metadata.tags",)),
        ({}, {b"x-litellm-timeout": b"3", b"x-litellm-tags": b"x"}, ("x-litellm-timeout", "x-litellm-tags")),
        ({}, {b"x-portkey-metadata": b"{}", b"x-portkey-trace-id": b"1"}, ("x-portkey-metadata", "x-portkey-trace-id")),
        ({}, {b"cf-aig-cache-ttl": b"9"}, ("cf-aig-cache-ttl",)),
    ],
)
def test_what_is_off_is_taken_out_and_declared(
    fields: dict[str, object], headers: dict[bytes, bytes], named: tuple[str, ...]
) -> None:
    asked = request(**fields)
    assert brings(asked, headers)
    assert borrow(asked, headers, NONE) == Borrowed(dropped=named)
    assert list(asked.fields) == ["model"]


def test_metadata_of_openais_own_stays() -> None:
    asked = request(metadata={"tags": ["x"], "order": "42"})
    assert borrow(asked, {}, ALL).dropped == ("metadata.tags",)
    assert json.loads(bytes(asked.fields["metadata"])) == {"order": "42"}
    asked = request(metadata={"tags": "a string, as OpenAI has them"})
    assert borrow(asked, {}, ALL).dropped == ()
    asked = request(metadata=['"tags"', "tags"])
    assert borrow(asked, {}, ALL).dropped == ()


def test_models_to_fall_back_to_come_from_either_gateway() -> None:
    asked = request(models=["a", "b"], fallbacks=["c", {"model": "d"}, {"other": 1}])
    assert borrow(asked, {}, ALL).models == ("a", "b", "c", "d")


def test_an_endless_list_is_cut() -> None:
    assert len(borrow(request(models=["a"] * 1000), {}, ALL).models) == 16


@pytest.mark.parametrize(
    ("header", "said", "seconds"),
    [
        (b"x-litellm-timeout", b"2.5", 2.5),
        (b"x-portkey-request-timeout", b"2500", 2.5),
        (b"cf-aig-request-timeout", b"2500", 2.5),
    ],
)
def test_a_deadline_is_in_its_own_unit(header: bytes, said: bytes, seconds: float) -> None:
    assert borrow(request(), {header: said}, ALL).timeout_s == seconds


@pytest.mark.parametrize("said", [b"soon", b"0", b"-1", b"inf", b"nan"])
def test_a_deadline_that_is_none_is_refused(said: bytes) -> None:
    with pytest.raises(BadRequest, match="x-litellm-timeout"):
        borrow(request(), {b"x-litellm-timeout": said}, ALL)


@pytest.mark.parametrize(
    ("provider", "places"),
    [
        ({}, PLACES),
        ({"only": ["Groq"]}, [GROQ]),
        ({"ignore": ["openai", "vllm-1"]}, [GROQ]),
        ({"order": ["vllm", "groq/fast"]}, [VLLM, GROQ, OPENAI]),
        ({"sort": "price"}, [GROQ, OPENAI, VLLM]),
        ({"sort": "latency"}, PLACES),
        ({"max_price": {"prompt": 0.1}}, [GROQ]),
        ({"max_price": {"prompt": "1", "completion": "1"}}, [OPENAI, GROQ]),
        ({"max_price": {"completion": 0.1}}, [GROQ]),
    ],
)
def test_places_are_narrowed_and_ordered(provider: dict[str, object], places: list[Place]) -> None:
    assert left(provider) == places


def test_nobody_is_added() -> None:
    assert set(map(repr, left({"order": ["anthropic", "groq"]}))) <= set(map(repr, PLACES))
    with pytest.raises(BadRequest, match="left by 'provider'"):
        left({"only": ["anthropic"]})
    assert narrow([], Borrowed(only=("x",)), price_of) == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"provider": "groq"},
        {"provider": {"only": [1]}},
        {"provider": {"max_price": {"prompt": "cheap"}}},
        {"models": "a"},
        {"fallbacks": [1]},
    ],
)
def test_what_can_not_be_read_is_refused_where_it_is_on_and_only_dropped_where_it_is_off(
    fields: dict[str, object],
) -> None:
    with pytest.raises(BadRequest):
        borrow(request(**fields), {}, ALL)
    assert borrow(request(**fields), {}, NONE).dropped == tuple(fields)


def test_null_says_nothing() -> None:
    assert borrow(request(models=None, provider=None), {}, ALL) == Borrowed()
