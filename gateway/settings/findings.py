"""What a reading of the configuration finds: problems, and notes on keys that have no effect yet."""

from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel, RootModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.errors import ConfigProblem
from gateway.settings.fields import UNCLEAR, kind_of
from gateway.settings.yaml import Document, Place, Value, path_of

MOST_NAMED = 12
MOST_SHOWN = 40
KEY = "[key]"

_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}


class Findings:
    """Collects what is found; of several words on one key the first counts."""

    def __init__(self) -> None:
        self.problems: list[ConfigProblem] = []
        self.notes: list[ConfigProblem] = []
        self._said: set[tuple[str, str]] = set()

    def add(self, problem: ConfigProblem, *, also: bool = False) -> None:
        """Take a problem in; `also` where it stands beside what was already said of its key."""
        if also or problem.key == "file" or (problem.file, problem.key) not in self._said:
            self._said.add((problem.file, problem.key))
            self.problems.append(problem)

    def wrong(self, document: Document, place: Place, what: str, mend: str = "") -> None:
        self.add(document.problem(place, what, mend))

    def renamed(self, document: Document, old: Place, new: Place) -> None:
        """Remember what was said of a misspelt key for the key it is taken for."""
        before, after = path_of(old), path_of(new)
        inside = (f"{before}.", f"{before}[")
        said = {key for file, key in self._said if file == document.file and (key == before or key.startswith(inside))}
        self._said |= {(document.file, after + key[len(before) :]) for key in said}

    def sorted(self) -> list[ConfigProblem]:
        """The problems file by file, and by line within each."""
        files = list(dict.fromkeys(problem.file for problem in self.problems))
        return sorted(self.problems, key=lambda problem: (files.index(problem.file), problem.line))

    def note(self, document: Document, place: Place, what: str, mend: str = "") -> None:
        self.notes.append(document.problem(place, what, mend))

    def invalid(self, document: Document, model: type[BaseModel], error: ValidationError) -> None:
        """Every error of a pydantic model, said at its line with its mend."""
        details = error.errors(include_url=False, include_input=False, include_context=True)
        unknown = [tuple(d["loc"]) for d in details if d["type"] == "extra_forbidden"]
        misspelt = {(*place[:-1], meant(model, place)) for place in unknown}
        for detail in details:
            place = tuple(detail["loc"])
            if detail["type"] == "missing" and (place in misspelt or place in document.lines):
                continue
            # What was wrong in it was said, and left it empty.
            if detail["type"] == "too_short" and not is_blank(document, place):
                continue
            what, mend = _said(document, model, place, detail)
            problem = document.problem(tuple(step for step in place if step != KEY), what, mend)
            # What a misspelt key holds may be wrong too.
            self.add(problem, also=detail["type"] == "extra_forbidden")


def suggestion(word: str, known: "list[str] | tuple[str, ...]", what: str) -> str:
    """The mend for a name nobody knows: the one likely meant, or those there are."""
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    if not known:
        return f"there is no {what}"
    more = ", …" if len(known) > MOST_NAMED else ""
    return f"known: {', '.join(known[:MOST_NAMED])}{more}"


def _inside(place: Place, other: Place) -> bool:
    return len(place) > len(other) and place[: len(other)] == other


def _said(document: Document, model: type[BaseModel], place: Place, detail: ErrorDetails) -> tuple[str, str]:
    kind = detail["type"]
    context = detail.get("ctx", {})
    value = value_at(document.value, place)
    if kind == UNCLEAR:
        return str(context["what"]), str(context["mend"])
    if kind == "missing":
        return "is missing", "add it"
    if kind == "extra_forbidden":
        return "is not a key here", suggestion(str(place[-1]), _keys(model, place), "key")
    if kind == "literal_error":
        return _choice(str(context["expected"]), value)
    if kind in _TYPES:
        return f"must be {_TYPES[kind]}, not {kind_of(value)}", _switch(value) if kind == "bool_type" else ""
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"{_shown(value)} is out of range", f"write {words} {context[bound]:g}"
    if kind in {"too_short", "string_too_short"}:
        return "is empty", "write at least one, or remove the key"
    return detail["msg"], ""


def _choice(expected: str, value: Value) -> tuple[str, str]:
    words = [word for word in expected.replace(" or ", ", ").replace("'", "").split(", ") if word]
    if not isinstance(value, str):
        return f"must be one of {', '.join(words)}, not {kind_of(value)}", "write the word"
    close = get_close_matches(value.lower(), words, n=1, cutoff=0.6)
    return (
        f"{_shown(value)} isn't one of {', '.join(words)}",
        f"did you mean {close[0]}?" if close else "write one of them",
    )


def _switch(value: Value) -> str:
    match str(value).lower():
        case "yes" | "on" | "y" | "true":
            return "write true"
        case "no" | "off" | "n" | "false":
            return "write false"
    return ""


def _shown(value: Value) -> str:
    text = str(value)
    simple = isinstance(value, str | int | float) and len(text) <= MOST_SHOWN and text.isprintable()
    return text if simple else "the value"


def value_at(value: Value, place: Place) -> Value:
    """The value at a place; None where there is none."""
    for step in place:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def is_blank(document: Document, place: Place) -> bool:
    """Whether nothing is written inside a node; what was left out for being wrong counts as written."""
    return not any(_inside(written, place) for written in document.lines)


def meant(model: type[BaseModel], place: Place) -> str:
    """The known key that an unknown one most resembles, or "" where none does."""
    close = get_close_matches(str(place[-1]), _keys(model, place), n=1, cutoff=0.6)
    return close[0] if close else ""


def _keys(model: type[BaseModel], place: Place) -> list[str]:
    """The keys known beside the last step of a place."""
    kind: object = model
    for step in place[:-1]:
        kind = _inner(kind, step)
    row = _row(kind)
    return [field.alias or name for name, field in row.model_fields.items()] if row else []


def _inner(kind: object, step: str | int) -> object:
    """The type of what is one step further in."""
    row = _row(kind)
    if row is not None and not issubclass(row, RootModel):
        for name, field in row.model_fields.items():
            if step == (field.alias or name):
                return field.annotation
        return None
    kind = row.model_fields["root"].annotation if row is not None else _bare(kind)
    arguments = get_args(kind)
    if get_origin(kind) is dict:
        return arguments[1]
    return arguments[0] if arguments else None


def _bare(kind: object) -> object:
    """A type without Annotated and without `| None`."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in {Union, UnionType}:
            kind = next(part for part in get_args(kind) if part is not type(None))
        else:
            return kind


def _row(kind: object) -> type[BaseModel] | None:
    bare = _bare(kind)
    return bare if isinstance(bare, type) and issubclass(bare, BaseModel) else None
