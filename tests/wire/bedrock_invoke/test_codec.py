import gzip
import json
import os
from binascii import b2a_base64
from pathlib import Path

import pytest
from msgspec.json import decode, encode

from gateway.errors import UnsupportedFeature, UpstreamBusy, UpstreamDenied, UpstreamRefused, UpstreamTruncated
from gateway.features import Usage
from gateway.wire.bedrock_invoke.codec import CODEC
from gateway.wire.codec import codec
from gateway.wire.eventstream import head, message
from gateway.wire.ir import (
    Ask,
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Cache,
    Event,
    Finished,
    Media,
    Started,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.wire.losses import Losses

CLAUDE = "eu.anthropic.claude-haiku-4-5-20251001-v1:0"
MOST = 1024 * 1024
NAMED = os.environ.get("GATEWAY_WIRE_CORPUS")  # noqa: TID251  (where recordings are is no setting of the gateway)
CORPUS = Path(NAMED) if NAMED else Path(__file__).parents[3].parent / "shared/wire/exchanges.jsonl.gz"
CHUNK = head("event", "chunk")
EVENTS = (
    {
        "type": "message_start",
        "message": {"id": "msg_1", "model": "claude-haiku-4-5", "content": [], "usage": {"input_tokens": 3}},
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi."}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3}},
)


def chunk(event: object) -> bytes:
    inner = b2a_base64(encode(event), newline=False).decode()
    return message(CHUNK, encode({"bytes": inner, "p": "abc"}))


def written(ask: Ask) -> tuple[dict[str, object], list[str]]:
    losses = Losses()
    fields = CODEC.write_request(ask, CLAUDE, losses)
    return decode(encode(fields)), losses.names()


def read(data: bytes, size: int) -> list[Event]:
    framing, reader = CODEC.framing(MOST), CODEC.reader(Losses())
    events: list[Event] = []
    for at in range(0, len(data), size):
        for name, payload, _ in framing.feed(data[at : at + size]):
            events += reader.feed(name, payload)
    return events + reader.end()


def asked(**more: object) -> Ask:
    fields = {"stream": True, **more}
    ask = Ask("openai_chat", "m", [Turn("user", [Text("Hi")])], max_tokens=9)
    for name, value in fields.items():
        setattr(ask, name, value)
    return ask


@pytest.mark.parametrize(
    ("media", "word"),
    [
        (Media("image", url="https://a.example/x.png"), "images"),
        (Media("document", url="https://a.example/x.pdf"), "documents"),
        (Media("image", file="file_1"), "files"),
    ],
)
@pytest.mark.parametrize("origin", ["openai_chat", "anthropic_messages"])
def test_what_amazon_would_have_to_fetch_is_refused_in_the_question(origin: str, media: Media, word: str) -> None:
    ask = Ask(origin, "m", [Turn("user", [media, Text("What is it?")])], max_tokens=9)
    with pytest.raises(UnsupportedFeature) as refused:
        CODEC.write_request(ask, CLAUDE, Losses())
    assert refused.value.param == word
    inside = Ask(origin, "m", [Turn("user", [ToolResult("t1", [media])])], max_tokens=9)
    with pytest.raises(UnsupportedFeature):
        CODEC.write_request(inside, CLAUDE, Losses())


@pytest.mark.parametrize("origin", ["openai_chat", "anthropic_messages"])
def test_what_amazon_would_have_to_fetch_is_lost_in_an_older_turn(origin: str) -> None:
    turns = [
        Turn("user", [Media("image", url="https://a.example/x.png"), Text("this")]),
        Turn("assistant", [Text("Yes.")]),
        Turn("user", [Media("image", url="https://a.example/y.png")]),
        Turn("assistant", [Text("No.")]),
        Turn("user", [Text("Why?")]),
    ]
    losses = Losses()
    fields = CODEC.write_request(Ask(origin, "m", turns, max_tokens=9), CLAUDE, losses)
    assert "a.example" not in bytes(fields["messages"]).decode()
    assert [turn["content"] for turn in decode(fields["messages"]) if turn["role"] == "user"] == ["this", "Why?"]
    assert losses.names() == ["images"]


def test_pictures_cross_as_data() -> None:
    ask = Ask("openai_chat", "m", [Turn("user", [Media("image", "image/png", data="AAAA")])], max_tokens=9)
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    content = [{"type": "image", "source": source}]
    assert written(ask) == (
        {
            "messages": [{"role": "user", "content": content}],
            "max_tokens": 9,
            "anthropic_version": "bedrock-2023-05-31",
        },
        [],
    )


def test_a_request_is_anthropics_with_a_version_and_without_what_the_path_says() -> None:
    body, losses = written(asked())
    assert body["anthropic_version"] == "bedrock-2023-05-31"
    assert body["max_tokens"] == 9
    assert body.keys().isdisjoint(("model", "stream"))
    inner = decode(encode(codec("anthropic_messages").write_request(asked(), CLAUDE, Losses())))
    assert body == {
        **{name: value for name, value in inner.items() if name not in ("model", "stream")},
        "anthropic_version": "bedrock-2023-05-31",
    }
    assert losses == []


def test_what_only_anthropics_own_platform_knows_is_lost() -> None:
    body, losses = written(asked(service_tier="default", cache=Cache()))
    assert body.keys().isdisjoint(("service_tier", "cache_control"))
    assert losses == ["service_tier", "cache"]


def test_a_thought_that_claude_signed_goes_back_to_it() -> None:
    signed = Thinking("hm", "EqkC", origin="anthropic_messages")
    turns = [Turn("user", [Text("a")]), Turn("assistant", [signed, Text("b")]), Turn("user", [Text("c")])]
    body, losses = written(asked(messages=turns))
    assert '"signature":"EqkC"' in encode(body).decode()
    assert losses == []


def test_an_answer_is_anthropics() -> None:
    said = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": [{"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"a": 1}}],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 3, "output_tokens": 2, "cache_read_input_tokens": 4},
    }
    answer = CODEC.read_answer(encode(said), Losses())
    assert answer.content == [ToolCall("toolu_1", "look", '{"a":1}')]
    assert (answer.finish, answer.usage) == ("tools", Usage(7, 2, 4))


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_a_stream_is_anthropics_inside_amazons_however_it_is_cut(size: int) -> None:
    assert read(b"".join(map(chunk, EVENTS)), size) == [
        Started("msg_1", "claude-haiku-4-5"),
        BlockOpened(0, Text("")),
        BlockGrew(0, "Hi."),
        BlockClosed(0),
        Finished("stop", usage=Usage(3, 2)),
    ]


def test_a_stream_is_done_when_anthropics_is() -> None:
    framing, reader = CODEC.framing(MOST), CODEC.reader(Losses())
    done = []
    for event in EVENTS:
        for name, payload, _ in framing.feed(chunk(event)):
            reader.feed(name, payload)
        done.append(reader.done)
    assert done == [False, False, False, False, False, True]


def test_a_message_that_is_no_chunk_says_nothing() -> None:
    assert CODEC.reader(Losses()).feed("tomorrow", b"{}") == []


def test_an_exception_is_amazons() -> None:
    reader = CODEC.reader(Losses())
    with pytest.raises(UpstreamBusy):
        reader.feed("!throttlingException", b'{"message":"Slow down."}')


@pytest.mark.parametrize("payload", [b"{}", b'{"bytes":"a"}', b'{"bytes":"bm8gSlNPTg=="}'])
def test_a_chunk_of_nothing_cannot_be_read(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        CODEC.reader(Losses()).feed("chunk", payload)


def test_a_stream_without_its_end_was_cut_off() -> None:
    with pytest.raises(UpstreamTruncated):
        read(b"".join(map(chunk, EVENTS[:3])), 100)


def test_a_refusal_is_amazons() -> None:
    assert isinstance(CODEC.read_error(400, {}, b'{"message":"No."}'), UpstreamRefused)
    expired = {b"x-amzn-errortype": b"ExpiredTokenException"}
    assert isinstance(CODEC.read_error(400, expired, b"{}"), UpstreamDenied)


def test_the_folder_is_the_registry() -> None:
    assert codec("bedrock_invoke") is CODEC
    assert (CODEC.name, CODEC.stream_type) == ("bedrock_invoke", "application/vnd.amazon.eventstream")


def test_recorded_answers_are_read_with_all_they_say() -> None:
    if not CORPUS.exists():
        pytest.skip(f"no recorded traffic at {CORPUS}; GATEWAY_WIRE_CORPUS names it")
    with gzip.open(CORPUS, "rt") as lines:
        every = [json.loads(line) for line in lines if '"invoke"' in line and "anthropic_version" in line]
    recorded = [one for one in every if one["operation"] == "invoke" and one["response"]["status"] == 200]
    for one in recorded:
        said = json.loads(one["response"]["body"])
        answer = CODEC.read_answer(one["response"]["body"].encode(), Losses())
        words = [block["text"] for block in said["content"] if block["type"] == "text"]
        assert [block.text for block in answer.content if isinstance(block, Text)] == words, one["source"]
        assert answer.usage is not None
        assert answer.usage.output_tokens == said["usage"]["output_tokens"], one["source"]
    if not recorded:
        pytest.skip(f"no such exchange in {CORPUS}")
