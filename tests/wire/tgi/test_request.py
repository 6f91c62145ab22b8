import pytest
from msgspec import Raw
from msgspec.json import decode

from gateway.errors import UnsupportedFeature
from gateway.wire.ir import Ask, Format, Text, Turn
from gateway.wire.losses import Losses
from gateway.wire.tgi.request import write_request


def asked(**fields: object) -> tuple[dict[str, object], list[str]]:
    ask = Ask("openai_chat", "m", [Turn("user", [Text("hi")])])
    for name, value in fields.items():
        setattr(ask, name, value)
    losses = Losses()
    return {name: decode(raw) for name, raw in write_request(ask, losses).items()}, losses.names()


PLAIN = {"max_new_tokens": None, "details": True, "return_full_text": False, "do_sample": True}


def test_a_plain_request_takes_as_many_tokens_as_there_is_room_for() -> None:
    assert asked() == (
        {"inputs": "User: hi\n\nAssistant:", "parameters": PLAIN, "stream": False},
        ["messages=mapped"],
    )
    assert asked(stream=True)[0]["stream"] is True


def test_parameters() -> None:
    names = ("temperature", "top_p", "top_k", "seed", "repetition_penalty", "frequency_penalty")
    fields, lost = asked(
        max_tokens=7, stop=["a"], logprobs=3, sampling=dict.fromkeys((*names, "presence_penalty", "min_p"), Raw(b"0.5"))
    )
    assert fields["parameters"] == PLAIN | dict.fromkeys(names, 0.5) | {
        "max_new_tokens": 7,
        "stop": ["a"],
        "top_n_tokens": 3,
    }
    assert lost == ["presence_penalty", "min_p", "messages=mapped"]


def test_values_that_mean_the_default_and_that_it_refuses_are_left_out() -> None:
    fields, lost = asked(sampling={"temperature": Raw(b"0"), "top_p": Raw(b"1.0"), "top_k": Raw(b"1")})
    assert fields["parameters"] == PLAIN | {"do_sample": False, "top_k": 1}
    assert lost == ["messages=mapped"]


def test_numbers_of_each_token_come_with_one_alternative_at_least() -> None:
    parameters = asked(logprobs=0)[0]["parameters"]
    assert isinstance(parameters, dict)
    assert parameters["top_n_tokens"] == 1


def test_a_schema_is_a_grammar() -> None:
    fields, _ = asked(format=Format(Raw(b'{"type":"object"}')))
    assert fields["parameters"] == PLAIN | {"grammar": {"type": "json", "value": {"type": "object"}}}
    assert asked(format=Format())[1] == ["format", "messages=mapped"]


def test_several_answers_cannot_be_asked_for() -> None:
    with pytest.raises(UnsupportedFeature):
        asked(n=2)
