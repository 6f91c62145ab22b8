"""What is left of a file with errors, so that one run also finds what is wrong further on. It is never served."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from gateway.settings.findings import KEY, Findings, meant, value_at
from gateway.settings.yaml import Document, Place

M = TypeVar("M", bound=BaseModel)

MOST_ROUNDS = 8


def validated(document: Document, kind: type[M], findings: Findings) -> M | None:
    """A document as its model. Wrong parts are found, said and left out; None where nothing is left."""
    for _ in range(MOST_ROUNDS):
        try:
            return kind.model_validate(document.value)
        except ValidationError as error:
            findings.invalid(document, kind, error)
            details = error.errors(include_url=False, include_input=False, include_context=False)
        unknown = [tuple(detail["loc"]) for detail in details if detail["type"] == "extra_forbidden"]
        for place in unknown:
            name = meant(kind, place)
            _rename(document, place, name)
            findings.renamed(document, place, (*place[:-1], name))
        # What a misspelt key has left missing may be there now, so nothing else goes in the same round.
        if not unknown and not sum(_leave_out(document, tuple(one["loc"]), one["type"]) for one in details):
            return None
    return None


def _leave_out(document: Document, place: Place, error: str) -> bool:
    """Remove a wrong node, and say whether there was one to remove.

    A row that lacks something goes whole. A list's item takes the list with it, so that what stays keeps its place.
    """
    if error == "missing" or (place and place[-1] == KEY):
        place = place[:-1]
    while place and isinstance(place[-1], int):
        place = place[:-1]
    around = value_at(document.value, place[:-1])
    if not place or not isinstance(around, dict) or place[-1] not in around:
        return False
    del around[str(place[-1])]
    return True


def _rename(document: Document, place: Place, name: str) -> None:
    """Take a misspelt key for the one it resembles, so that nothing is said to be missing for its sake."""
    around = value_at(document.value, place[:-1])
    if not isinstance(around, dict) or place[-1] not in around:
        return
    value = around.pop(str(place[-1]))
    if name and name not in around:
        around[name] = value
        at = len(place) - 1
        for inner, line in list(document.lines.items()):
            if inner[: at + 1] == place:
                document.lines.setdefault((*place[:-1], name, *inner[at + 1 :]), line)
