"""What an answer used, both ways (platform.claude.com, Messages API, `usage`).

Anthropic's `input_tokens` leave out what was read from a cache or written to one; ours hold both. Counts in a stream
are of the whole answer so far, so a later one replaces an earlier one, on hosts that repeat the input's as well.
"""

from typing import Final

from msgspec import DecodeError, Raw, structs
from msgspec.json import Decoder

from gateway.features import Usage
from gateway.wire.anthropic_event import Spent
from gateway.wire.losses import Losses

_fields: Final = Decoder(dict[str, object]).decode
_COUNTS: Final = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_DETAILS: Final = "output_tokens_details"
_THOUGHT: Final = "thinking_tokens"
_WRITTEN: Final = "cache_creation_input_tokens"
_HOUR: Final = "ephemeral_1h_input_tokens"


class Spending:
    """Gathers the counts of one answer, whole or streamed. `tier` is the one it was served at, "" if unsaid."""

    __slots__ = ("_counts", "tier")

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self.tier = ""

    def add(self, raw: Raw, losses: Losses) -> None:
        """A `usage` object; what doesn't fit counts as unsaid, as it does with official clients."""
        try:
            said = _fields(raw)
        except DecodeError:
            return
        self._counts |= _integers(said, _COUNTS)
        self._counts |= _integers(said.get(_DETAILS), (_THOUGHT,))
        kept = _integers(said.get("cache_creation"), (_HOUR, "ephemeral_5m_input_tokens"))
        if kept and _WRITTEN not in said:
            self._counts[_WRITTEN] = sum(kept.values())
        if kept.get(_HOUR):
            losses.dropped("cache.ttl")
        searches = said.get("server_tool_use")
        if isinstance(searches, dict) and any(searches.values()):
            losses.dropped("server_tool_use")
        tier = said.get("service_tier")
        if isinstance(tier, str):
            self.tier = tier

    def usage(self) -> Usage | None:
        thought = self._counts.get(_THOUGHT, 0)
        plain, output, read, written = map(self._counts.get, _COUNTS)
        usage = Spent(plain, output, read, written).usage()
        if usage is None or not 0 < thought <= usage.output_tokens:
            return usage
        return structs.replace(usage, reasoning_tokens=thought)


def _integers(said: object, names: tuple[str, ...]) -> dict[str, int]:
    if not isinstance(said, dict):
        return {}
    return {name: count for name in names if type(count := said.get(name)) is int}


def write(usage: Usage | None) -> dict[str, object]:
    """A `usage` object. Official clients need one, so nothing known is said as zeros."""
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    cached = usage.cached_tokens + usage.cache_written_tokens
    said: dict[str, object] = {
        "input_tokens": max(0, usage.input_tokens - cached),
        _WRITTEN: usage.cache_written_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        said[_DETAILS] = {_THOUGHT: usage.reasoning_tokens}
    return said
