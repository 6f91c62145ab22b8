from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.routing.candidate import KEPT_FOR_EVER, Candidate
from gateway.routing.facts import Now, Work
from gateway.routing.geo import UNKNOWN_RTT_MS, rtt_prior_ms
from gateway.routing.policy import OBJECTIVES
from gateway.routing.score import score
from gateway.routing.snapshot import UNKNOWN, Load
from gateway.settings.candidates import (
    UNKNOWN_GRAMS,
    UNKNOWN_JOULES,
    UNKNOWN_USD_PER_MTOK,
    alone,
    candidate,
    exclusive,
    is_own,
    joules_out,
    tokens_per_second,
)
from gateway.settings.shape import Backend, Pop, Price, Provider, Settings, Target

VLLM = Provider("vllm", "openai_chat")
OPENAI = Provider("openai", "openai_chat", url="https://api.openai.com/v1", unavailable_from=("CN",))
FRA = Pop("fra", "https://fra.example", "eu-central", "DE", (50.11, 8.68), "DE")
OWN = Backend(
    "fra-1",
    VLLM,
    ("http://10.1.0.7:8000",),
    country="DE",
    region="eu-central",
    location=(50.11, 8.68),
    processes_in=("DE",),
    retention="none",
    training="no",
    tier="edge",
    slots=64,
    usd_per_hour=2.5,
    power_watts=700.0,
    hardware="gpu",
    grams=(380.0,),
)
EXTERNAL = Backend("openai", OPENAI, ("https://api.openai.com/v1",), processes_in=("US",), retention="30d")


def made(target: Target, price: tuple[float, float] | None = None) -> Candidate:
    return candidate(target, 0, FRA, price)


def test_a_target_is_what_is_configured_of_it() -> None:
    target = Target(
        OWN, "llama", quantization="bf16", weight=2.0, order=1, context_window=8192, capabilities=("tools",)
    )
    found = candidate(target, 3, FRA)
    assert (found.at, found.backend, found.model, found.provider, found.tier) == (3, "fra-1", "llama", "vllm", "edge")
    assert (found.country, found.region, found.hardware, found.quantization) == ("DE", "eu-central", "gpu", "bf16")
    assert (found.capabilities, found.window, found.slots) == (frozenset({"tools"}), 8192, 64)
    assert (found.weight, found.order, found.grams) == (2.0, 1, (380.0,))
    assert (found.retention_days, found.no_training) == (0, True)
    assert found.processes_in == {"DE"}


def test_what_is_not_known_of_a_place_is_not_there() -> None:
    found = made(Target(Backend("x", OPENAI, ("https://x.example",)), "m"))
    assert (found.processes_in, found.retention_days, found.no_training) == (frozenset(), KEPT_FOR_EVER, False)
    assert (found.hardware, found.tier, found.unavailable_from) == ("", "external", frozenset({"CN"}))


def test_groups_of_countries_are_countries_and_anywhere_is_nowhere_allowed() -> None:
    assert {"FR", "DE", "NO"} < made(Target(replace(OWN, processes_in=("EEA",)), "m")).processes_in
    assert made(Target(replace(OWN, processes_in=("anywhere",)), "m")).processes_in == {"anywhere"}


def test_distance_is_the_prior_of_the_round_trip_and_unknown_is_neither_near_nor_far() -> None:
    assert made(Target(OWN, "m")).rtt_ms == rtt_prior_ms(FRA.location, FRA.location)
    assert made(Target(EXTERNAL, "m")).rtt_ms == UNKNOWN_RTT_MS
    assert candidate(Target(OWN, "m"), 0, None).rtt_ms == UNKNOWN_RTT_MS


def test_a_server_of_ones_own_is_known_by_its_address_or_its_kind() -> None:
    assert is_own(OWN)
    assert is_own(replace(OWN, base_urls=("https://gpu.example",)))
    assert is_own(replace(EXTERNAL, base_urls=("http://127.0.0.1:4000",)))
    assert not is_own(EXTERNAL)


def test_ones_own_and_others_are_expected_to_take_their_usual_times() -> None:
    own, other = made(Target(OWN, "m")), made(Target(EXTERNAL, "m"))
    assert (own.first_ms, own.ms_per_token_in, own.ms_per_token_out) == (20.0, 0.1, 20.0)
    assert (other.first_ms, other.ms_per_token_in, other.ms_per_token_out) == (250.0, 0.05, 15.0)


# --- prices -----------------------------------------------------------------------------------------------------------


def usd(found: Candidate) -> tuple[bool, float, float, float]:
    return found.priced, found.usd_per_request, found.usd_per_token_in, found.usd_per_token_out


def test_a_targets_own_price_wins_over_all_others() -> None:
    price = Price(0.1, 1.0, 2.0)
    for backend in (OWN, EXTERNAL):
        assert usd(made(Target(backend, "m", price=price), (9.0, 9.0))) == (True, 0.1, 1e-6, 2e-6)


def test_a_providers_price_is_its_lists() -> None:
    assert usd(made(Target(EXTERNAL, "m"), (0.15, 0.6))) == (True, 0.0, 0.15e-6, 0.6e-6)


def test_an_unknown_price_is_no_bargain_and_stays_unknown() -> None:
    usd_in, usd_out = UNKNOWN_USD_PER_MTOK
    assert usd(made(Target(EXTERNAL, "m"))) == (False, 0.0, usd_in / 1e6, usd_out / 1e6)


def test_a_server_of_ones_own_costs_its_energy() -> None:
    """700 W over 64 slots of 50 tokens a second each, at 0.15 dollars a kilowatt-hour."""
    assert tokens_per_second(OWN) == 3200.0
    assert joules_out(OWN) == pytest.approx(0.21875)
    priced, request, usd_in, usd_out = usd(made(Target(OWN, "m"), (9.0, 9.0)))
    assert (priced, request, usd_in) == (True, 0.0, 0.0)
    assert usd_out == pytest.approx(0.21875 / 3.6e6 * 0.15)


def test_its_hours_count_only_where_capacity_follows_demand() -> None:
    energy = made(Target(OWN, "m")).usd_per_token_out
    assert made(Target(replace(OWN, usd_per_hour=1000.0), "m")).usd_per_token_out == energy
    elastic = made(Target(replace(OWN, elastic=True), "m")).usd_per_token_out
    assert elastic == pytest.approx(energy + 2.5 / 3600 / 3200)


def test_an_unknown_draw_or_grid_is_no_bargain_either() -> None:
    for backend in (replace(OWN, power_watts=0.0), replace(OWN, slots=0), EXTERNAL):
        assert joules_out(backend) == UNKNOWN_JOULES
    assert made(Target(EXTERNAL, "m")).grams == UNKNOWN_GRAMS
    assert tokens_per_second(EXTERNAL) == 50.0


amounts = st.floats(0, 1e5)


@given(
    watts=amounts,
    hourly=amounts,
    kwh=st.floats(0, 10),
    slots=st.integers(0, 512),
    elastic=st.booleans(),
    busy=st.integers(0, 1000),
    less=st.integers(0, 1000),
    tokens_out=st.floats(1, 1e5),
    objective=st.sampled_from(sorted(OBJECTIVES)),
)
def test_moving_traffic_away_never_lowers_a_targets_rank(
    watts: float,
    hourly: float,
    kwh: float,
    slots: int,
    elastic: bool,
    busy: int,
    less: int,
    tokens_out: float,
    objective: str,
) -> None:
    """What it would cost to send one more there is no more than it was, so no place that it beat beats it now."""
    backend = replace(
        OWN, power_watts=watts, usd_per_hour=hourly, usd_per_kwh=kwh, slots=slots, elastic=elastic, tier="self_hosted"
    )
    one = made(Target(backend, "m"))
    work, now = Work(tokens_in=100, tokens_out=tokens_out), Now(0.0)

    def total(in_flight: int) -> float:
        load = Load(in_flight=in_flight, waiting_tokens=100.0 * in_flight)
        return score(one, load, UNKNOWN, work, OBJECTIVES[objective], now).total

    assert total(max(0, busy - less)) <= total(busy)


# --- scarcity ---------------------------------------------------------------------------------------------------------

CPU = replace(OWN, name="cpu-1", hardware="cpu")
UNSAID = replace(OWN, name="some-1", hardware="")


def test_a_model_is_alone_on_a_class_of_hardware_that_is_known() -> None:
    def alone_on(*backends: Backend) -> bool:
        return alone([Target(backend, "m") for backend in backends])

    assert alone_on(OWN, replace(OWN, name="fra-2"))
    assert not alone_on(OWN, CPU)
    assert not alone_on(OWN, UNSAID)
    assert not alone_on(UNSAID)
    assert not alone_on()


def test_backends_that_something_can_not_do_without_are_found_over_all_models() -> None:
    settings = Settings(
        models={
            "large": (Target(OWN, "l"),),
            "small": (Target(OWN, "s"), Target(CPU, "s")),
            "odd": (Target(UNSAID, "o"),),
            "elsewhere": (),
        },
        backends={},
        callers=(),
        state="memory",
    )
    assert exclusive(settings) == {"fra-1"}
    assert exclusive(replace(settings, models=cast("dict[str, tuple[Target, ...]]", {}))) == frozenset()
