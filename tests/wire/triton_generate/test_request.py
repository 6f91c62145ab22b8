import pytest
from msgspec import Raw
from msgspec.json import decode

from gateway.errors import UnsupportedFeature
from gateway.wire.ir import Ask, Format, Text, Turn
from gateway.wire.losses import Losses
from gateway.wire.triton_generate.request import write_request


def asked(**fields: object) -> tuple[dict[str, object], list[str]]:
    ask = Ask("openai_chat", "m", [Turn("user", [Text("hi")])], max_tokens=7)
    for name, value in fields.items():
        setattr(ask, name, value)
    losses = Losses()
    return {name: decode(raw) for name, raw in write_request(ask, losses).items()}, losses.names()


def test_a_plain_request_suits_both_backends() -> None:
    assert asked(stream=True) == (
        {
            "text_input": "User: hi\n\nAssistant:",
            "stream": True,
            "max_tokens": 7,
            "bad_words": "",
            "stop_words": "",
            "sampling_parameters": '{"max_tokens":7}',
            "exclude_input_in_output": True,
            "return_finish_reason": True,
            "return_num_input_tokens": True,
            "return_num_output_tokens": True,
        },
        ["messages=mapped"],
    )


def test_without_a_limit_there_is_one_and_it_is_said() -> None:
    fields, lost = asked(max_tokens=None)
    assert (fields["max_tokens"], fields["sampling_parameters"], fields["stream"]) == (
        1024,
        '{"max_tokens":1024}',
        False,
    )
    assert lost == ["max_tokens=mapped", "messages=mapped"]


def test_settings_are_named_twice() -> None:
    names = ("temperature", "top_p", "top_k", "seed", "repetition_penalty", "presence_penalty", "frequency_penalty")
    fields, lost = asked(sampling=dict.fromkeys((*names, "min_p"), Raw(b"0.50")))
    ours = dict.fromkeys(names, 0.5)
    sampling = fields["sampling_parameters"]
    assert isinstance(sampling, str)
    assert decode(sampling) == {"max_tokens": 7, **ours}
    del ours["seed"]
    assert {name: fields[name] for name in (*ours, "random_seed")} == ours | {"random_seed": 0.5}
    assert lost == ["messages=mapped", "min_p"]


@pytest.mark.parametrize(("stop", "said"), [(["a"], "a"), (["a", "b"], ["a", "b"])])
def test_a_stop_sequence_alone_is_a_text_that_both_take(stop: list[str], said: object) -> None:
    fields, _ = asked(stop=stop)
    assert fields["stop_words"] == said
    sampling = fields["sampling_parameters"]
    assert isinstance(sampling, str)
    assert decode(sampling) == {"max_tokens": 7, "stop": stop}


def test_what_has_no_field_is_lost_or_refused() -> None:
    assert asked(format=Format(), logprobs=0)[1] == ["messages=mapped", "format", "logprobs"]
    with pytest.raises(UnsupportedFeature):
        asked(n=2)
