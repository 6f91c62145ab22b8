"""What tokens cost: a target's own price where configured, else the list price of its provider (genai-prices).

The library's lookup takes some 70 µs and its import a quarter of a second, so unit prices are looked up once a model,
in a thread, before callers come. Two things move them: long prompts, which some lists price in tiers (the whole request
at the rate of the tier its input falls in), and the calendar or the hour, for which a list is read again.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from msgspec import Struct

from gateway.clock import Clock, RealClock
from gateway.features import Usage
from gateway.settings.shape import Target

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation

# Prices that depend on the time change on the half hour; a quarter of one is soon enough.
TIMED_S = 900.0
NEVER = float("inf")


class Units(Struct, frozen=True):
    """US dollars a token, for requests with more input tokens than `above`."""

    usd_in: float
    usd_out: float
    usd_cached: float
    usd_written: float
    usd_request: float = 0.0
    above: int = -1


class Listing(Struct, frozen=True):
    """A model's units, those of the longest prompts first and of all others last, good until `until` (since 1970).

    No tiers where its tokens have no price. `context_window` in tokens, 0 where the list doesn't say.
    """

    tiers: tuple[Units, ...]
    until: float = NEVER
    context_window: int = 0

    def units(self, input_tokens: int) -> Units:
        return next(units for units in self.tiers if input_tokens > units.above)


class Prices:
    """List prices by (price list, model)."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or RealClock()
        self._listings: dict[tuple[str, str], Listing | None] = {}

    def unknown(self, targets: list[Target]) -> list[Target]:
        """Those of whom the list may say more than is configured, and wasn't asked yet."""
        return [
            target
            for target in targets
            if target.backend.provider.price_id
            and (target.price is None or not target.context_window)
            and _key(target) not in self._listings
        ]

    def look_up(self, targets: list[Target]) -> None:
        """Learn what the list says of these targets. Slow (an import, and a millisecond each): for a thread."""
        for target in self.unknown(targets):
            self._listings[_key(target)] = listing(*_key(target), self._clock.wall())

    def tiers(self, target: Target) -> tuple[Units, ...]:
        """What a target's tokens cost, in the order of Listing; nothing where no price is known."""
        own = target.price
        if own is not None:
            usd_in, usd_out = own.usd_per_mtok_in / 1e6, own.usd_per_mtok_out / 1e6
            return (Units(usd_in, usd_out, usd_in, usd_in, own.usd_per_request),)
        listed = self._listing(target)
        return listed.tiers if listed is not None else ()

    def context_window(self, target: Target) -> int:
        """How many tokens fit, 0 where that isn't known."""
        listed = self._listings.get(_key(target))
        return target.context_window or (listed.context_window if listed is not None else 0)

    def usd_per_mtok(self, target: Target) -> tuple[float, float] | None:
        """What a million tokens in and out cost, in short prompts; None where no price is known."""
        tiers = self.tiers(target)
        return (tiers[-1].usd_in * 1e6, tiers[-1].usd_out * 1e6) if tiers else None

    def cost_usd(self, target: Target, usage: Usage) -> float | None:
        """What an answer cost; None where no price is known."""
        own = target.price
        if own is not None:
            return (
                own.usd_per_request
                + (usage.input_tokens * own.usd_per_mtok_in + usage.output_tokens * own.usd_per_mtok_out) / 1e6
            )
        listed = self._listing(target)
        if listed is None or not listed.tiers:
            return None
        units = listed.units(usage.input_tokens)
        plain = usage.input_tokens - usage.cached_tokens - usage.cache_written_tokens
        return (
            units.usd_request
            + max(plain, 0) * units.usd_in
            + usage.cached_tokens * units.usd_cached
            + usage.cache_written_tokens * units.usd_written
            + usage.output_tokens * units.usd_out
        )

    def _listing(self, target: Target) -> Listing | None:
        key = _key(target)
        listed = self._listings.get(key)
        if listed is not None and listed.until != NEVER and self._clock.wall() >= listed.until:
            self._listings[key] = listed = listing(*key, self._clock.wall()) or listed
        return listed


def _key(target: Target) -> tuple[str, str]:
    return (target.backend.provider.price_id, target.model)


def listing(price_id: str, model: str, now: float) -> Listing | None:
    """What the list says of a model at `now` (seconds since 1970); None where it doesn't know it."""
    from genai_prices import Usage as Counted  # noqa: PLC0415  (a quarter of a second, in a thread)
    from genai_prices import calc_price  # noqa: PLC0415
    from genai_prices.types import ModelPrice, TieredPrices  # noqa: PLC0415

    at = datetime.fromtimestamp(now, UTC)

    def priced(**counts: int) -> "PriceCalculation":
        return calc_price(Counted(**counts), model, provider_id=price_id, genai_request_timestamp=at)

    def price(**counts: int) -> Decimal:
        return priced(**counts).total_price

    try:
        empty = priced()
    except LookupError:
        return None
    window = empty.model.context_window or 0
    prices = {name: value for name, value in vars(empty.model_price).items() if value is not None}
    if not {"input_mtok", "output_mtok"} & prices.keys():
        return Listing((), context_window=window)
    usd_request = empty.total_price
    starts = {tier.start for value in prices.values() if isinstance(value, TieredPrices) for tier in value.tiers}
    tiers = []
    for above in sorted(starts | {-1}, reverse=True):
        n = max(above, 0) + 1
        # Cached and written tokens are input tokens of another price: with n of each they are all of the input.
        usd_in = price(input_tokens=n)
        tiers.append(
            Units(
                usd_in=float((usd_in - usd_request) / n),
                usd_out=float(price(input_tokens=n, output_tokens=1) - usd_in),
                usd_cached=float((price(input_tokens=n, cache_read_tokens=n) - usd_request) / n),
                usd_written=float((price(input_tokens=n, cache_write_tokens=n) - usd_request) / n),
                usd_request=float(usd_request),
                above=above,
            )
        )
    timed = not isinstance(empty.model.prices, ModelPrice)
    return Listing(tuple(tiers), now - now % TIMED_S + TIMED_S if timed else NEVER, window)
