"""What was found, and the tables that say it: a row for each recorded provider, a column for each language, and in
each field exact / declared / failed."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from tests.conformance.recorded.corpus import Recording
from tests.conformance.recorded.verdict import Outcome, Verdict

OUTCOMES: tuple[Outcome, ...] = ("exact", "declared", "failed")


class Scores:
    """Every verdict, counted; each failure with its source."""

    def __init__(self, title: str, columns: Sequence[str]) -> None:
        self._title = f"{title} ({' / '.join(OUTCOMES)})"
        self._columns = columns
        self._counts: dict[tuple[str, str], Counter[Outcome]] = defaultdict(Counter)
        self._failures: list[str] = []
        self._declared: Counter[str] = Counter()

    def add(self, recording: Recording, column: str, verdict: Verdict) -> None:
        self._counts[recording.row, column][verdict.outcome] += 1
        if verdict.outcome == "failed":
            self._failures.append(f"{recording.source} [{recording.row} > {column}] {'; '.join(verdict.why)}")
        elif verdict.outcome == "declared":
            self._declared.update(f"{column}: {why}" for why in verdict.why)

    def sums(self) -> Counter[Outcome]:
        return sum(self._counts.values(), Counter())

    def told(self) -> Iterator[str]:
        """The failures, the table, and what the declared losses are."""
        yield from (f"FAILED {failure}" for failure in self._failures)
        yield from table(self._title, self._counts, self._columns)
        yield from (f"declared {count}: {what}" for what, count in sorted(self._declared.items()))


def table(title: str, counts: dict[tuple[str, str], Counter[Outcome]], columns: Sequence[str]) -> Iterator[str]:
    """Rows in the order of their names, sums last."""
    rows = sorted({row for row, _ in counts})
    head = [title, *columns]
    lines = [[row, *(_field(counts.get((row, column))) for column in columns)] for row in rows]
    sums = [_field(sum((counts.get((row, column), Counter()) for row in rows), Counter())) for column in columns]
    lines.append(["all", *sums])
    widths = [max(len(line[at]) for line in [head, *lines]) for at in range(len(head))]
    ruler = ["-" * width for width in widths]
    for line in [head, ruler, *lines]:
        yield "  ".join(field.ljust(width) for field, width in zip(line, widths, strict=True)).rstrip()


def _field(counts: Counter[Outcome] | None) -> str:
    return " / ".join(str(counts[outcome]) for outcome in OUTCOMES) if counts else "-"
