"""A request in the words of Triton's generate extension (its docs/protocol/extension_generate.md).

A top-level field is a model's input where the model has one of that name, else a parameter: a text, a number or a flag.
So one request suits the two backends that generate:

- TensorRT-LLM has inputs for each setting (tensorrtllm_backend's docs/model_config.md), and passes over parameters.
- vLLM has the input `sampling_parameters`, a JSON text, as Triton's own OpenAI front end fills it, and passes over all
  parameters once it is there (vllm_backend's src/utils/request.py).

Several stop sequences are a list, which only TensorRT-LLM's input `stop_words` takes: vLLM's answer 400 to it. The
answer is asked for without the prompt before it, and with its finish and its tokens counted where a backend can.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw
from msgspec.json import encode

from gateway.wire import raw
from gateway.wire.ir import Ask
from gateway.wire.losses import Losses
from gateway.wire.tgi.prompt import lose_what_a_prompt_cannot_say, write_prompt

# TensorRT-LLM's names for what vLLM calls by ours.
_SAMPLING: Final[Mapping[str, str]] = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "random_seed",
    "repetition_penalty": "repetition_penalty",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
# TensorRT-LLM must be told a number, and vLLM takes 16 without one.
_MOST_TOKENS: Final = 1024
_NOTHING: Final = Raw(b'""')
_TRUE: Final = Raw(b"true")
_FALSE: Final = Raw(b"false")


def write_request(ask: Ask, losses: Losses) -> dict[str, Raw]:
    """The fields; the model is named in the path."""
    lose_what_a_prompt_cannot_say(ask, losses)
    if ask.max_tokens is None:
        losses.mapped("max_tokens")
    most = Raw(encode(ask.max_tokens if ask.max_tokens is not None else _MOST_TOKENS))
    fields = {
        "text_input": raw.text_of(write_prompt(ask, losses)),
        "stream": _TRUE if ask.stream else _FALSE,
        "max_tokens": most,
        # Its first versions want both.
        "bad_words": _NOTHING,
        "stop_words": _NOTHING,
    }
    sampling: dict[str, object] = {"max_tokens": most}
    for name, value in ask.sampling.items():
        if name in _SAMPLING:
            sampling[name] = fields[_SAMPLING[name]] = value
        else:
            losses.dropped(name)
    if ask.stop:
        sampling["stop"] = ask.stop
        fields["stop_words"] = Raw(encode(ask.stop if len(ask.stop) > 1 else ask.stop[0]))
    fields["sampling_parameters"] = raw.text_of(encode(sampling).decode())
    for name in (
        "exclude_input_in_output",
        "return_finish_reason",
        "return_num_input_tokens",
        "return_num_output_tokens",
    ):
        fields[name] = _TRUE
    if ask.format is not None:
        losses.dropped("format")
    if ask.logprobs is not None:
        losses.dropped("logprobs")
    return fields
