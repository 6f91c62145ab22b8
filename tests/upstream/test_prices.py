"""What answers cost, held against the price list's own calculator."""

from datetime import UTC, datetime

import pytest
from genai_prices import Usage as Counted
from genai_prices import calc_price, data_snapshot
from genai_prices.types import ModelPrice, TieredPrices
from msgspec.structs import replace

from gateway.clock import HandClock
from gateway.features import Usage
from gateway.settings.catalogue import CHECKOUT, read_catalogue
from gateway.settings.findings import Findings
from gateway.settings.shape import Backend, Price, Provider, Target
from gateway.upstream.prices import TIMED_S, Prices, listing

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC).timestamp()
EVERY = 7
PRICE_IDS = {row.price_id for row in read_catalogue(CHECKOUT, Findings()).values() if row.price_id}


def target(price_id: str, model: str, price: Price | None = None) -> Target:
    provider = Provider(name="p", speaks="openai_chat", price_id=price_id)
    return Target(Backend(name="b", provider=provider, base_urls=()), model, price=price)


def theirs(price_id: str, model: str, usage: Usage, now: float) -> float:
    counted = Counted(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_written_tokens,
    )
    at = datetime.fromtimestamp(now, UTC)
    return float(calc_price(counted, model, provider_id=price_id, genai_request_timestamp=at).total_price)


def known(price_id: str, model: str, clock: HandClock) -> tuple[Prices, Target]:
    prices, one = Prices(clock), target(price_id, model)
    prices.look_up([one])
    return prices, one


def all_models() -> list[tuple[str, str, bool]]:
    """Price list, model, and whether its tokens have tiers."""
    found = []
    for provider in data_snapshot.get_snapshot().providers:
        if provider.id in PRICE_IDS:
            for model in provider.models:
                prices = [model.prices] if isinstance(model.prices, ModelPrice) else [c.prices for c in model.prices]
                tiered = any(isinstance(value, TieredPrices) for price in prices for value in vars(price).values())
                found.append((provider.id, model.id, tiered))
    return found


def usages() -> list[Usage]:
    """No tokens, few, and prompts on both sides of every threshold the list knows."""
    found = [Usage(0, 0), Usage(1, 1), Usage(1000, 200), Usage(1000, 200, 900), Usage(1000, 200, 0, 900)]
    for threshold in (32_000, 100_000, 128_000, 199_999, 200_000, 256_000, 272_000, 512_000, 524_288):
        found += [Usage(size, 731, size * 3 // 7, size * 2 // 7) for size in (threshold, threshold + 1)]
    return found


def test_the_lists_this_catalogue_names_are_all_there() -> None:
    assert {provider.id for provider in data_snapshot.get_snapshot().providers} >= PRICE_IDS


@pytest.mark.slow
def test_costs_are_the_price_lists_own_for_a_sample_of_models() -> None:
    models = all_models()
    sample = models[::EVERY] + [model for model in models if model[2]][::EVERY]
    compared = 0
    for price_id, model, _ in sample:
        prices, one = known(price_id, model, HandClock(wall=NOW))
        for usage in usages():
            cost = prices.cost_usd(one, usage)
            if cost is not None:
                assert cost == pytest.approx(theirs(price_id, model, usage, NOW), rel=1e-9, abs=1e-15), (model, usage)
                compared += 1
    assert compared > 2000


def test_a_long_prompt_is_priced_whole_in_its_tier() -> None:
    prices, one = known("google", "gemini-2.5-pro", HandClock(wall=NOW))
    short = prices.cost_usd(one, Usage(200_000, 1000))
    long = prices.cost_usd(one, Usage(200_001, 1000))
    assert short is not None
    assert long is not None
    assert long > 1.5 * short


def test_cached_tokens_cost_less_than_others() -> None:
    prices, one = known("openai", "gpt-4o-mini", HandClock(wall=NOW))
    plain = prices.cost_usd(one, Usage(1000, 0))
    cached = prices.cost_usd(one, Usage(1000, 0, cached_tokens=1000))
    assert plain is not None
    assert cached == pytest.approx(plain / 2)


def test_counts_that_can_not_be_are_never_a_refund() -> None:
    prices, one = known("openai", "gpt-4o-mini", HandClock(wall=NOW))
    cost = prices.cost_usd(one, Usage(10, 0, cached_tokens=1000, cache_written_tokens=1000))
    assert cost is not None
    assert cost > 0


def test_a_price_by_the_hour_is_read_again() -> None:
    model = ("deepseek", "deepseek-v4-flash")
    usage = Usage(1_000_000, 100_000)
    night = datetime(2026, 11, 22, 0, 0, tzinfo=UTC).timestamp()
    clock = HandClock(wall=night)
    prices, one = known(*model, clock)
    seen = set()
    for _ in range(48):
        cost = prices.cost_usd(one, usage)
        assert cost == pytest.approx(theirs(*model, usage, clock.wall()))
        seen.add(cost)
        clock.advance(1800.0)
    assert len(seen) > 1


def test_a_price_that_does_not_depend_on_time_is_read_once() -> None:
    assert listing("openai", "gpt-4o-mini", NOW) == listing("openai", "gpt-4o-mini", NOW + 86_400.0)
    timed = listing("deepseek", "deepseek-v4-flash", NOW + 1.0)
    assert timed is not None
    assert timed.until == NOW + TIMED_S


def test_a_request_fee_is_part_of_the_cost() -> None:
    prices, one = known("perplexity", "sonar", HandClock(wall=NOW))
    free = prices.cost_usd(one, Usage(0, 0))
    assert free == pytest.approx(theirs("perplexity", "sonar", Usage(0, 0), NOW))
    assert free is not None
    assert free > 0


def test_a_targets_own_price_wins_over_the_list() -> None:
    own = Price(usd_per_request=0.01, usd_per_mtok_in=2.0, usd_per_mtok_out=8.0)
    one = target("openai", "gpt-4o-mini", own)
    prices = Prices(HandClock())
    prices.look_up([one])
    assert prices.cost_usd(one, Usage(1_000_000, 500_000)) == pytest.approx(0.01 + 2.0 + 4.0)


@pytest.mark.parametrize(
    ("price_id", "model"),
    [("openai", "no-such-model-anywhere"), ("no-such-list", "gpt-4o"), ("", "gpt-4o"), ("groq", "whisper-large-v3")],
)
def test_where_no_token_price_is_known_the_cost_is_not_known(price_id: str, model: str) -> None:
    prices, one = known(price_id, model, HandClock(wall=NOW))
    assert prices.cost_usd(one, Usage(10, 10)) is None


def test_a_model_nobody_looked_up_has_no_price_yet() -> None:
    assert Prices().cost_usd(target("openai", "gpt-4o-mini"), Usage(10, 10)) is None


def test_the_list_knows_windows_too_and_a_targets_own_wins() -> None:
    prices, one = known("openai", "gpt-4o-mini", HandClock(wall=NOW))
    assert prices.context_window(one) == 128_000
    assert prices.context_window(replace(one, context_window=5)) == 5
    assert prices.context_window(target("", "own-server")) == 0
    assert Prices().context_window(one) == 0


def test_a_window_is_known_where_a_price_is_not() -> None:
    found = listing("groq", "canopylabs/orpheus-v1-english", NOW)
    assert found is not None
    assert (found.tiers, found.context_window > 0) == ((), True)


def test_a_price_can_be_told_before_anything_is_used() -> None:
    prices, one = known("google", "gemini-2.5-pro", HandClock(wall=NOW))
    above, usual = prices.tiers(one)
    assert (above.above, usual.above) == (200_000, -1)
    assert above.usd_in > usual.usd_in == pytest.approx(theirs("google", "gemini-2.5-pro", Usage(1, 0), NOW))
    (own,) = prices.tiers(target("google", "gemini-2.5-pro", Price(0.01, 2.0, 8.0)))
    assert (own.usd_in, own.usd_out, own.usd_cached, own.usd_request) == (2e-6, 8e-6, 2e-6, 0.01)
    assert prices.tiers(target("", "own-server")) == ()


def test_only_what_is_not_configured_is_looked_up_and_once() -> None:
    prices = Prices(HandClock(wall=NOW))
    listed, own = target("openai", "gpt-4o-mini"), target("openai", "gpt-4o", Price(0.01))
    settled = replace(target("openai", "o3", Price(0.01)), context_window=1000)
    assert prices.unknown([listed, own, settled, target("", "own-server")]) == [listed, own]
    prices.look_up([listed, own, settled])
    assert prices.unknown([listed, own, settled]) == []
    assert prices.context_window(own) > 0
