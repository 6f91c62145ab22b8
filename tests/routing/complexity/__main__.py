"""Prints the confusion tables of docs/complexity.md: python -m tests.routing.complexity."""

import sys

from tests.routing.complexity import confusion, prompts, table


def tables() -> str:
    labelled = prompts()
    sets = {
        "Tuning half": [prompt for prompt in labelled if not prompt.held_out],
        "Held-out half": [prompt for prompt in labelled if prompt.held_out],
        "Translations": prompts("translated.jsonl"),
    }
    return "\n\n".join(table(title, confusion(found)) for title, found in sets.items())


if __name__ == "__main__":
    sys.stdout.write(tables() + "\n")
