"""How names that no model has are rewritten: config/models.yaml in a checkout, its copy in the package in a wheel."""

from pathlib import Path

from gateway.settings.catalogue import PACKAGE
from gateway.settings.findings import Findings
from gateway.settings.models import NameRuleRow, NamesFile
from gateway.settings.shape import NameRule
from gateway.settings.yaml import Document, Place

CHECKOUT = PACKAGE.parent / "config" / "models.yaml"
WHEEL = PACKAGE / "catalogue" / "models.yaml"


def shipped_names() -> Path | None:
    """Where the rules are that the program comes with; None where it comes without."""
    return next((path for path in (WHEEL, CHECKOUT) if path.is_file()), None)


def name_rules(document: Document, file: NamesFile, findings: Findings) -> tuple[NameRule, ...]:
    """The rules in their order; findings where one says too little, too much or nothing new."""
    for at, row in enumerate(file.rules):
        place: Place = ("rules", at)
        what, mend = _wrong(row)
        # Of a part that is itself wrong, and so isn't in the row, enough was said.
        if what and (row.starts or row.ends or not {(*place, "starts"), (*place, "ends")} & document.lines.keys()):
            findings.wrong(document, place, what, mend)
    return tuple(NameRule(row.starts or "", row.ends or "", row.becomes or "") for row in file.rules)


def _wrong(row: NameRuleRow) -> tuple[str, str]:
    """What is wrong with a rule, and its mend; nothing where it is right."""
    piece = row.starts or row.ends
    if piece is None:
        return "says of no name that it is meant", "add starts or ends"
    if row.starts and row.ends:
        return "has both starts and ends", "make two rules of it"
    if row.becomes == piece:
        return "changes nothing", "write what it becomes, or leave becomes out to remove it"
    if (row.becomes or "").count("#") > piece.count("#"):
        return "becomes has more digits than there are", "write at most as many #"
    return "", ""
