"""Samples into rows: medians, ratios paired by round, goals. Pure."""

from collections.abc import Iterable, Sequence

import msgspec

from tests.bench.figures import Spread, paired_differences, paired_ratios, spread
from tests.bench.works import Decision, Goal, Work

REFERENCE = "nginx"
_LATENCIES = ("p50_us", "p99_us")
_ALSO_SHOWN = (
    *("added_p50_us", "added_p99_us", "own_p50_us", "own_p999_us", "kib_per_stream"),
    *("loaded_us", "sticky_us", "promise_us"),
)
_DISTURBED_SHARE = 0.1


class Sample(msgspec.Struct, frozen=True):
    """One contender at one work in one round."""

    work: str
    contender: str
    turn: int
    requests: int
    bad: int
    flaws: list[str]
    figures: dict[str, float]


class Verdict(msgspec.Struct, frozen=True):
    """A goal and what came of it; nothing when the figure is missing."""

    figure: str
    value: float | None
    must: float
    aim: float | None
    reached: str | None


class Row(msgspec.Struct, frozen=True):
    """All rounds of one contender at one work; figures are medians over the rounds."""

    work: str
    contender: str
    rounds: int
    requests: int
    bad: int
    valid: bool
    flaws: list[str]
    figures: dict[str, Spread]
    goals: list[Verdict]

    def flat(self) -> dict[str, object]:
        """The row as reports show it: each figure's median by its name, extremes beside them."""
        flat: dict[str, object] = {"work": self.work, "contender": self.contender, "valid": self.valid}
        flat |= {name: _rounded(values.median) for name, values in self.figures.items()}
        flat |= {"rounds": self.rounds, "requests": self.requests, "bad": self.bad, "flaws": self.flaws}
        flat["spread"] = {
            name: [_rounded(values.least), _rounded(values.greatest)] for name, values in self.figures.items()
        }
        flat["goals"] = [msgspec.to_builtins(goal) for goal in self.goals]
        return flat


def rows(works: Iterable[Work | Decision], samples: Sequence[Sample]) -> list[Row]:
    """One row for each contender of each work that was measured."""
    found = []
    for work in works:
        ours = [sample for sample in samples if sample.work == work.name]
        found += [_row(work, name, ours) for name in work.contenders if any(one.contender == name for one in ours)]
    return found


def table(board: Sequence[Row]) -> str:
    """The rows for people to read, a line for each goal."""
    head = (
        "work",
        "contender",
        "µs CPU",
        "x nginx",
        "(spread)",
        "p50/p99 µs",
        "bad",
        "figure",
        "value",
        "must",
        "aim",
        "",
    )
    lines: list[tuple[str, ...]] = [head]
    for row in board:
        ratio = row.figures.get("ratio_to_nginx")
        start = (
            row.work,
            row.contender,
            _shown(row.figures.get("cpu_us")),
            f"{ratio.median:.2f}" if ratio else "",
            f"{ratio.least:.2f}-{ratio.greatest:.2f}" if ratio else "",
            "/".join(_shown(row.figures.get(name), digits=0) for name in _LATENCIES if name in row.figures),
            str(row.bad) if row.valid else f"{row.bad} INVALID",
        )
        cells = [_verdict_cells(verdict) for verdict in row.goals]
        judged = {verdict.figure for verdict in row.goals}
        cells += [
            (name, _shown(row.figures[name]), "", "", "")
            for name in _ALSO_SHOWN
            if name in row.figures and name not in judged
        ]
        first, *others = cells or [("", "", "", "", "")]
        lines.append((*start, *first))
        lines += [(*[""] * len(start), *other) for other in others]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def remarks(board: Sequence[Row]) -> list[str]:
    """What spoilt an answer, and where others had so much of the proxy's core that figures are only a hint."""
    found = [f"{row.work} {row.contender}: {flaw}" for row in board for flaw in row.flaws]
    for row in board:
        shares = [row.figures[name].median for name in ("others_share", "stolen_share") if name in row.figures]
        if sum(shares) > _DISTURBED_SHARE:
            found.append(f"{row.work} {row.contender}: disturbed, others had {sum(shares):.0%} of the proxy's core")
    return found


def _row(work: Work | Decision, name: str, samples: Sequence[Sample]) -> Row:
    own = [sample for sample in samples if sample.contender == name]
    figures = {
        figure: values
        for figure in dict.fromkeys(figure for sample in own for figure in sample.figures)
        if (values := spread(list(_by_turn(own, figure).values())))
    }
    figures |= _compared(work, name, samples)
    bad = sum(sample.bad for sample in own)
    goals = [_verdict(goal, figures) for goal in work.goals] if name == "gateway" else []
    return Row(
        work=work.name,
        contender=name,
        rounds=len(own),
        requests=sum(sample.requests for sample in own),
        bad=bad,
        valid=bad == 0,
        flaws=[flaw for sample in own for flaw in sample.flaws][:5],
        figures=figures,
        goals=goals,
    )


def _compared(work: Work | Decision, name: str, samples: Sequence[Sample]) -> dict[str, Spread]:
    def values(contender: str, figure: str) -> dict[int, float]:
        return _by_turn([sample for sample in samples if sample.contender == contender], figure)

    compared = {"ratio_to_nginx": spread(paired_ratios(values(name, "cpu_us"), values(REFERENCE, "cpu_us")))}
    if name != "passthrough" and "passthrough" in work.contenders:
        more = paired_differences(values(name, "cpu_us"), values("passthrough", "cpu_us"))
        compared["over_passthrough_us"] = spread(more)
        if work.events:
            compared["over_passthrough_event_us"] = spread([one / work.events for one in more])
    # Latency under a load that waits for answers says how much load there was, so only scheduled works compare it.
    if "direct" in work.contenders and name != "direct":
        for figure in _LATENCIES:
            mine = values(name, figure)
            compared[f"added_{figure}"] = spread(paired_differences(mine, values("direct", figure)))
            if name != REFERENCE:
                compared[f"over_nginx_{figure}"] = spread(paired_differences(mine, values(REFERENCE, figure)))
    return {figure: found for figure, found in compared.items() if found}


def _by_turn(samples: Iterable[Sample], figure: str) -> dict[int, float]:
    return {sample.turn: sample.figures[figure] for sample in samples if figure in sample.figures}


def _verdict(goal: Goal, figures: dict[str, Spread]) -> Verdict:
    found = figures.get(goal.figure)
    value = _rounded(found.median) if found else None
    return Verdict(goal.figure, value, goal.must, goal.aim, goal.reached(found.median) if found else None)


def _verdict_cells(verdict: Verdict) -> tuple[str, str, str, str, str]:
    aim = "" if verdict.aim is None else f"{verdict.aim:g}"
    value = "?" if verdict.value is None else f"{verdict.value:g}"
    words = {"aim": "aim reached", "must": "must reached", "no": "NOT REACHED", None: "not measured"}
    return verdict.figure, value, f"{verdict.must:g}", aim, words[verdict.reached]


def _shown(values: Spread | None, digits: int = 1) -> str:
    return f"{values.median:.{digits}f}" if values else ""


def _rounded(value: float) -> float:
    return round(value, 3)
