"""What an answer says it used, in the words of everyone who speaks OpenAI's language.

`Spent` is decoded from every answer; `spent_in` reads the same from what doesn't fit its types.
"""

from typing import Final

from msgspec import Struct, convert

from gateway.features import Usage

# Above this no model can have used anything: the count is noise, and our own estimate is better (reliability, row F38).
MOST_TOKENS: Final = 1_000_000_000


class InputDetails(Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None  # OpenRouter


class OutputDetails(Struct, gc=False):
    reasoning_tokens: int | None = None


class Spent(Struct, gc=False):
    """A `usage` object. `input_tokens` and `output_tokens` are the words of images and audio."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None  # Moonshot, Hugging Face
    num_cached_tokens: int | None = None  # Mistral
    prompt_cache_hit_tokens: int | None = None  # DeepSeek
    cache_creation_input_tokens: int | None = None  # Anthropic's models behind others


def read_usage(spent: Spent) -> Usage | None:
    """The counts in tokens; None where there are none, or where no model can have used that much (row F38).

    A zero that is written is zero. Thinking is output: OpenAI counts it in `completion_tokens`, xAI and Gemini count
    it in `total_tokens` only.
    """
    prompt = spent.prompt_tokens if spent.prompt_tokens is not None else spent.input_tokens
    output = spent.completion_tokens if spent.completion_tokens is not None else spent.output_tokens
    total = spent.total_tokens
    inside, outside = spent.prompt_tokens_details, spent.completion_tokens_details
    cached = inside.cached_tokens if inside is not None else None
    if cached is None:
        cached = spent.prompt_cache_hit_tokens or spent.cached_tokens or spent.num_cached_tokens or 0
    written = inside.cache_write_tokens if inside is not None else None
    if written is None:
        written = spent.cache_creation_input_tokens or 0
    thought = (outside.reasoning_tokens if outside is not None else None) or 0
    if total is not None:
        if prompt is not None and output is not None and prompt + output == total:
            pass  # as nearly everyone counts
        elif prompt is None:
            prompt = total - (output or 0)  # Voyage counts only the total
        elif total > prompt + (output or 0):
            uncounted = total - prompt - (output or 0)
            if thought in (0, uncounted):
                output = (output or 0) + uncounted
                thought = uncounted
    elif prompt is None and output is None:
        return None
    prompt, output = prompt or 0, output or 0
    if not (0 <= prompt <= MOST_TOKENS and 0 <= output <= MOST_TOKENS):
        return None
    if not (cached or written or thought):
        return Usage(prompt, output)
    if not 0 <= min(cached, written, thought) <= max(cached, written, thought) <= MOST_TOKENS:
        return None
    # OpenRouter tells the same tokens of Gemini's as read and as written; both together are never more than all.
    return Usage(prompt, output, cached, min(written, max(prompt - cached, 0)), thought)


def spent_in(value: object) -> Spent | None:
    """A `usage` object of whatever types: what is no whole number is left out. None where it is no object."""
    if not isinstance(value, dict):
        return None
    spent: dict[str, object] = {**_counts(value)}
    for details in ("prompt_tokens_details", "completion_tokens_details"):
        spent[details] = _counts(value.get(details))
    return convert(spent, Spent)


def _counts(value: object) -> dict[str, int]:
    if not isinstance(value, dict):
        return {}
    return {name: int(count) for name, count in value.items() if _is_whole(count)}


def _is_whole(count: object) -> bool:
    if isinstance(count, float):
        return count.is_integer()
    return isinstance(count, int) and not isinstance(count, bool)
