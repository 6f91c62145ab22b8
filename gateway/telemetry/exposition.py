"""Samples written as Prometheus text, version 0.0.4 of the format."""

from collections.abc import Iterable

from gateway.telemetry.slots import Family, Samples

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(families: Iterable[Family], samples: Samples) -> bytes:
    """Every family with at least one sample, with its help, its type and its series in order.

    A histogram nobody has observed anything in yet is left out.
    """
    rows: dict[str, list[tuple[tuple[str, ...], list[float]]]] = {}
    for (name, labels), values in samples.items():
        if len(values) > 1 and not any(values):
            continue
        rows.setdefault(name, []).append((labels, values))
    lines: list[str] = []
    for family in families:
        series = rows.get(family.name)
        if series is None:
            continue
        lines.append(f"# HELP {family.name} {_help(family.help)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for labels, values in sorted(series):
            pairs = [f'{name}="{_label(value)}"' for name, value in zip(family.labels, labels, strict=True)]
            if family.kind == "histogram":
                lines += _histogram(family, pairs, values)
            else:
                lines.append(f"{family.name}{_braces(pairs)} {_number(values[0])}")
    return "\n".join([*lines, ""]).encode()


def _histogram(family: Family, pairs: list[str], values: list[float]) -> Iterable[str]:
    """Buckets are kept apart in the slots and shown cumulated, each with everything below it."""
    below = 0.0
    for bound, count in zip((*family.bounds, float("inf")), values[:-1], strict=True):
        below += count
        upto = _braces([*pairs, 'le="' + _number(bound) + '"'])
        yield f"{family.name}_bucket{upto} {_number(below)}"
    yield f"{family.name}_sum{_braces(pairs)} {_number(values[-1])}"
    yield f"{family.name}_count{_braces(pairs)} {_number(below)}"


def _braces(pairs: list[str]) -> str:
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _number(value: float) -> str:
    value = float(value)
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def _help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _label(text: str) -> str:
    return _help(text).replace('"', r"\"")
