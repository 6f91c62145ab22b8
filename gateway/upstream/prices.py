"""What tokens cost: a target's own price where configured, else the list price of its provider (genai-prices).

The library's lookup takes some 70 µs and its import a quarter of a second, so unit prices are looked up once a model,
in a thread, before callers come.
"""

from msgspec import Struct

from gateway.features import Usage
from gateway.settings.shape import Target

SAMPLE_TOKENS = 1000


class Units(Struct, frozen=True):
    """US dollars a token."""

    usd_in: float
    usd_out: float
    usd_cached: float
    usd_written: float
    usd_request: float = 0.0


class Prices:
    """Unit prices by (price list, model)."""

    def __init__(self) -> None:
        self._units: dict[tuple[str, str], Units | None] = {}

    def look_up(self, targets: list[Target]) -> None:
        """Learn the prices of these targets. Slow (an import, and 70 µs each): for a thread."""
        for target in targets:
            key = _key(target)
            if key[0] and target.price is None and key not in self._units:
                self._units[key] = _listed(*key)

    def cost_usd(self, target: Target, usage: Usage) -> float | None:
        """What an answer cost; None where no price is known."""
        own = target.price
        if own is not None:
            return (
                own.usd_per_request
                + (usage.input_tokens * own.usd_per_mtok_in + usage.output_tokens * own.usd_per_mtok_out) / 1e6
            )
        units = self._units.get(_key(target))
        if units is None:
            return None
        plain = usage.input_tokens - usage.cached_tokens - usage.cache_written_tokens
        return (
            max(plain, 0) * units.usd_in
            + usage.cached_tokens * units.usd_cached
            + usage.cache_written_tokens * units.usd_written
            + usage.output_tokens * units.usd_out
        )


def _key(target: Target) -> tuple[str, str]:
    return (target.backend.provider.price_id, target.model)


def _listed(price_id: str, model: str) -> Units | None:
    from genai_prices import Usage as Counted  # noqa: PLC0415  (a quarter of a second, in a thread)
    from genai_prices import calc_price  # noqa: PLC0415

    def price(**counts: int) -> float:
        return float(calc_price(Counted(**counts), model, provider_id=price_id).total_price)

    n = SAMPLE_TOKENS
    try:
        usd_in = price(input_tokens=n)
        return Units(
            usd_in=usd_in / n,
            usd_out=price(output_tokens=n) / n,
            usd_cached=price(input_tokens=n, cache_read_tokens=n) / n,
            usd_written=price(input_tokens=n, cache_write_tokens=n) / n,
        )
    except LookupError:
        return None
