"""Labelled prompts, their halves, and how often the classifier agrees. README.md says where they are from."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from gateway.routing.complexity import Class, Signs, complexity

FOLDER = Path(__file__).parent


class Prompt(msgspec.Struct, frozen=True, rename={"name": "class", "source": "from"}):
    """One line of the data: `why` is the number of the guideline's rule that is broken, 0 of a simple one."""

    source: str
    name: Class
    text: str
    why: int = 0
    language: str = "en"

    @property
    def held_out(self) -> bool:
        """Whether it is of the half that no rule was tuned on, by the first byte of its text's SHA-256."""
        return hashlib.sha256(self.text.encode()).digest()[0] % 2 == 1


class Confusion(msgspec.Struct, frozen=True):
    """How many prompts of a class were given which."""

    simple_as_simple: int
    simple_as_complex: int
    complex_as_simple: int
    complex_as_complex: int

    @property
    def simple(self) -> int:
        return self.simple_as_simple + self.simple_as_complex

    @property
    def complex(self) -> int:
        return self.complex_as_simple + self.complex_as_complex


def prompts(file: str = "prompts.jsonl") -> list[Prompt]:
    return msgspec.json.Decoder(Prompt).decode_lines((FOLDER / file).read_bytes())


def confusion(labelled: Iterable[Prompt]) -> Confusion:
    found = Counter((prompt.name, complexity(Signs(prompt.text)).name) for prompt in labelled)
    return Confusion(
        simple_as_simple=found["simple", "simple"],
        simple_as_complex=found["simple", "complex"],
        complex_as_simple=found["complex", "simple"],
        complex_as_complex=found["complex", "complex"],
    )


def table(title: str, found: Confusion) -> str:
    """The confusion table of one set as text."""
    missed = 100 * found.complex_as_simple / found.complex
    small = 100 * found.simple_as_simple / found.simple
    return "\n".join(
        [
            f"{title}: {found.simple + found.complex} prompts",
            "                     judged simple  judged complex",
            f"  labelled simple    {found.simple_as_simple:13}  {found.simple_as_complex:14}   {small:.1f} % found",
            f"  labelled complex   {found.complex_as_simple:13}  {found.complex_as_complex:14}   {missed:.1f} % missed",
        ]
    )
