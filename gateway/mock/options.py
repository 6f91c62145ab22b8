"""What a stand-in model server is told at start."""

import re
from dataclasses import dataclass

# Only what has an answer here. A new language adds its name together with its answers.
SPEAKS = ("openai_chat",)

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m)")
_UNIT_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def seconds_of(text: str) -> float:
    """The seconds in a duration with its unit, such as `80ms`; a bare `0` needs none. ValueError otherwise."""
    if text == "0":
        return 0.0
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a duration: write a number and its unit, such as 80ms, 2s or 1m")
    return float(found[1]) * _UNIT_S[found[2]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MockOptions:
    """How one stand-in answers. At once, unless told otherwise: the command's own defaults are slower."""

    host: str = "127.0.0.1"
    port: int = 0
    speaks: str = "openai_chat"
    models: tuple[str, ...] = ("mock-model",)  # empty: any name is answered
    loras: tuple[str, ...] = ()
    max_loras: int = 4
    place: str = ""
    ttft_s: float = 0.0
    tpot_s: float = 0.0
    tokens: int = 16  # length of an answer to a request without max_tokens
    slots: int = 8
    cold_s: float = 0.0
    kv_blocks: int = 4096
    block_tokens: int = 16
    max_model_len: int = 131_072
    dimensions: int = 64
    faults: tuple[str, ...] = ()
    events: int = 0  # more than 0: every stream is this many events, each of event_bytes
    event_bytes: int = 250
    keep_bodies: bool = False
    keep_entries: int = 10_000

    def __post_init__(self) -> None:
        if self.speaks not in SPEAKS:
            raise ValueError(f"this stand-in speaks {', '.join(SPEAKS)}, not {self.speaks!r}")
        for name in ("slots", "kv_blocks", "block_tokens", "tokens", "dimensions", "keep_entries"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("ttft_s", "tpot_s", "cold_s", "events"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
