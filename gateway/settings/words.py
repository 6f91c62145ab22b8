"""What a name may look like."""

import re

# What begins so is the stand-in servers' own, and nobody else's.
STAND_IN = "mock/"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_MODEL = re.compile(r"[A-Za-z0-9*][A-Za-z0-9._:/@+*-]{0,255}")


def is_name(text: str) -> bool:
    """Whether a text may name a backend, a team, a key, a region or a POP."""
    return _NAME.fullmatch(text) is not None


def is_model(text: str) -> bool:
    """Whether a text may name a model, or be a glob of such names."""
    return _MODEL.fullmatch(text) is not None
