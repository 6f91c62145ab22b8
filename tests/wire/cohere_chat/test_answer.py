import pytest
from msgspec import Raw
from msgspec.json import decode, encode

from gateway.errors import UpstreamBroken, UpstreamError
from gateway.wire.cohere_chat.answer import lose_block, read_answer, says_thought, write_answer, write_part
from gateway.wire.cohere_chat.words import NAME, PLAN
from gateway.wire.ir import (
    Answer,
    Ask,
    Block,
    Citation,
    Foreign,
    Media,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gateway.wire.losses import Losses

ASK = Ask("openai_chat", "m", [])
RECORDED = (
    b'{"id":"e6080fed","finish_reason":"TOOL_CALL","message":{"role":"assistant","tool_calls":[{"function":{"arguments":'
    b'"{\\"city\\":\\"Paris\\"}","name":"get_weather"},"id":"get_weather_k5","type":"function"}],'
    b'"tool_plan":"I will use"},'
    b'"usage":{"billed_units":{"input_tokens":33,"output_tokens":22},"cached_tokens":144,'
    b'"tokens":{"input_tokens":1452,"output_tokens":33}}}'
)


def read(**fields: object) -> Answer:
    said = {"id": "1", "finish_reason": "COMPLETE", "message": {"role": "assistant"}} | fields
    return read_answer(encode(said), Losses())


def test_a_recorded_call_is_read() -> None:
    answer = read_answer(RECORDED, Losses())
    assert answer.content == [
        Thinking("I will use", origin=NAME, id=PLAN),
        ToolCall("get_weather_k5", "get_weather", '{"city":"Paris"}'),
    ]
    assert (answer.id, answer.finish) == ("e6080fed", "tools")
    assert answer.usage is not None
    assert answer.usage.input_tokens == 1452


def test_content_may_be_a_text_and_unknown_parts_are_ours() -> None:
    assert read(message={"content": "hi"}).content == [Text("hi")]
    raw = Raw(b'{"type":"chart","x":1}')
    parts = read(message={"content": [raw, {"type": "thinking"}, {"type": "text", "text": None}]}).content
    assert parts == [Foreign(NAME, "chart", raw), Thinking(), Text("")]


def test_a_call_without_an_id_gets_one_of_the_answers() -> None:
    calls = read(message={"tool_calls": [{}, {"function": {"name": "f"}}]}).content
    assert calls == [ToolCall("1call_0", ""), ToolCall("1call_1", "f")]


def test_an_answer_that_says_little_is_one_all_the_same() -> None:
    answer = read(id=None, finish_reason=None, usage=None, logprobs=None)
    assert answer == Answer([], "stop")


def test_an_error_inside_an_answer_is_one() -> None:
    with pytest.raises(UpstreamError):
        read_answer(b'{"id":"1","message":"internal error"}', Losses())
    with pytest.raises(UpstreamBroken):
        read_answer(b'{"id":"1"}', Losses())
    with pytest.raises(UpstreamBroken):
        read(finish_reason="ERROR")
    with pytest.raises(ValueError, match="Expected"):
        read_answer(b"[]", Losses())


def write(content: list[Block], **fields: str) -> tuple[dict[str, object], list[str]]:
    losses = Losses()
    answer = Answer(content, id="1", sequence=fields.get("sequence", ""), service_tier=fields.get("service_tier", ""))
    said = decode(write_answer(answer, ASK, losses), type=dict[str, object])
    return said, losses.names()


def test_an_answer_without_an_id_gets_one() -> None:
    said = decode(write_answer(Answer([]), ASK, Losses()), type=dict[str, object])
    assert str(said["id"]).startswith("chat_")


def test_an_answer_without_content_has_none() -> None:
    assert write([]) == ({"id": "1", "finish_reason": "COMPLETE", "message": {"role": "assistant"}}, [])


def test_a_citation_names_its_block() -> None:
    said, lost = write(
        [Thinking("t"), Text("abc", citations=[Citation("gemini", Raw(b"{}"), url="https://a.example")])]
    )
    message = said["message"]
    assert isinstance(message, dict)
    assert message["content"] == [{"type": "thinking", "thinking": "t"}, {"type": "text", "text": "abc"}]
    assert [citation["content_index"] for citation in message["citations"]] == [1]
    assert lost == ["citations=mapped"]


def test_content_that_cannot_be_said_leaves_no_gap() -> None:
    said, lost = write([Media("image", data="AAAA"), Text("x")])
    assert said["message"] == {"role": "assistant", "content": [{"type": "text", "text": "x"}]}
    assert lost == ["images"]


def test_what_is_said_beside_an_answer_is_lost() -> None:
    assert write([], sequence="END", service_tier="flex")[1] == ["stop=mapped", "service_tier"]


@pytest.mark.parametrize(
    ("block", "part", "lost"),
    [
        (Refusal("no"), {"type": "text", "text": "no"}, ["refusal=mapped"]),
        (Thinking("t", signature="s"), {"type": "thinking", "thinking": "t"}, ["thinking.signature"]),
        (Thinking(redacted="r"), None, ["thinking.redacted"]),
        (Thinking(), {"type": "thinking", "thinking": ""}, []),
        (Foreign("gemini", "executable_code", Raw(b"{}")), None, ["executable_code"]),
        (Media("image", data="AAAA"), None, ["images"]),
        (Media("document", text="d"), None, ["documents"]),
        (Media("audio", data="AAAA"), None, ["audio"]),
        (ToolResult("1", []), None, ["tool_results"]),
    ],
)
def test_blocks_are_said_as_near_as_can_be(block: Block, part: object, lost: list[str]) -> None:
    losses = Losses()
    assert write_part(block, losses) == part
    assert losses.names() == lost


def test_ours_is_said_as_it_was() -> None:
    raw = Raw(b'{"type":"chart"}')
    assert write_part(Foreign(NAME, "chart", raw), Losses()) == raw


def test_a_thought_that_only_others_can_read_is_not_shown() -> None:
    assert says_thought(Thinking("x", signature="s"), Losses())
    assert not says_thought(Thinking(signature="s"), Losses())


def test_a_block_that_is_lost_is_named() -> None:
    losses = Losses()
    lose_block(Media("video", url="x"), losses)
    assert losses.names() == ["video"]
