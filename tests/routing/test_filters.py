import pytest
from msgspec.structs import replace

from gateway.routing.candidate import Candidate, Left
from gateway.routing.facts import Work
from gateway.routing.filters import allowed, closed, forbidden, unfit, within
from gateway.routing.policy import Choice, Require
from gateway.routing.snapshot import Load

PLACE = Candidate(
    0,
    "fra-1",
    "m",
    provider="vllm",
    processes_in=frozenset({"DE"}),
    retention_days=0,
    no_training=True,
    hardware="gpu",
    quantization="bf16",
    capabilities=frozenset({"tools"}),
    window=8000,
    priced=True,
    usd_per_token_in=1e-6,
    usd_per_token_out=1e-5,
    unavailable_from=frozenset({"CN"}),
)
UNKNOWN_PLACE = Candidate(1, "somewhere", "m")
ALL = Require(
    jurisdictions=frozenset({"DE", "FR"}),
    retention_days=0,
    no_training=True,
    providers=Choice(only=frozenset({"vllm"})),
    backends=Choice(never=frozenset({"fra-2"})),
    hardware=frozenset({"gpu", "asic"}),
    quantization=frozenset({"bf16"}),
    capabilities=frozenset({"tools"}),
    usd_per_request=0.05,
)


def test_a_place_that_has_all_that_is_required_may_serve() -> None:
    assert forbidden(PLACE, ALL, "DE") == ""


@pytest.mark.parametrize(
    ("lacks", "why"),
    [
        ({"processes_in": frozenset({"DE", "US"})}, "residency"),
        ({"retention_days": 1}, "retention"),
        ({"no_training": False}, "training"),
        ({"provider": "other"}, "provider"),
        ({"backend": "fra-2"}, "backend"),
        ({"hardware": "cpu"}, "hardware"),
        ({"quantization": "fp8"}, "quantization"),
        ({"capabilities": frozenset({"vision"})}, "capability"),
        ({"priced": False}, "price"),
    ],
)
def test_what_a_place_lacks_is_the_reason_why_it_may_not(lacks: dict[str, object], why: str) -> None:
    assert forbidden(replace(PLACE, **lacks), ALL, "DE") == why


@pytest.mark.parametrize(
    ("require", "why"),
    [
        (Require(jurisdictions=frozenset({"DE"})), "residency"),
        (Require(retention_days=3650), "retention"),
        (Require(no_training=True), "training"),
        (Require(hardware=frozenset({"gpu"})), "hardware"),
        (Require(quantization=frozenset({"bf16"})), "quantization"),
        (Require(capabilities=frozenset({"tools"})), "capability"),
        (Require(usd_per_request=100.0), "price"),
    ],
)
def test_what_is_not_known_of_a_place_it_has_not(require: Require, why: str) -> None:
    assert forbidden(UNKNOWN_PLACE, require, "") == why


def test_a_provider_that_does_not_serve_this_country_is_out_where_the_country_is_known() -> None:
    assert forbidden(PLACE, Require(), "CN") == "egress"
    assert forbidden(PLACE, Require(), "DE") == ""
    assert forbidden(PLACE, Require(), "") == ""


def test_the_law_is_the_reason_before_all_others() -> None:
    assert forbidden(UNKNOWN_PLACE, ALL, "") == "residency"


def test_all_places_must_be_allowed_and_none_at_all_are_unknown_ones() -> None:
    assert within(frozenset({"DE"}), frozenset({"DE", "FR"}))
    assert not within(frozenset({"DE", "US"}), frozenset({"DE", "FR"}))
    assert not within(frozenset(), frozenset({"DE"}))
    assert not within(frozenset({"anywhere"}), frozenset({"DE"}))


def test_those_who_may_stay_in_their_order_and_the_others_get_a_reason() -> None:
    fit, out = allowed([UNKNOWN_PLACE, PLACE], ALL, "")
    assert fit == [PLACE]
    assert out == [Left(UNKNOWN_PLACE, "residency")]


@pytest.mark.parametrize(
    ("work", "why"),
    [
        (Work(capabilities=frozenset({"vision"})), "capability"),
        (Work(capabilities=frozenset({"tools"})), ""),
        (Work(window=8001), "context"),
        (Work(window=8000), ""),
        (Work(tokens_in=1000, tokens_out=5000.0), "price"),
        (Work(tokens_in=1000, tokens_out=4800.0), ""),
    ],
)
def test_work_that_asks_for_more_than_a_place_has_is_not_for_it(work: Work, why: str) -> None:
    assert unfit(PLACE, work, ALL) == why


def test_a_place_that_does_not_say_what_it_can_is_believed_to_can() -> None:
    assert unfit(UNKNOWN_PLACE, Work(capabilities=frozenset({"vision"}), window=10**6), Require()) == ""


@pytest.mark.parametrize(
    ("load", "why"),
    [
        (Load(), ""),
        (Load(shut="cooling", shut_until=10.1), "cooling"),
        (Load(shut="cooling", shut_until=10.0), ""),
        (Load(shut_until=10.1), "shut"),
        (Load(half_open=True), ""),
        (Load(half_open=True, probing=True), "half_open"),
        (Load(probing=True), ""),
        (Load(in_flight=4, most=4.0), "full"),
        (Load(in_flight=3, most=4.0), ""),
    ],
)
def test_a_backend_is_asked_unless_it_is_shut_or_probed_or_full(load: Load, why: str) -> None:
    assert closed(load, 10.0) == why
