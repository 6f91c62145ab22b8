import json

import pytest

from gateway.errors import (
    DeadlineExceeded,
    Draining,
    UpstreamBusy,
    UpstreamDenied,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamOverloaded,
)
from gateway.features import Usage
from tests.wire.chunks import DONE, HEAD, HELLO, ROLE, STOP, chunk, event, facts, meter, says, usage_chunk, watch

BOOM = event({"error": {"message": "boom", "type": "server_error", "code": None}})
VLLM_BOOM = event({"object": "error", "message": "boom", "type": "InternalServerError", "param": None, "code": 500})


# --- first content ----------------------------------------------------------------------------------------------------


def test_nothing_goes_out_before_the_first_content_and_all_of_it_with_it() -> None:
    watcher = meter()
    assert watcher.feed(b": OPENROUTER PROCESSING\n\n") == b""
    assert watcher.feed(ROLE) == b""
    assert watcher.feed(HELLO) == b": OPENROUTER PROCESSING\n\n" + ROLE + HELLO
    assert watcher.committed
    assert watcher.feed(says(" you")) == says(" you")


@pytest.mark.parametrize(
    "first",
    [
        says("x"),
        chunk({"reasoning_content": "x"}),
        chunk({"reasoning": "x"}),
        chunk({"refusal": "no"}),
        chunk({"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "f", "arguments": ""}}]}),
        chunk({"audio": {"id": "a", "data": "AA=="}}),
        chunk(finish="content_filter"),
        event({**HEAD, "choices": [{"index": 0, "text": "x", "finish_reason": None}]}),
        event({**HEAD, "choices": [{"index": 0, "delta": {}, "logprobs": {"content": [{"token": "x"}]}}]}),
    ],
)
def test_any_content_and_any_end_commits(first: bytes) -> None:
    watcher = meter()
    assert watcher.feed(ROLE + first) == ROLE + first
    assert watcher.committed


@pytest.mark.parametrize(
    "held",
    [
        ROLE,
        b": ping\n\n",
        usage_chunk(),
        # Azure's first chunk.
        event({"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [{}]}),
        # OpenAI's first chunk where logprobs were asked for.
        event(
            {**HEAD, "choices": [{"index": 0, "delta": {"content": ""}, "logprobs": {"content": [], "refusal": None}}]}
        ),
        # Unknown, and no error.
        event({"type": "ping"}),
    ],
)
def test_what_is_no_content_commits_nothing(held: bytes) -> None:
    watcher = meter()
    assert watcher.feed(held) == b""
    assert not watcher.committed
    assert watcher.error is None


def test_what_is_held_is_capped() -> None:
    watcher = meter(event_bytes=100)
    out = [watcher.feed(b": still here\n\n") for _ in range(9)]
    assert watcher.error is not None
    assert watcher.error.reason == "upstream_error"
    assert out == [b""] * 9


# --- the end ----------------------------------------------------------------------------------------------------------


def test_a_stream_with_its_end_and_done_is_complete() -> None:
    seen = watch([ROLE, HELLO, STOP, DONE])
    assert seen.out == ROLE + HELLO + STOP + DONE
    assert (seen.done, seen.error, seen.finish) == (True, "", "stop")


def test_a_missing_done_is_added() -> None:
    assert watch([ROLE, HELLO, STOP]).out == ROLE + HELLO + STOP + DONE


def test_done_alone_is_an_end() -> None:
    seen = watch([HELLO, DONE])
    assert (seen.out, seen.done, seen.finish) == (HELLO + DONE, True, "")


@pytest.mark.parametrize("rest", [b"data: [DONE]", b"data: [DONE]\n", b"data: [DONE]\r", b"data:[DONE]"])
def test_a_done_without_its_blank_line_is_an_end(rest: bytes) -> None:
    assert watch([HELLO, rest]).out == HELLO + DONE


def test_a_last_event_without_its_blank_line_still_goes_out() -> None:
    assert watch([HELLO, STOP.rstrip()]).out == HELLO + STOP + DONE
    assert watch([HELLO, STOP[:-1]]).out == HELLO + STOP + DONE
    assert watch([HELLO, STOP, usage_chunk().rstrip()]).usage == Usage(5, 3)


@pytest.mark.parametrize("rest", [STOP[:-5], b": ping", b"data: [1]\n", b"id: 5\n"])
def test_half_an_event_at_the_end_never_goes_out(rest: bytes) -> None:
    assert watch([HELLO, STOP, rest]).out == HELLO + STOP + DONE
    seen = watch([HELLO, rest])
    assert (seen.out, seen.error) == (HELLO, "upstream_truncated")


def test_an_error_without_its_blank_line_is_an_error() -> None:
    seen = watch([HELLO, STOP, BOOM.rstrip()])
    assert (seen.out, seen.error) == (HELLO + STOP, "upstream_error")


def test_nothing_after_done_goes_out() -> None:
    watcher = meter()
    assert watcher.feed(HELLO + DONE + HELLO) == HELLO
    assert watcher.done
    assert watcher.feed(HELLO) == b""
    assert watcher.feed(BOOM) == b""
    assert watcher.finish_up() == DONE
    assert watcher.error is None


def test_a_clean_end_without_a_finish_reason_is_truncated() -> None:
    seen = watch([ROLE, HELLO])
    assert (seen.out, seen.done, seen.error) == (ROLE + HELLO, False, "upstream_truncated")


@pytest.mark.parametrize("pieces", [[], [ROLE], [b": ping\n\n"], [DONE], [ROLE, DONE]])
def test_an_end_before_the_first_content_is_truncated(pieces: list[bytes]) -> None:
    seen = watch(pieces)
    assert (seen.out, seen.done, seen.error) == (b"", False, "upstream_truncated")


def test_every_choice_that_was_seen_must_have_ended() -> None:
    assert watch([says("a"), says("b", index=1), STOP]).error == "upstream_truncated"
    both = [says("a"), says("b", index=1), STOP, chunk(finish="length", index=1)]
    assert watch(both).finish == "length"
    assert watch(both).done


def test_what_follows_an_end_does_not_open_the_choice_again() -> None:
    # OpenRouter sends usage in a chunk with an empty delta after the last one.
    seen = watch([HELLO, STOP, chunk({"content": ""}, usage={"prompt_tokens": 4, "completion_tokens": 2})])
    assert seen.done
    assert seen.usage == Usage(4, 2)


def test_a_second_end_of_the_upstream_changes_nothing() -> None:
    watcher = meter()
    watcher.feed(HELLO)
    assert watcher.finish_up() == b""
    assert watcher.finish_up() == b""
    assert watcher.feed(STOP) == b""


def test_nothing_follows_the_end_we_wrote() -> None:
    watcher = meter()
    watcher.feed(HELLO + STOP)
    assert watcher.finish_up() == DONE
    assert watcher.feed(HELLO) == b""


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "boom",
    [
        BOOM,
        VLLM_BOOM,
        b"event: error\n" + BOOM,
        b'error: {"code":400,"message":"too long"}\n\n',
        event({"error": "boom"}),
        event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        event({"detail": "boom"}),
        chunk({"content": ""}, error={"code": 400, "message": "Token limit reached"}),
        chunk({}, finish="error"),
        event({**HEAD, "choices": [{"index": 0, "delta": {}}], "x_groq": {"error": "stopped"}}),
        b"data: {no json\n\n",
        b"data: <html>\n\n",
        b"data: [1]\n\n",
        b'data: {"a":"\x00"}\n\n',
        b'data: {"a":"\xff"}\n\n',
        says("~").replace(b"~", b"\xff"),
        b": \xff\n\n",
        b'data: {"choices":' + b"[" * 5000 + b"]" * 5000 + b"}\n\n",
    ],
)
def test_an_error_breaks_the_stream_before_and_after_the_first_content(boom: bytes) -> None:
    early = watch([ROLE, boom, HELLO, STOP, DONE])
    assert (early.out, early.committed, early.done) == (b"", False, False)
    assert early.error == "upstream_error" or "overloaded" in early.error
    late = watch([ROLE, HELLO, boom, STOP, DONE])
    assert late == late._replace(out=ROLE + HELLO, done=False, error="upstream_error")
    together = watch([ROLE + HELLO + boom + STOP + DONE])
    assert together == late


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429, "message": "slow down"}, UpstreamBusy),
        ({"type": "rate_limit_error", "message": "slow down"}, UpstreamBusy),
        ({"type": "overloaded_error", "message": "busy"}, UpstreamOverloaded),
        ({"code": "insufficient_quota", "message": "pay"}, UpstreamDenied),
    ],
)
def test_an_error_before_the_first_content_says_what_it_means(error: object, kind: type[UpstreamError]) -> None:
    watcher = meter()
    watcher.feed(event({"error": error}))
    assert type(watcher.error) is kind
    assert kind.try_elsewhere


def test_llama_cpps_error_field_followed_by_done_is_no_end() -> None:
    seen = watch([HELLO, b'error: {"code":500,"message":"x"}\n\n' + DONE])
    assert (seen.out, seen.done, seen.error) == (HELLO, False, "upstream_error")


def test_an_event_above_the_cap_breaks_the_stream() -> None:
    long = says("x" * 1000)
    for pieces in ([HELLO, long], [HELLO + long], [HELLO, long[:600], long[600:]], [HELLO, b"x" * 600]):
        seen = watch(pieces, meter(event_bytes=500))
        assert (seen.out, seen.error) == (HELLO, "upstream_error")


def test_an_event_of_the_caps_size_passes() -> None:
    long = says("x" * 1000)
    assert watch([HELLO, long, STOP], meter(event_bytes=len(long) - 2)).out == HELLO + long + STOP + DONE
    assert watch([HELLO, long, STOP], meter(event_bytes=len(long) - 3)).out == HELLO
    assert watch([HELLO, STOP, long[:-1]], meter(event_bytes=len(long) - 2)).out == HELLO + STOP + long + DONE


def test_an_overlong_rest_after_done_is_nobodys_business() -> None:
    seen = watch([HELLO + STOP + DONE + b"x" * 1000], meter(event_bytes=500))
    assert (seen.out, seen.error) == (HELLO + STOP + DONE, "")


def test_an_overlong_rest_after_an_error_leaves_the_error() -> None:
    watcher = meter(event_bytes=500)
    watcher.feed(event({"error": {"code": 429}}) + b"x" * 1000)
    assert isinstance(watcher.error, UpstreamBusy)


def test_the_error_frame_is_a_chunk_of_the_broken_stream() -> None:
    watcher = meter()
    watcher.feed(ROLE + HELLO)
    assert watcher.failure(UpstreamDisconnected("The upstream connection was lost.")) == (
        b'data: {"id":"chatcmpl-7","object":"chat.completion.chunk","created":1760000000,"model":"m-1",'
        b'"choices":[{"index":0,"delta":{},"finish_reason":"error"}],'
        b'"error":{"message":"The upstream connection was lost.","type":"server_error","param":null,'
        b'"code":"upstream_disconnected"}}\n\n'
    )


def test_the_error_frame_of_a_text_completion_has_text() -> None:
    watcher = meter(kind="text_completion")
    watcher.feed(event({"id": "cmpl-1", "created": 5, "model": "m", "choices": [{"index": 0, "text": "x"}]}))
    frame = json.loads(watcher.failure(Draining("The gateway is shutting down.")).removeprefix(b"data: "))
    assert frame["object"] == "text_completion"
    assert frame["choices"] == [{"index": 0, "text": "", "finish_reason": "error"}]
    assert frame["error"]["code"] == "draining"


def test_an_error_frame_can_be_made_of_a_stream_that_never_said_who_it_is() -> None:
    frame = json.loads(meter().failure(DeadlineExceeded("Too late.")).removeprefix(b"data: "))
    assert (frame["id"], frame["created"], frame["model"]) == ("", 0, "")
    assert frame["error"]["type"] == "server_error"


# --- usage ------------------------------------------------------------------------------------------------------------


def test_the_extra_usage_chunk_is_taken_out_where_the_caller_did_not_ask() -> None:
    seen = watch([HELLO, STOP, usage_chunk(), DONE])
    assert (seen.out, seen.usage) == (HELLO + STOP + DONE, Usage(5, 3))


def test_the_extra_usage_chunk_passes_where_the_caller_asked() -> None:
    seen = watch([HELLO, STOP, usage_chunk(), DONE], meter(strip_usage=False))
    assert (seen.out, seen.usage) == (HELLO + STOP + usage_chunk() + DONE, Usage(5, 3))


def test_the_extra_chunk_is_taken_out_even_where_its_counts_are_absurd() -> None:
    seen = watch([HELLO, STOP, usage_chunk(completion=10**12), DONE])
    assert (seen.out, seen.usage) == (HELLO + STOP + DONE, None)


@pytest.mark.parametrize(
    "last",
    [
        chunk(finish="stop", usage={"prompt_tokens": 5, "completion_tokens": 3}),  # Mistral, Fireworks
        chunk(finish="stop", x_groq={"id": "r", "usage": {"prompt_tokens": 5, "completion_tokens": 3}}),
        event(  # Moonshot
            {
                **HEAD,
                "choices": [
                    {
                        "index": 0,
                        "delta": {},
                        "finish_reason": "stop",
                        "usage": {"prompt_tokens": 5, "completion_tokens": 3},
                    }
                ],
            }
        ),
    ],
)
def test_usage_in_the_last_chunk_is_read_and_the_chunk_passes(last: bytes) -> None:
    seen = watch([HELLO, last, DONE])
    assert (seen.out, seen.usage) == (HELLO + last + DONE, Usage(5, 3))


def test_of_usage_in_every_chunk_the_last_one_counts() -> None:
    # Gemini, xAI, Perplexity, vLLM's continuous_usage_stats.
    events = [says("x", usage={"prompt_tokens": 5, "completion_tokens": n}) for n in range(1, 9)]
    last = chunk(finish="stop", usage={"prompt_tokens": 5, "completion_tokens": 9})
    seen = watch([ROLE, *events, last, DONE])
    assert seen.out == ROLE + b"".join(events) + last + DONE
    assert seen.usage == Usage(5, 9)


def test_a_later_zero_is_zero_and_a_later_absurdity_is_nothing() -> None:
    assert watch([HELLO, usage_chunk(5, 3), usage_chunk(0, 0), STOP]).usage == Usage(0, 0)
    assert watch([HELLO, usage_chunk(5, 3), usage_chunk(-5, 3), STOP]).usage == Usage(5, 3)
    assert watch([HELLO, says("x", usage={}), STOP]).usage is None


def test_openais_null_usage_in_every_chunk_passes_as_it_came() -> None:
    events = [says("x", usage=None), chunk(finish="stop", usage=None)]
    assert watch([*events, DONE]).out == b"".join(events) + DONE


def test_events_with_content_are_counted_for_those_who_never_say_what_they_used() -> None:
    assert watch([ROLE, ROLE, HELLO, says("a"), says("b"), STOP, DONE]).pieces == 3
    assert watch([ROLE, DONE]).pieces == 0


# --- framing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_other_line_ends_become_ours(end: bytes) -> None:
    stream = (ROLE + HELLO + STOP + DONE).replace(b"\n", end)
    assert watch([stream]).out == ROLE + HELLO + STOP + DONE
    assert watch([bytes([byte]) for byte in stream]).out == ROLE + HELLO + STOP + DONE


def test_a_byte_order_mark_at_the_start_is_passed_over() -> None:
    stream = b"\xef\xbb\xbf" + HELLO + STOP
    assert watch([stream]).out == HELLO + STOP + DONE
    assert watch([stream[:2], stream[2:]]).out == HELLO + STOP + DONE
    assert watch([b"\n\n", stream]).out == HELLO + STOP + DONE
    # Anywhere else it begins a field of an unknown name.
    assert watch([HELLO, b"\xef\xbb\xbf" + says("x"), STOP]).out == HELLO + STOP + DONE


def test_ids_and_retries_are_left_out_and_comments_stay() -> None:
    seen = watch([HELLO, b"retry: 5\n\n", b"id: 7\n" + says("a"), b"data:\n\n", b": ping\n\n", STOP])
    assert seen.out == HELLO + says("a") + b": ping\n\n" + STOP + DONE


def test_several_data_lines_become_one() -> None:
    lines = b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"x"}}]}\n\n'
    out = b'data: {"choices":[{"index":0, "delta":{"content":"x"}}]}\n\n'
    assert watch([lines, STOP]).out == out + STOP + DONE
    assert watch([HELLO, lines, STOP]).out == HELLO + out + STOP + DONE


def test_a_carriage_return_inside_json_is_a_line_end_and_breaks_it() -> None:
    assert watch([HELLO, b'data: {"choices":\r[]}\n\n']).error == "upstream_error"


@pytest.mark.parametrize("text", ["é", "\u2028", "😀", "\x7f", "a\\u0000b"])
def test_any_character_passes_as_it_was_written(text: str) -> None:
    said = says("~").replace(b"~", text.encode())
    assert watch([said, said, STOP]).out == said + said + STOP + DONE
    assert watch([bytes([byte]) for byte in HELLO + said + STOP]).out == HELLO + said + STOP + DONE


def test_half_a_surrogate_pair_passes_as_it_was_written() -> None:
    halves = [says("~").replace(b"~", half) for half in (b"\\ud83d", b"\\ude00")]
    assert watch([HELLO, *halves, STOP]).out == HELLO + b"".join(halves) + STOP + DONE


def test_a_choice_of_strange_types_passes() -> None:
    strange = event({"choices": [{"index": "0", "delta": {"content": "x"}, "finish_reason": False}]})
    assert watch([HELLO, strange, STOP]).out == HELLO + strange + STOP + DONE
    unknown = event({"choices": {}, "note": 1})
    assert watch([HELLO, unknown, STOP]).out == HELLO + unknown + STOP + DONE


def test_empty_pieces_change_nothing() -> None:
    watcher = meter()
    out = b"".join(watcher.feed(piece) for piece in (b"", HELLO, b"", STOP, b"", DONE, b""))
    assert facts(watcher, out).out == HELLO + STOP
