"""A place a request may go to, as far as deciding needs to know it. Made once from the configuration."""

from msgspec import Struct

# What is expected of a place before it was measured. Of one's own servers: one H100 with an 8B model prefills some ten
# thousand tokens a second; of others: what their status pages promise. A few answers replace these.
MS_PER_TOKEN_IN = {"self_hosted": 0.1, "external": 0.05}
FIRST_MS = {"self_hosted": 20.0, "external": 250.0}
MS_PER_TOKEN_OUT = {"self_hosted": 20.0, "external": 15.0}

KEPT_FOR_EVER = -1  # days: what isn't known is worse than any number


class Candidate(Struct, frozen=True):
    """One model as one backend serves it.

    `at` is its index among the places of its model. Prices are what a request costs us there at the margin, in US
    dollars (`priced`: they are known); `joules_out` is what a token out takes, `grams` carbon dioxide a kilowatt-hour,
    by hour of the day (UTC; one value: always). `hardware` and `quantization` are "" where they are unknown.
    `only_here`: every place of this model has the same class of hardware.
    """

    at: int
    backend: str
    model: str
    provider: str = ""
    tier: str = "external"
    country: str = ""
    region: str = ""
    processes_in: frozenset[str] = frozenset()
    retention_days: int = KEPT_FOR_EVER
    no_training: bool = False
    hardware: str = ""
    quantization: str = ""
    capabilities: frozenset[str] = frozenset()
    window: int = 0
    slots: int = 0
    weight: float = 1.0
    order: int = 0
    priced: bool = False
    usd_per_request: float = 0.0
    usd_per_token_in: float = 0.0
    usd_per_token_out: float = 0.0
    joules_out: float = 0.0
    grams: tuple[float, ...] = (0.0,)
    rtt_ms: float = 80.0
    first_ms: float = 250.0
    ms_per_token_in: float = 0.05
    ms_per_token_out: float = 15.0
    load_ms: float = 0.0
    unavailable_from: frozenset[str] = frozenset()
    only_here: bool = False

    def usd(self, tokens_in: float, tokens_out: float) -> float:
        """What a request of so many tokens costs."""
        return self.usd_per_request + tokens_in * self.usd_per_token_in + tokens_out * self.usd_per_token_out


class Left(Struct, frozen=True):
    """A candidate that is not asked, and why, in one word of CONTRACT.md's or this house's."""

    candidate: Candidate
    why: str
