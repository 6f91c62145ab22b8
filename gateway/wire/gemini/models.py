"""What is known of Google's models by their names; one that isn't known is taken for a new one.

Since Gemini 3 a model wants its thoughts' signatures back, is told how hard to think by a level, and reads pictures in
tools' results (ai.google.dev, "Gemini 3 Developer Guide"). Before 2.5 none thinks (ai.google.dev, "Gemini thinking").
"""

import re
from typing import Final

_BEFORE_3: Final = re.compile(r"gemini-(?:pro|[12](?:[.-]|\Z))|gemma|learnlm")
_BEFORE_2_5: Final = re.compile(r"gemini-(?:pro|1[.-]|2\.0)|gemma|learnlm")


def is_before_3(model: str) -> bool:
    """Whether signatures of calls aren't asked back, thinking is counted in tokens, and results are text alone."""
    return _BEFORE_3.search(model) is not None


def thinks(model: str) -> bool:
    """Whether a `thinkingConfig` is accepted at all."""
    return _BEFORE_2_5.search(model) is None
