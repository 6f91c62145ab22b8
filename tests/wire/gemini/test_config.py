import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.json import decode, encode

from gateway.errors import BadRequest, UnsupportedFeature
from gateway.wire.gemini.config import read_config, write_config
from gateway.wire.gemini.fields import raw_of
from gateway.wire.ir import Ask, Effort, Format, Turn
from gateway.wire.losses import Losses

SCHEMA = raw_of({"type": "object"})
NEW = "gemini-3-pro"
OLD = "gemini-2.5-flash"


def read(**config: object) -> Ask:
    ask = Ask("gemini", "m", [Turn("user", [])])
    read_config(ask, {name: raw_of(value) for name, value in config.items()})
    return ask


def written(ask: Ask, model: str = NEW, losses: Losses | None = None) -> dict[str, object]:
    return write_config(ask, model, losses or Losses())


def thinks(effort: Effort, model: str = NEW, origin: str = "openai_chat") -> tuple[object, list[str]]:
    losses = Losses()
    config = written(Ask(origin, "m", [], thinking=effort), model, losses)
    return config.get("thinkingConfig"), losses.names()


def test_numbers_cross_as_they_were_written() -> None:
    ask = Ask("gemini", "m", [])
    config = {name: Raw(b"0.10") for name in ("temperature", "topP", "topK", "presencePenalty", "frequencyPenalty")}
    config["seed"] = Raw(b"7")
    read_config(ask, config.copy())
    assert sorted(ask.sampling) == [
        "frequency_penalty",
        "presence_penalty",
        "seed",
        "temperature",
        "top_k",
        "top_p",
    ]
    assert written(ask) == config


def test_limits_are_read_and_written() -> None:
    ask = read(maxOutputTokens=5, candidateCount=2, stopSequences=["a"], responseLogprobs=True, logprobs=3)
    assert (ask.max_tokens, ask.n, ask.stop, ask.logprobs) == (5, 2, ["a"], 3)
    assert written(ask) == {
        "maxOutputTokens": 5,
        "candidateCount": 2,
        "stopSequences": ["a"],
        "responseLogprobs": True,
        "logprobs": 3,
    }


def test_logprobs_may_be_asked_for_without_others() -> None:
    assert written(read(responseLogprobs=True)) == {"responseLogprobs": True}
    assert read(responseLogprobs=False, logprobs=2).other == {"generationConfig.logprobs": Raw(b"2")}


@pytest.mark.parametrize(
    ("name", "value"),
    [("maxOutputTokens", 0), ("candidateCount", True), ("stopSequences", "a"), ("thinkingConfig", 1)],
)
def test_a_wrong_value_is_named(name: str, value: object) -> None:
    with pytest.raises(BadRequest) as caught:
        read(**{name: value})
    assert caught.value.param == f"generationConfig.{name}"


@pytest.mark.parametrize(
    ("config", "form"),
    [
        ({"responseMimeType": "text/plain"}, None),
        ({"responseMimeType": "application/json"}, Format()),
        ({"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}}, Format(SCHEMA)),
        ({"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT"}}, Format(SCHEMA)),
        ({"responseSchema": {"type": "OBJECT"}}, Format(SCHEMA)),
    ],
)
def test_the_answers_form_is_read(config: dict[str, object], form: Format | None) -> None:
    ask = read(**config)
    assert ask.format == form
    assert not ask.other


def test_an_answer_out_of_a_list_is_googles_own() -> None:
    ask = read(responseMimeType="text/x.enum", responseSchema={"type": "STRING"})
    assert ask.format is None
    assert sorted(ask.other) == ["generationConfig.responseMimeType", "generationConfig.responseSchema"]


def test_the_answers_form_is_written() -> None:
    losses = Losses()
    assert written(Ask("x", "m", [], format=Format()), NEW, losses) == {"responseMimeType": "application/json"}
    form = Format(SCHEMA, "name", "what it is", strict=True)
    assert written(Ask("x", "m", [], format=form), NEW, losses) == {
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
    }
    assert losses.names() == ["format.name", "format.description"]


def test_text_alone_is_what_answers_are_anyway() -> None:
    assert not read(responseModalities=["text"]).other
    assert list(read(responseModalities=["TEXT", "IMAGE"], speechConfig={}).other) == [
        "generationConfig.responseModalities",
        "generationConfig.speechConfig",
    ]


@pytest.mark.parametrize(
    ("said", "effort", "other"),
    [
        ({}, Effort(), {}),
        ({"thinkingLevel": "LOW", "includeThoughts": True}, Effort("low", shown=True), {}),
        ({"thinking_level": "XHIGH"}, Effort("xhigh"), {}),
        ({"thinking_budget": 512, "include_thoughts": False}, Effort(tokens=512, shown=False), {}),
        ({"thinkingBudget": 0}, Effort("none"), {}),
        ({"thinkingBudget": -1}, Effort(), {"generationConfig.thinkingConfig.thinkingBudget": Raw(b"-1")}),
        ({"thinkingLevel": "ODD"}, Effort(), {"generationConfig.thinkingConfig.thinkingLevel": Raw(b'"ODD"')}),
        ({"else": 1}, Effort(), {"generationConfig.thinkingConfig.else": Raw(b"1")}),
    ],
)
def test_the_effort_is_read(said: object, effort: Effort, other: object) -> None:
    ask = read(thinkingConfig=said)
    assert ask.thinking == effort
    assert ask.other == other


@pytest.mark.parametrize(
    ("effort", "model", "config", "lost"),
    [
        (Effort(tokens=100, shown=True), NEW, {"thinkingBudget": 100, "includeThoughts": True}, []),
        (Effort("low"), NEW, {"thinkingLevel": "LOW"}, []),
        (Effort("none"), NEW, {"thinkingLevel": "MINIMAL"}, ["thinking=mapped"]),
        (Effort("xhigh"), NEW, {"thinkingLevel": "HIGH"}, ["thinking=mapped"]),
        (Effort("max"), NEW, {"thinkingLevel": "HIGH"}, ["thinking=mapped"]),
        (Effort("none"), OLD, {"thinkingBudget": 0}, []),
        (Effort("medium"), OLD, {"thinkingBudget": 8192}, ["thinking=mapped"]),
        (Effort("max"), OLD, {"thinkingBudget": 24576}, ["thinking=mapped"]),
        (Effort(shown=False), OLD, {"includeThoughts": False}, []),
        (Effort(), NEW, None, []),
        (Effort("high"), "gemini-2.0-flash", None, ["thinking"]),
        (Effort("none"), "gemini-2.0-flash", None, []),
    ],
)
def test_the_effort_is_written_as_the_model_knows_it(
    effort: Effort, model: str, config: object, lost: list[str]
) -> None:
    assert thinks(effort, model) == (config, lost)


def test_googles_own_words_are_written_back() -> None:
    assert thinks(Effort("xhigh"), origin="gemini") == ({"thinkingLevel": "XHIGH"}, [])
    assert thinks(Effort("none"), origin="gemini") == ({"thinkingBudget": 0}, [])


def test_what_google_has_no_number_for_is_lost() -> None:
    losses = Losses()
    assert written(Ask("x", "m", [], sampling={"min_p": Raw(b"1")}), NEW, losses) == {}
    assert losses.names() == ["min_p"]


@pytest.mark.parametrize(
    ("seed", "said", "lost"),
    [
        (b"7", b"7", []),
        (b"-2147483647", b"-2147483647", []),
        (b"2147483648", b"0", ["seed=mapped"]),
        (b"-2147483649", b"2147483647", ["seed=mapped"]),
        (b"18446744073709551621", b"5", ["seed=mapped"]),
        (b"4294967299.0", b"3", ["seed=mapped"]),
        (b"0.5", b"0.5", []),
        (b'"7"', b'"7"', []),
    ],
)
def test_a_seed_of_more_than_32_bits_is_folded(seed: bytes, said: bytes, lost: list[str]) -> None:
    losses = Losses()
    config = written(Ask("openai_chat", "m", [], sampling={"seed": Raw(seed)}), NEW, losses)
    assert encode(config) == b'{"seed":%b}' % said
    assert losses.names() == lost


@given(st.integers(), st.integers())
def test_a_seed_is_the_same_each_time_and_of_32_bits(one: int, other: int) -> None:
    first, again, second = (
        decode(encode(written(Ask("openai_chat", "m", [], sampling={"seed": Raw(b"%d" % seed)}))["seed"]))
        for seed in (one, one, other)
    )
    assert first == again
    assert -(2**31) <= min(first, second) <= max(first, second) < 2**31


def test_googles_own_seed_is_googles_to_judge() -> None:
    assert written(Ask("gemini", "m", [], sampling={"seed": Raw(b"4294967296")})) == {"seed": Raw(b"4294967296")}


def test_several_answers_cannot_cross() -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        written(Ask("x", "m", [], n=2))
    assert caught.value.param == "n"
