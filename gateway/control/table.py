"""The workers' views of each backend, put together into one row."""

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from gateway.channel import BackendState


class BackendRow(Struct):
    """One backend as `/admin/backends` shows it. Counts are sums over the workers since each of them started.

    `state` is what most workers see, `states` how many see what; times are means in milliseconds, weighted by answers.
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


def merge(tables: Iterable[Iterable[BackendState]]) -> list[BackendRow]:
    """One row a backend, in the order of their names."""
    views: dict[str, list[BackendState]] = {}
    for table in tables:
        for view in table:
            views.setdefault(view.name, []).append(view)
    return [_row(name, views[name]) for name in sorted(views)]


def _row(name: str, views: Sequence[BackendState]) -> BackendRow:
    states = Counter(view.state for view in views)
    return BackendRow(
        name=name,
        provider=views[0].provider,
        region=views[0].region,
        country=views[0].country,
        state=states.most_common(1)[0][0],
        states=dict(sorted(states.items())),
        in_flight=sum(view.in_flight for view in views),
        idle_connections=sum(view.idle_connections for view in views),
        answered=sum(view.answered for view in views),
        failed=sum(view.failed for view in views),
        last_error=next((view.last_error for view in views if view.last_error), ""),
        ttft_ms=_mean_ms([(view.ttft_s, view.answered) for view in views]),
        tpot_ms=_mean_ms([(view.tpot_s, view.answered) for view in views]),
    )


def _mean_ms(seconds: Sequence[tuple[float, int]]) -> float | None:
    """The mean of what is known, None where nothing is."""
    known = [(value, max(1, weight)) for value, weight in seconds if value]
    if not known:
        return None
    return round(sum(value * weight for value, weight in known) / sum(weight for _, weight in known) * 1e3, 3)
