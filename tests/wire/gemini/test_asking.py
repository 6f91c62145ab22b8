from msgspec import Raw
from msgspec.json import decode

from gateway.wire.gemini.asking import write_request
from gateway.wire.ir import Ask, Cache, Effort, Text, Tool, ToolChoice, Turn
from gateway.wire.losses import Losses

HI = [Turn("user", [Text("Hi")])]
SAID = {"role": "user", "parts": [{"text": "Hi"}]}


def written(ask: Ask, losses: Losses | None = None) -> dict[str, object]:
    return {name: decode(raw) for name, raw in write_request(ask, "gemini-3-pro", losses or Losses()).items()}


def test_a_short_request_is_short() -> None:
    assert written(Ask("openai_chat", "m", HI)) == {"contents": [SAID]}


def test_a_long_request_says_everything() -> None:
    losses = Losses()
    ask = Ask(
        "anthropic_messages",
        "m",
        HI,
        [Text("Be brief.", Cache()), Text("Be kind.")],
        tools=[Tool("f")],
        choice=ToolChoice("required"),
        max_tokens=5,
        thinking=Effort("low"),
        user="u",
        metadata={"a": "b"},
        service_tier="priority",
        cache_key="k",
        cache=Cache(),
        other={"container": Raw(b"1")},
    )
    assert written(ask, losses) == {
        "contents": [SAID],
        "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]},
        "tools": [{"functionDeclarations": [{"name": "f"}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "generationConfig": {"maxOutputTokens": 5, "thinkingConfig": {"thinkingLevel": "LOW"}},
        "serviceTier": "priority",
    }
    assert losses.names() == ["cache", "user", "metadata", "cache_key", "container"]


def test_the_usual_tier_goes_without_saying() -> None:
    losses = Losses()
    assert "serviceTier" not in written(Ask("openai_chat", "m", HI, service_tier="auto"), losses)
    assert not losses.noted
    assert "serviceTier" not in written(Ask("openai_chat", "m", HI, service_tier="scale"), losses)
    assert losses.names() == ["service_tier"]
    assert written(Ask("gemini", "m", HI, service_tier="standard"))["serviceTier"] == "standard"


def test_what_only_google_says_is_put_where_it_stood() -> None:
    other = {
        "labels": Raw(b'{"a": "b"}'),
        "generationConfig.thinkingConfig.thinkingBudget": Raw(b"-1"),
        "generationConfig.speechConfig": Raw(b"{}"),
        "contents.odd": Raw(b"1"),
    }
    assert written(Ask("gemini", "m", HI, max_tokens=5, other=other)) == {
        "contents": [SAID],
        "labels": {"a": "b"},
        "generationConfig": {"maxOutputTokens": 5, "thinkingConfig": {"thinkingBudget": -1}, "speechConfig": {}},
    }


def test_instructions_alone_are_the_question() -> None:
    losses = Losses()
    for turns in ([], [Turn("user", [Text("")])]):
        said = written(Ask("openai_responses", "m", list(turns), [Text("Tell a joke.")]), losses)
        assert said == {"contents": [{"role": "user", "parts": [{"text": "Tell a joke."}]}]}
    assert losses.names() == ["system=mapped"]
