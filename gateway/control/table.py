"""The workers' views of each backend, put together into one row."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import isfinite

from msgspec import Struct

from gateway.channel import BackendState


class BackendRow(Struct):
    """One backend as `/admin/backends` shows it. Counts are sums over the workers since each of them started.

    `state` is what most workers see, `states` how many see what; `why` and `until_s` (in how many seconds that ends by
    itself) are of one that sees the same. Times are in milliseconds: means weighted by answers, quantiles and the load
    as the worker sees them who sees most.
    """

    name: str
    provider: str
    region: str
    country: str
    state: str
    states: dict[str, int]
    in_flight: int
    idle_connections: int
    answered: int
    failed: int
    last_error: str
    ttft_ms: float | None
    tpot_ms: float | None
    why: str = ""
    until_s: float | None = None
    ttft_p95_ms: float | None = None
    ttft_p99_ms: float | None = None
    tpot_p95_ms: float | None = None
    tpot_p99_ms: float | None = None
    load: float = 0.0
    rtt_ms: float | None = None
    ejections: int = 0


def merge(tables: Iterable[Iterable[BackendState]]) -> list[BackendRow]:
    """One row a backend, in the order of their names."""
    views: dict[str, list[BackendState]] = {}
    for table in tables:
        for view in table:
            views.setdefault(view.name, []).append(view)
    return [_row(name, views[name]) for name in sorted(views)]


def _row(name: str, views: Sequence[BackendState]) -> BackendRow:
    states = Counter(view.state for view in views)
    state = states.most_common(1)[0][0]
    told = max((view for view in views if view.state == state), key=lambda view: view.until_s)
    return BackendRow(
        name=name,
        provider=views[0].provider,
        region=views[0].region,
        country=views[0].country,
        state=state,
        states=dict(sorted(states.items())),
        in_flight=sum(view.in_flight for view in views),
        idle_connections=sum(view.idle_connections for view in views),
        answered=sum(view.answered for view in views),
        failed=sum(view.failed for view in views),
        last_error=next((view.last_error for view in views if view.last_error), ""),
        ttft_ms=_mean_ms([(view.ttft_s, view.answered) for view in views]),
        tpot_ms=_mean_ms([(view.tpot_s, view.answered) for view in views]),
        why=told.why,
        until_s=round(told.until_s, 1) if isfinite(told.until_s) and told.until_s else None,
        ttft_p95_ms=_most_ms(view.ttft_p95_s for view in views),
        ttft_p99_ms=_most_ms(view.ttft_p99_s for view in views),
        tpot_p95_ms=_most_ms(view.tpot_p95_s for view in views),
        tpot_p99_ms=_most_ms(view.tpot_p99_s for view in views),
        load=round(max(view.load for view in views), 3),
        rtt_ms=_mean_ms([(view.rtt_ms / 1e3, view.answered) for view in views]),
        ejections=sum(view.ejections for view in views),
    )


def _most_ms(seconds: Iterable[float]) -> float | None:
    """The most of them, None where nobody knows any."""
    most = max(seconds)
    return round(most * 1e3, 3) if most else None


def _mean_ms(seconds: Sequence[tuple[float, int]]) -> float | None:
    """The mean of what is known, None where nothing is."""
    known = [(value, max(1, weight)) for value, weight in seconds if value]
    if not known:
        return None
    return round(sum(value * weight for value, weight in known) / sum(weight for _, weight in known) * 1e3, 3)
