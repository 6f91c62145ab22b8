"""Targets as what a decision knows of them: places, promises, and what a request costs there at the margin.

A server of one's own costs the energy of the tokens it makes. What it costs to run by the hour is paid whether it works
or not, so it counts only where capacity follows demand (`elastic`). Counting it by the share that is used would make an
idle server dear: traffic would leave it, which makes it dearer still. The law of this file: what a candidate costs
never depends on how much traffic it has.
"""

from collections.abc import Iterable
from typing import Final

from gateway.routing.candidate import FIRST_MS, MS_PER_TOKEN_IN, MS_PER_TOKEN_OUT, Candidate
from gateway.routing.geo import countries, rtt_prior_ms
from gateway.settings.places import is_near
from gateway.settings.shape import Backend, Pop, Settings, Target

OWN: Final = "self_hosted"
EXTERNAL: Final = "external"

# What isn't known is never a bargain: a large model's usual list price, the world's average grid (436 g in 2022, Ember,
# Global Electricity Review 2023), and what LLaMA 65B took for a token (3 to 4 J, Samsi et al. 2023, arXiv:2310.03003).
UNKNOWN_USD_PER_MTOK: Final = (2.5, 10.0)
UNKNOWN_GRAMS: Final = (436.0,)
UNKNOWN_JOULES: Final = 3.5

_JOULES_PER_KWH: Final = 3.6e6
_S_PER_HOUR: Final = 3600.0


def candidate(target: Target, at: int, here: Pop | None, price: tuple[float, float] | None = None) -> Candidate:
    """A target as the place number `at` of its model, seen from the POP `here`.

    `price` is what its provider's list says, US dollars a million tokens in and out. A price of the target's own wins;
    then a server of one's own costs what it costs at the margin.
    """
    backend = target.backend
    kind = OWN if is_own(backend) else EXTERNAL
    priced, per_request, usd_in, usd_out = _usd(target, price, own=kind == OWN)
    return Candidate(
        at=at,
        backend=backend.name,
        model=target.model,
        provider=backend.provider.name,
        tier=backend.tier or kind,
        country=backend.country,
        region=backend.region,
        processes_in=countries(backend.processes_in),
        retention_days=backend.retention_days,
        no_training=backend.training == "no",
        hardware=backend.hardware,
        quantization=target.quantization,
        capabilities=frozenset(target.capabilities),
        window=target.context_window,
        slots=backend.slots,
        weight=target.weight,
        order=target.order,
        priced=priced,
        usd_per_request=per_request,
        usd_per_token_in=usd_in,
        usd_per_token_out=usd_out,
        joules_out=joules_out(backend),
        grams=backend.grams or UNKNOWN_GRAMS,
        rtt_ms=rtt_prior_ms(here.location if here is not None else None, backend.location),
        first_ms=FIRST_MS[kind],
        ms_per_token_in=MS_PER_TOKEN_IN[kind],
        ms_per_token_out=MS_PER_TOKEN_OUT[kind],
        unavailable_from=frozenset(backend.provider.unavailable_from),
    )


def is_own(backend: Backend) -> bool:
    """Whether it is a server of one's own: by its address, or because its kind has no address of its own."""
    return not backend.provider.url or any(map(is_near, backend.base_urls))


def joules_out(backend: Backend) -> float:
    """What a token out takes: what the server draws, over the tokens a second it makes with every slot in use.

    With every slot in use, because a token of a busy server is what another one adds; whatever the server draws while
    it idles, it draws without this request too. Where either isn't known, nor is this.
    """
    if not backend.power_watts or not backend.slots:
        return UNKNOWN_JOULES
    return backend.power_watts / tokens_per_second(backend)


def tokens_per_second(backend: Backend) -> float:
    """What a server makes with every slot in use, before it was measured; one slot where nobody says how many."""
    return max(1, backend.slots) * 1000.0 / MS_PER_TOKEN_OUT[OWN]


def alone(targets: Iterable[Target]) -> bool:
    """Whether all these are of one class of hardware, a known one: what they serve can run on nothing else."""
    classes = {target.backend.hardware for target in targets}
    return len(classes) == 1 and classes != {""}


def exclusive(settings: Settings) -> frozenset[str]:
    """The backends of a hardware class that alone serves some model, which others should leave to that."""
    return frozenset(
        target.backend.name for targets in settings.models.values() if alone(targets) for target in targets
    )


def _usd(target: Target, price: tuple[float, float] | None, *, own: bool) -> tuple[bool, float, float, float]:
    """Whether the price is known, and US dollars a request, a token in and a token out."""
    if target.price is not None:
        given = target.price
        return True, given.usd_per_request, given.usd_per_mtok_in / 1e6, given.usd_per_mtok_out / 1e6
    if not own:
        usd_in, usd_out = price or UNKNOWN_USD_PER_MTOK
        return price is not None, 0.0, usd_in / 1e6, usd_out / 1e6
    backend = target.backend
    usd = joules_out(backend) / _JOULES_PER_KWH * backend.usd_per_kwh
    if backend.elastic:
        usd += backend.usd_per_hour / _S_PER_HOUR / tokens_per_second(backend)
    return True, 0.0, 0.0, usd
