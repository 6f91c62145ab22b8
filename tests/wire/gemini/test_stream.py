import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.errors import UpstreamBroken, UpstreamBusy, UpstreamOverloaded, UpstreamTruncated
from gateway.features import Usage
from gateway.wire.gemini.codec import CODEC
from gateway.wire.gemini.stream import GeminiReader
from gateway.wire.ir import (
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Event,
    Finished,
    Foreign,
    Media,
    Started,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.losses import Losses

HEAD = {"modelVersion": "gemini-3-pro", "responseId": "r1"}


def chunk(
    *parts: object, finish: str | None = None, candidate: dict[str, object] | None = None, **more: object
) -> bytes:
    said: dict[str, object] = {"content": {"parts": parts, "role": "model"}, "index": 0, **(candidate or {})}
    if finish is not None:
        said["finishReason"] = finish
    return json.dumps({"candidates": [said], **HEAD, **more}).encode()


def read(*payloads: bytes, losses: Losses | None = None) -> list[Event]:
    reader = CODEC.reader(losses or Losses())
    return [event for payload in payloads for event in reader.feed("", payload)] + reader.end()


STARTED = Started("r1", "gemini-3-pro", 0)


def test_text_is_one_block_until_the_end() -> None:
    assert read(
        chunk({"text": "Hel"}, createTime="1970-01-01T00:00:07Z"),
        chunk({"text": ""}),
        chunk({"text": "lo"}, finish="STOP", usageMetadata={"promptTokenCount": 1, "candidatesTokenCount": 2}),
    ) == [
        Started("r1", "gemini-3-pro", 7),
        BlockOpened(0, Text("")),
        BlockGrew(0, "Hel"),
        BlockGrew(0, "lo"),
        BlockClosed(0),
        Finished("stop", usage=Usage(1, 2)),
    ]


def test_thoughts_come_before_text_and_keep_their_signature() -> None:
    assert read(
        chunk({"text": "hm", "thought": True}),
        chunk({"text": "so", "thought": True, "thoughtSignature": "c2ln"}, {"text": "", "thought": True}),
        chunk({"text": "more", "thought": True}),
        chunk({"text": "a"}),
        chunk({"text": "", "thoughtSignature": "bWFyaw=="}, finish="STOP"),
    ) == [
        STARTED,
        BlockOpened(0, Thinking(origin="gemini")),
        BlockGrew(0, "hm"),
        BlockGrew(0, "so", "c2ln"),
        BlockClosed(0),
        BlockOpened(1, Thinking(origin="gemini")),
        BlockGrew(1, "more"),
        BlockClosed(1),
        BlockOpened(2, Text("")),
        BlockGrew(2, "a"),
        BlockClosed(2),
        BlockOpened(3, Thinking("", "bWFyaw==", origin="gemini")),
        BlockClosed(3),
        Finished("stop"),
    ]


def test_text_behind_a_signed_one_is_another_block() -> None:
    events = read(chunk({"text": "a", "thoughtSignature": "c2ln"}, {"text": "b"}, finish="STOP"))
    assert [event.block for event in events if isinstance(event, BlockOpened)] == [
        Text(""),
        Thinking("", "c2ln", origin="gemini"),
        Text(""),
    ]


def test_a_call_comes_whole_and_ends_the_turn() -> None:
    call = b'{"functionCall":{"name":"f","args":{"a": 1.00}},"thoughtSignature":"c2ln"}'
    named = b'{"functionCall":{"id":"x1","name":"g"}}'
    payload = b'{"candidates":[{"content":{"parts":[{"text":"a"},%b,%b]},"finishReason":"STOP"}],"responseId":"r1"}'
    assert read(payload % (call, named))[3:] == [
        BlockClosed(0),
        BlockOpened(1, ToolCall("r1_call_0", "f", '{"a": 1.00}', "c2ln", "gemini")),
        BlockClosed(1),
        BlockOpened(2, ToolCall("x1", "g", "{}")),
        BlockClosed(2),
        Finished("tools"),
    ]


def test_a_call_of_an_answer_without_a_name_is_counted() -> None:
    events = read(b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]},"finishReason":"STOP"}]}')
    assert events[1] == BlockOpened(0, ToolCall("call_0", "f", "{}"))


def test_arguments_told_piece_by_piece_are_lost() -> None:
    losses = Losses()
    events = read(
        chunk({"functionCall": {"name": "f", "willContinue": True}}),
        chunk({"functionCall": {"partialArgs": [{"jsonPath": "$.a", "numberValue": 1}]}}),
        chunk({"functionCall": {}}, finish="STOP"),
        losses=losses,
    )
    assert len([event for event in events if isinstance(event, BlockOpened)]) == 1
    assert losses.names() == ["partialArgs"]


def test_pictures_and_what_only_google_knows_come_whole() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "c2ln"}
    draft = {"thought": True, "inlineData": {"mimeType": "image/png", "data": "AA=="}}
    events = read(
        chunk({"inlineData": {"mimeType": "image/png", "data": "-_8"}, "thoughtSignature": "c2ln"}),
        chunk({"fileData": {"mimeType": "video/mp4", "fileUri": "https://b.example/a"}}, {"fileData": {}}),
        chunk(code, draft, {"thoughtSignature": "bWFyaw=="}, {}, finish="STOP"),
    )
    assert [event.block for event in events if isinstance(event, BlockOpened)] == [
        Media("image", "image/png", "+/8="),
        Thinking("", "c2ln", origin="gemini"),
        Media("video", "video/mp4", url="https://b.example/a"),
        Media("document"),
        Foreign("gemini", "executableCode", Raw(json.dumps(code).encode())),
        Foreign("gemini", "thought", Raw(json.dumps(draft).encode())),
        Thinking("", "bWFyaw==", origin="gemini"),
    ]


def test_inline_data_may_be_empty() -> None:
    assert read(chunk({"inlineData": {}}, finish="STOP"))[1] == BlockOpened(0, Media("document"))


def test_a_prompt_that_is_not_let_through_ends_the_answer() -> None:
    assert read(b'{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4}}') == [
        Started(),
        Finished("filter", usage=Usage(4)),
    ]


def test_the_last_counts_and_the_tier_are_kept() -> None:
    events = read(
        chunk(usageMetadata={"promptTokenCount": 8, "serviceTier": "flex"}),
        chunk(usageMetadata={"promptTokenCount": 8, "candidatesTokenCount": 5, "thoughtsTokenCount": 2}),
        chunk(usageMetadata={"trafficType": "ON_DEMAND"}, finish="MAX_TOKENS"),
    )
    assert events[-1] == Finished("length", usage=Usage(8, 7, reasoning_tokens=2), service_tier="flex")


def test_other_versions_of_the_answer_are_not_read() -> None:
    other = {"candidates": [{"index": 1, "content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}]}
    assert read(json.dumps(other).encode(), chunk(finish="STOP")) == [Started(), Finished("stop")]


def grounding(*segments: dict[str, object] | None) -> dict[str, object]:
    """One page that these segments are supported by, or all of the text where there are none."""
    supports = [{"segment": segment, "groundingChunkIndices": [0]} for segment in segments]
    chunks = [{"web": {"uri": "https://a.example", "title": "A"}}]
    return {"groundingMetadata": {"groundingChunks": chunks, "groundingSupports": supports}}


def segment(start: int, end: int, text: str, **more: object) -> dict[str, object]:
    return {"startIndex": start, "endIndex": end, "text": text, **more}


def placed(events: list[Event]) -> list[tuple[int, int, int]]:
    """The block of each citation, and its place there; no block is said to grow once it is closed."""
    found: list[tuple[int, int, int]] = []
    closed: set[int] = set()
    for event in events:
        if isinstance(event, BlockClosed):
            closed.add(event.at)
        elif isinstance(event, BlockGrew):
            assert event.at not in closed
            if event.citation is not None:
                found.append((event.at, event.citation.start, event.citation.end))
    return found


CALL = {"functionCall": {"name": "f"}}
OLD, NEW = segment(0, 3, "old"), segment(4, 7, "new")


def test_citations_stand_on_the_text_they_are_of() -> None:
    recited = {"citations": [{"startIndex": 3, "endIndex": 4, "uri": "https://b.example"}]}
    told = grounding(OLD, NEW) | {"citationMetadata": recited}
    losses = Losses()
    events = read(chunk({"text": "old"}, CALL, {"text": " new"}, candidate=told, finish="STOP"), losses=losses)
    assert placed(events) == [(0, 0, 3), (2, 1, 4), (2, 0, 1)]
    assert losses.names() == []


def test_a_citation_told_with_a_call_stands_on_the_text_before_it() -> None:
    losses = Losses()
    events = read(
        chunk({"text": "old"}),
        chunk(CALL, candidate=grounding(OLD)),
        chunk(candidate=grounding(OLD) | {"citationMetadata": None}, finish="STOP"),
        losses=losses,
    )
    assert placed(events) == [(0, 0, 3)]
    assert losses.names() == []


@pytest.mark.parametrize("told", [grounding(OLD), grounding(None), grounding()])
def test_a_citation_told_after_the_call_is_lost_in_a_stream(told: dict[str, object]) -> None:
    losses = Losses()
    events = read(chunk({"text": "old"}), chunk(CALL), chunk(candidate=told, finish="STOP"), losses=losses)
    assert placed(events) == []
    assert losses.names() == ["citations"]


def test_a_citation_told_before_its_words_waits_for_them() -> None:
    events = read(
        chunk({"text": "old"}, CALL, candidate=grounding(NEW)),
        chunk({"text": " new"}),
        chunk(candidate=grounding(NEW), finish="STOP"),
    )
    assert placed(events) == [(2, 1, 4)]


@pytest.mark.parametrize(
    ("parts", "places", "lost"),
    [
        (({"text": "old"},), [(0, -1, -1)], []),
        (({"text": "old"}, CALL), [], ["citations"]),
        ((CALL, {"text": "old"}), [(1, -1, -1)], []),
        (({"text": "old"}, CALL, {"text": "new"}), [], ["citations"]),
    ],
)
def test_a_citation_of_words_nobody_said_is_of_all_where_that_is_one_text(
    parts: tuple[dict[str, object], ...], places: list[tuple[int, int, int]], lost: list[str]
) -> None:
    losses = Losses()
    assert placed(read(chunk(*parts, candidate=grounding(segment(0, 9, "other")), finish="STOP"), losses=losses)) == (
        places
    )
    assert losses.names() == lost


def test_a_citation_of_several_texts_stands_on_each() -> None:
    over = segment(1, 5, "ld n")
    assert placed(read(chunk({"text": "old"}, CALL, {"text": " new"}, candidate=grounding(over), finish="STOP"))) == [
        (0, 1, 3),
        (2, 0, 2),
    ]


@given(st.lists(st.sampled_from(["a", "é", "😀 b", None]), max_size=8), st.integers(0, 20), st.integers(1, 20))
def test_what_is_cited_is_what_the_segment_says(parts: list[str | None], start: int, size: int) -> None:
    said = "".join(part or "" for part in parts)
    words = said[start : start + size]
    first = len(said[:start].encode())
    told = grounding(segment(first, first + len(words.encode()), words))
    events = read(
        chunk(
            *(CALL if part is None else {"text": part} for part in parts),
            candidate=told if words else None,
            finish="STOP",
        )
    )
    texts: dict[int, str] = {}
    for event in events:
        if isinstance(event, BlockGrew):
            texts[event.at] = texts.get(event.at, "") + event.text
    assert "".join(texts[at][begins:ends] for at, begins, ends in placed(events)) == words


def test_a_place_may_be_counted_from_the_part_it_stands_in() -> None:
    told = grounding(segment(0, 4, "same", partIndex=3), segment(0, 4, "same"))
    parts = ({"text": "why", "thought": True}, {"text": "same"}, CALL, {"text": "same"})
    assert placed(read(chunk(*parts, candidate=told, finish="STOP"))) == [(1, 0, 4), (3, 0, 4)]


def test_logprobs_come_with_their_text() -> None:
    told: dict[str, object] = {"logprobsResult": {"chosenCandidates": [{"token": "a", "logProbability": -1}]}}
    tokens = Raw(b'[{"token":"a","logprob":-1.0,"bytes":[97],"top_logprobs":[]}]')
    losses = Losses()
    events = read(
        chunk(candidate=told),
        chunk({"text": "a"}, candidate=told),
        chunk({"text": ""}, candidate=told),
        chunk(candidate={"logprobsResult": {}}, finish="STOP"),
        losses=losses,
    )
    assert [event for event in events if isinstance(event, BlockGrew)] == [
        BlockGrew(0, "a", logprobs=tokens),
        BlockGrew(0, "", logprobs=tokens),
    ]
    assert losses.names() == ["logprobs"]


def test_logprobs_of_a_text_that_opened_earlier_stand_alone() -> None:
    told: dict[str, object] = {"logprobsResult": {"chosenCandidates": [{"token": "a"}]}}
    reader = CODEC.reader(Losses())
    reader.feed("", chunk({"text": "a"}))
    (event,) = reader.feed("", chunk(candidate=told))
    assert isinstance(event, BlockGrew)
    assert event.text == ""
    assert event.logprobs is not None


def test_what_an_unusual_end_says_of_itself_is_lost() -> None:
    losses = Losses()
    read(chunk(candidate={"finishMessage": "Model generated function call(s)."}, finish="STOP"), losses=losses)
    assert not losses.noted
    events = read(chunk(candidate={"finishMessage": "f(1"}, finish="MALFORMED_FUNCTION_CALL"), losses=losses)
    assert events[-1] == Finished("malformed")
    assert losses.names() == ["finishMessage"]


def test_an_answer_without_its_end_is_truncated() -> None:
    with pytest.raises(UpstreamTruncated):
        read(chunk({"text": "a"}))
    with pytest.raises(UpstreamTruncated):
        read()


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"code": 503, "status": "UNAVAILABLE", "message": "x"}, UpstreamOverloaded),
        ({"code": 429, "status": "RESOURCE_EXHAUSTED"}, UpstreamBusy),
        ({"code": 500}, UpstreamBroken),
    ],
)
def test_an_error_in_the_stream_is_raised(told: object, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        read(chunk({"text": "a"}), json.dumps({"error": told}).encode())


def test_no_error_is_none() -> None:
    assert read(b'{"error":null,"candidates":[{"finishReason":"STOP"}]}') == [Started(), Finished("stop")]


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"candidates":7}'])
def test_what_cannot_be_read_is_no_event(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        CODEC.reader(Losses()).feed("", payload)


STREAM = b"".join(
    b"data: " + payload + end
    for payload, end in (
        (chunk({"text": "hm", "thought": True}), b"\r\n\r\n"),
        (chunk({"text": "Ô"}), b"\n\n"),
        (chunk({"text": "la\u2028la"}), b"\r\r"),
        (chunk({"functionCall": {"name": "f", "args": {"a": "}\n{"}}}), b"\r\n\r\n"),
        (chunk({"text": "", "thoughtSignature": "c2ln"}, finish="STOP", usageMetadata={"promptTokenCount": 1}), b"\n"),
    )
)


def replay(pieces: list[bytes]) -> list[Event]:
    framing, reader = CODEC.framing(2**16), GeminiReader(Losses())
    frames = [frame for piece in pieces for frame in framing.feed(piece)] + framing.end()
    return [event for name, payload, _ in frames for event in reader.feed(name, payload)] + reader.end()


@given(st.lists(st.integers(0, len(STREAM)), max_size=8).map(sorted))
def test_any_cutting_of_the_bytes_gives_the_same_events(cuts: list[int]) -> None:
    edges = [0, *cuts, len(STREAM)]
    assert replay([STREAM[a:b] for a, b in pairwise(edges)]) == replay([STREAM])
