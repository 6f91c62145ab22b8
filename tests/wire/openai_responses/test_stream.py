import pytest
from msgspec import Raw

from gateway.errors import UpstreamBroken, UpstreamBusy, UpstreamTruncated
from gateway.features import Usage
from gateway.wire.ir import (
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Citation,
    Event,
    Finished,
    Foreign,
    Refusal,
    Started,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.losses import Losses
from gateway.wire.openai_responses.stream import Reader
from tests.wire.openai_responses.talk import JSON, NAME, frame, raw, stream

CREATED = frame("response.created", response={"id": "resp_1", "model": "m", "created_at": 5, "status": "in_progress"})
NOTE: JSON = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
CITED = Citation(NAME, raw(NOTE), "u", "t", "", 0, 1)
TOKENS: list[JSON] = [{"token": "a", "logprob": -1}]
START = Started("resp_1", "m", 5)
STOP = Finished("stop")


def completed(*output: JSON, kind: str = "completed", **fields: object) -> bytes:
    response = {"id": "resp_1", "status": kind, "output": list(output), **fields}
    return frame(f"response.{kind}", response=response)


def added(item: JSON, at: int = 0) -> bytes:
    return frame("response.output_item.added", output_index=at, item=item)


def done(item: JSON, at: int = 0) -> bytes:
    return frame("response.output_item.done", output_index=at, item=item)


def part(what: str, part_: JSON, at: int = 0, index: int = 0) -> bytes:
    return frame(f"response.content_part.{what}", output_index=at, content_index=index, part=part_)


def delta(text: str, at: int = 0, index: int = 0, **more: object) -> bytes:
    return frame("response.output_text.delta", output_index=at, content_index=index, delta=text, **more)


def message(*parts: JSON, **more: object) -> JSON:
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": list(parts), **more}


def text(said: str, **more: object) -> JSON:
    return {"type": "output_text", "text": said, **more}


def between(*payloads: bytes, losses: Losses | None = None) -> list[Event]:
    """What is said between the start and the end."""
    events = stream(CREATED, *payloads, completed(), losses=losses)
    assert events[0] == START
    return events[1:-1]


def test_a_text_grows_piece_by_piece_and_what_is_said_again_isnt() -> None:
    whole = text("ab", annotations=[NOTE])
    events = between(
        frame("response.in_progress", response={"id": "resp_1"}),
        added(message()),
        part("added", text("")),
        delta("a", logprobs=[]),
        delta("b", logprobs=TOKENS),
        frame("response.output_text.annotation.added", output_index=0, content_index=0, annotation=NOTE),
        frame("response.output_text.done", output_index=0, content_index=0, text="ab"),
        part("done", whole),
        done(message(whole)),
        b"[DONE]",
    )
    assert events == [
        BlockOpened(0, Text("")),
        BlockGrew(0, "a"),
        BlockGrew(0, "b", logprobs=Raw(b'[{"token": "a", "logprob": -1}]')),
        BlockGrew(0, citation=Citation(NAME, Raw(_spaced(NOTE)), "u", "t", "", 0, 1)),
        BlockClosed(0),
    ]


def _spaced(value: JSON) -> bytes:
    """As `frame` writes it."""
    return frame("x", value=value).removeprefix(b'{"type": "x", "value": ').removesuffix(b"}")


@pytest.mark.parametrize(
    "payloads",
    [
        (done(message(text("ab"))),),
        (added(message()), delta("a"), done(message(text("ab")))),
        (part("added", text("a")), part("done", text("ab"))),
        (part("done", text("ab")),),
    ],
)
def test_a_backend_may_leave_out_the_way_there(payloads: tuple[bytes, ...]) -> None:
    events = between(*payloads)
    assert events[0] == BlockOpened(0, Text(""))
    assert events[-1] == BlockClosed(0)
    assert "".join(event.text for event in events if isinstance(event, BlockGrew)) == "ab"


def test_what_is_told_at_the_end_alone_is_all_told() -> None:
    call: JSON = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    output = (message(text("a", annotations=[NOTE], logprobs=TOKENS)), call)
    events = stream(CREATED, completed(*output))
    assert events == [
        START,
        BlockOpened(0, Text("")),
        BlockGrew(0, "a", logprobs=Raw(b'[{"token": "a", "logprob": -1}]')),
        BlockGrew(0, citation=Citation(NAME, Raw(_spaced(NOTE)), "u", "t", "", 0, 1)),
        BlockClosed(0),
        BlockOpened(1, ToolCall("c1", "f")),
        BlockGrew(1, "{}"),
        BlockClosed(1),
        Finished("tools"),
    ]


def test_a_refusal_grows_too_and_ends_the_answer() -> None:
    events = stream(
        CREATED,
        part("added", {"type": "refusal", "refusal": ""}),
        frame("response.refusal.delta", output_index=0, content_index=0, delta="n"),
        frame("response.refusal.delta", output_index=0, content_index=1, delta="!"),
        part("done", {"type": "refusal", "refusal": "no"}),
        completed(),
    )
    assert events[1:] == [
        BlockOpened(0, Refusal("")),
        BlockGrew(0, "n"),
        BlockOpened(1, Refusal("")),
        BlockGrew(1, "!"),
        BlockGrew(0, "o"),
        BlockClosed(0),
        BlockClosed(1),
        Finished("refusal"),
    ]


def test_a_call_grows_and_the_end_says_what_was_not_said() -> None:
    item: JSON = {"type": "function_call", "id": "fc", "call_id": "c1", "name": "f", "arguments": ""}
    events = stream(
        CREATED,
        added(item),
        frame("response.function_call_arguments.delta", output_index=0, delta='{"a":'),
        frame("response.function_call_arguments.delta", output_index=7, delta="lost"),
        frame("response.function_call_arguments.done", output_index=0, arguments='{"a":1}'),
        done({**item, "arguments": '{"a":1}'}),
        completed(),
    )
    assert events[1:] == [
        BlockOpened(0, ToolCall("c1", "f")),
        BlockGrew(0, '{"a":'),
        BlockGrew(0, "1}"),
        BlockClosed(0),
        Finished("tools"),
    ]


def test_a_custom_call_is_told_when_it_is_whole() -> None:
    item: JSON = {"type": "custom_tool_call", "call_id": "c1", "name": "exec", "input": "ls"}
    losses = Losses()
    assert between(added({**item, "input": ""}), done(item), losses=losses) == [
        BlockOpened(0, ToolCall("c1", "exec", '{"input":"ls"}')),
        BlockClosed(0),
    ]
    assert losses.names() == ["custom_tool_call=mapped"]


def test_a_summary_grows_by_paragraphs_and_is_sealed_at_its_end() -> None:
    item: JSON = {"type": "reasoning", "id": "rs_1", "summary": []}
    parts = [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "bc"}]
    events = between(
        added({**item, "encrypted_content": "early"}),
        frame("response.reasoning_summary_part.added", output_index=0, summary_index=0, part=parts[0]),
        frame("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="a"),
        frame("response.reasoning_summary_part.added", output_index=0, summary_index=1, part=parts[1]),
        frame("response.reasoning_summary_text.delta", output_index=0, summary_index=1, delta="b"),
        done({**item, "summary": parts, "encrypted_content": "gAAA"}),
    )
    assert events == [
        BlockOpened(0, Thinking(origin=NAME, id="rs_1", summary=True)),
        BlockGrew(0, "a"),
        BlockGrew(0, "\n\n"),
        BlockGrew(0, "b"),
        BlockGrew(0, "c"),
        BlockGrew(0, signature="gAAA"),
        BlockClosed(0),
    ]


def test_words_and_their_summary_are_two_thoughts() -> None:
    item: JSON = {"type": "reasoning", "id": "rs_1", "content": [{"type": "reasoning_text", "text": "long"}]}
    events = between(
        added({"type": "reasoning", "id": None}),
        part("added", {"type": "reasoning_text", "text": ""}),
        frame("response.reasoning_text.delta", output_index=0, content_index=0, delta="long"),
        part("done", {"type": "reasoning_text", "text": "long"}),
        frame("response.reasoning_summary_part.added", output_index=0, summary_index=0),
        frame("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="short"),
        done({**item, "summary": [{"type": "summary_text", "text": "short"}]}),
    )
    assert events == [
        BlockOpened(0, Thinking(origin=NAME)),
        BlockGrew(0, "long"),
        BlockClosed(0),
        BlockOpened(1, Thinking(origin=NAME, summary=True)),
        BlockGrew(1, "short"),
        BlockClosed(1),
    ]


def test_a_thought_told_only_when_it_is_done_is_told_whole() -> None:
    item: JSON = {
        "type": "reasoning",
        "id": "rs_1",
        "content": [{"type": "reasoning_text", "text": "long"}],
        "summary": [{"type": "summary_text", "text": "short"}],
        "encrypted_content": "gAAA",
    }
    assert between(done(item)) == [
        BlockOpened(0, Thinking(origin=NAME, id="rs_1")),
        BlockGrew(0, "long"),
        BlockClosed(0),
        BlockOpened(1, Thinking(origin=NAME, id="rs_1", summary=True)),
        BlockGrew(1, "short"),
        BlockGrew(1, signature="gAAA"),
        BlockClosed(1),
    ]


def test_a_thought_without_a_word_is_there_for_its_seal_alone() -> None:
    empty: JSON = {"type": "reasoning", "id": "rs_1", "summary": []}
    assert between(added(empty), done(empty)) == []
    assert between(added(empty), done({**empty, "encrypted_content": "gAAA"})) == [
        BlockOpened(0, Thinking(origin=NAME, id="rs_1")),
        BlockGrew(0, signature="gAAA"),
        BlockClosed(0),
    ]


def test_what_only_this_language_has_is_told_when_it_is_done_and_once() -> None:
    search: JSON = {"type": "web_search_call", "id": "ws", "status": "completed"}
    strange: JSON = {"type": "smell", "smell": 1}
    assert between(
        added({**search, "status": "in_progress"}),
        frame("response.web_search_call.searching", output_index=0, item_id="ws"),
        done(search),
        done(search),
        done(message(strange), at=1),
    ) == [
        BlockOpened(0, Foreign(NAME, "web_search_call", Raw(_spaced(search)))),
        BlockClosed(0),
        BlockOpened(1, Foreign(NAME, "smell", Raw(_spaced(strange)))),
        BlockClosed(1),
    ]


def test_an_annotation_of_nothing_is_nothing() -> None:
    note = frame("response.output_text.annotation.added", output_index=0, content_index=0, annotation=NOTE)
    empty = frame("response.output_text.annotation.added", output_index=0, content_index=0)
    assert between(note, part("added", text("")), empty) == [BlockOpened(0, Text("")), BlockClosed(0)]


def test_what_is_said_on_the_way_is_noted() -> None:
    losses = Losses()
    between(added(message(phase="commentary")), losses=losses)
    assert losses.names() == ["phase=mapped"]


def test_the_end_says_why_and_what_was_used() -> None:
    usage = {"input_tokens": 5, "output_tokens": 4}
    end = completed(
        kind="incomplete", incomplete_details={"reason": "max_output_tokens"}, usage=usage, service_tier="flex"
    )
    assert stream(CREATED, end) == [START, Finished("length", usage=Usage(5, 4), service_tier="flex")]


def test_a_stream_that_begins_amid_things_has_a_start_all_the_same() -> None:
    assert stream(done(message(text("a"))), completed())[0] == Started()


def test_it_is_done_with_its_terminal_frame_and_not_before() -> None:
    reader = Reader(Losses())
    before = [*reader.feed("", CREATED), reader.done]
    after = [*reader.feed("", completed()), reader.done]
    assert (before, after) == ([START, False], [True])
    assert reader.end() == [STOP]


def test_a_stream_without_its_end_is_cut() -> None:
    reader = Reader(Losses())
    reader.feed("", CREATED)
    with pytest.raises(UpstreamTruncated):
        reader.end()


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (frame("error", code="rate_limit_exceeded", message="x"), UpstreamBusy),
        (frame("response.failed", response={"error": {"code": "rate_limit_exceeded"}}), UpstreamBusy),
        (frame("response.failed", response={"status": "failed"}), UpstreamBroken),
        (frame("response.cancelled", response={}), UpstreamBroken),
        (completed(error={"code": "server_error", "message": "x"}), UpstreamBroken),
    ],
)
def test_an_error_in_the_stream_is_raised(payload: bytes, error: type[Exception]) -> None:
    reader = Reader(Losses())
    reader.feed("", CREATED)
    with pytest.raises(error):
        reader.feed("", payload)


def test_an_event_that_isnt_known_is_passed_over_whatever_it_holds_and_a_known_one_must_be_read() -> None:
    reader = Reader(Losses())
    assert reader.feed("", b'{"type":"response.new","delta":{"a":1}}') == []
    assert reader.feed("", frame("codex.rate_limits", delta="x")) == []
    for broken in (b'{"type":"response.output_text.delta","delta":1}', b"{", b"[]", frame("response.completed")):
        with pytest.raises(ValueError, match=r"."):
            reader.feed("", broken)
