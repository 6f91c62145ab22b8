"""A request in text-generation-inference's words (its docs/openapi.json, GenerateRequest)."""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw
from msgspec.json import decode, encode

from gateway.wire import raw
from gateway.wire.ir import Ask
from gateway.wire.losses import Losses
from gateway.wire.tgi.prompt import lose_what_a_prompt_cannot_say, write_prompt

_SAMPLING: Final = frozenset(("temperature", "top_p", "top_k", "seed", "repetition_penalty", "frequency_penalty"))
# Values that say the default and that it refuses: it wants a temperature above 0, a top_p below 1.
_DEFAULTS: Final[Mapping[str, float]] = {"temperature": 0, "top_p": 1}


def write_request(ask: Ask, losses: Losses) -> dict[str, Raw]:
    """The fields; the model is the server's."""
    parameters: dict[str, object] = {
        # Left out it means 100 tokens; null, as many as there is room for.
        "max_new_tokens": ask.max_tokens,
        "details": True,
        "return_full_text": False,
        # As its own chat does; otherwise it always takes the likeliest token.
        "do_sample": not _says_default(ask, "temperature"),
    }
    for name, value in ask.sampling.items():
        if name not in _SAMPLING:
            losses.dropped(name)
        elif not _says_default(ask, name):
            parameters[name] = value
    if ask.stop:
        parameters["stop"] = ask.stop
    if ask.logprobs is not None:
        # Without alternatives it tells no numbers that could be told from those it always tells.
        parameters["top_n_tokens"] = max(ask.logprobs, 1)
    if ask.format is not None:
        if ask.format.schema is None:
            losses.dropped("format")
        else:
            parameters["grammar"] = {"type": "json", "value": ask.format.schema}
    lose_what_a_prompt_cannot_say(ask, losses)
    return {
        "inputs": raw.text_of(write_prompt(ask, losses)),
        "parameters": Raw(encode(parameters)),
        "stream": Raw(b"true" if ask.stream else b"false"),
    }


def _says_default(ask: Ask, name: str) -> bool:
    return name in _DEFAULTS and name in ask.sampling and decode(ask.sampling[name]) == _DEFAULTS[name]
