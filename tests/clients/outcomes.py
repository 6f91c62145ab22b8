"""What came of the cases: read from the clients' lines, shown as a table, counted."""

from collections.abc import Iterable, Sequence

from msgspec import DecodeError, Struct, field
from msgspec.json import Decoder

# The columns, and what each counts: a case and the same in a stream are one.
_STREAMED = ", stream"
_NONE = "-"


class Outcome(Struct, frozen=True):
    """A case of one client at one place. `trouble` says what was wrong, "" where nothing was."""

    client: str
    place: str
    case: str
    trouble: str = ""


class LeftOut(Struct, frozen=True):
    """Cases that aren't asked about, and why: a client has no way for it, or the stand-in isn't as the real ones."""

    who: str
    what: tuple[str, ...]
    why: str


class _Line(Struct):
    place: str = ""
    case: str = ""
    trouble: str = ""
    left_out: dict[str, str] = field(default_factory=dict)


_line = Decoder(_Line).decode


def read(client: str, lines: bytes) -> tuple[list[Outcome], list[LeftOut]]:
    """What a client's program has told, a JSON object a line."""
    outcomes: list[Outcome] = []
    left_out: list[LeftOut] = []
    for line in lines.splitlines():
        try:
            told = _line(line)
        except DecodeError:
            outcomes.append(Outcome(client, "", "told", f"it said {line[:200]!r}"))
            continue
        if told.case:
            outcomes.append(Outcome(client, told.place, told.case, told.trouble))
        left_out += (
            LeftOut(client, tuple(case for case, one in told.left_out.items() if one == why), why)
            for why in dict.fromkeys(told.left_out.values())
        )
    return outcomes, left_out


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Clients by cases, each over all places; then what failed, each with its reason."""
    columns = list(dict.fromkeys(_column(one) for one in outcomes))
    cells: dict[str, dict[str, list[Outcome]]] = {}
    for one in outcomes:
        cells.setdefault(one.client, {}).setdefault(_column(one), []).append(one)
    rows = [["client", *columns]]
    rows += [[client, *(_cell(row.get(column, ())) for column in columns)] for client, row in cells.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    failures = [f"FAILED {one.client} -> {one.place or '?'}: {one.case}: {one.trouble}" for one in failed(outcomes)]
    return [*lines, *failures]


def failed(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return [one for one in outcomes if one.trouble]


def _column(one: Outcome) -> str:
    return one.case.removesuffix(_STREAMED)


def _cell(outcomes: Sequence[Outcome]) -> str:
    if not outcomes:
        return _NONE
    wrong = len(failed(outcomes))
    return f"FAILED {wrong}/{len(outcomes)}" if wrong else f"ok {len(outcomes)}"
