import orjson
import pytest

from gateway.mock.options import MockOptions
from gateway.mock.script import STRAY_ANSWER
from gateway.mock.server import MockServer
from gateway.mock.spoiling import ERROR_BODY, ERROR_OBJECT_BODY
from tests.doubles.mock_caller import Caller, Heard, chat, hear, request

WHOLE = chat(stream=False, max_tokens=3)


async def heard_with(fault: str, fields: dict[str, object] | None = None, options: MockOptions | None = None) -> Heard:
    async with MockServer(options or MockOptions(tokens=4)) as server:
        return await hear(server, fields or chat(), fault=fault)


async def test_models_and_adapters_are_listed() -> None:
    async with MockServer(MockOptions(models=("m",), loras=("red",))) as server:
        heard = await hear(server, None, path="/v1/models", method="GET")
        answered = await hear(server, chat(model="red"))
    assert [row["id"] for row in heard.json["data"]] == ["m", "red"]  # type: ignore[attr-defined]  # JSON
    assert answered.status == 200


async def test_an_unknown_model_is_not_found_unless_any_name_will_do() -> None:
    async with MockServer() as server:
        heard = await hear(server, chat(model="other"))
    assert heard.status == 404
    assert b"model_not_found" in heard.body
    async with MockServer(MockOptions(models=())) as server:
        assert (await hear(server, chat(model="other"))).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("HEAD", "/health", 200),
        ("GET", "/ping", 200),
        ("GET", "/load", 200),
        ("GET", "/metrics?now", 200),
        ("GET", "/mock/ledger", 200),
        ("GET", "/mock/fault", 200),
        ("GET", "/v1/chat/completions", 404),
        ("PUT", "/v1/chat/completions", 405),
        ("GET", "/mock/nothing", 404),
    ],
)
async def test_paths_that_are_looked_up(method: str, path: str, status: int) -> None:
    async with MockServer() as server:
        heard = await hear(server, None, path=path, method=method)
        assert (heard.status, server.ledger.request_count) == (status, 0)


async def test_a_head_has_no_body() -> None:
    async with MockServer() as server:
        heard = await hear(server, None, path="/v1/models", method="HEAD")
    assert int(heard.headers["content-length"]) > 0
    assert heard.raw_body == b""


async def test_a_path_nobody_serves_is_in_the_ledger_as_a_call() -> None:
    async with MockServer() as server:
        heard = await hear(server, {}, path="/v1/moderations")
        assert (heard.status, server.ledger.last.path, server.ledger.last.status) == (404, "/v1/moderations", 404)


async def test_more_than_the_context_holds_is_a_400() -> None:
    heard = await heard_with("", chat(max_tokens=90), MockOptions(max_model_len=90))
    assert heard.status == 400
    assert b"context_length_exceeded" in heard.body


async def test_nonsense_is_a_400_that_names_the_field() -> None:
    heard = await heard_with("", chat(n=0))
    assert heard.status == 400
    assert heard.json["error"]["param"] == "n"  # type: ignore[index]  # JSON


async def test_a_cold_server_is_loading_but_its_own_doors_are_open() -> None:
    async with MockServer(MockOptions(cold_s=3600)) as server:
        for fields, path, method in ((chat(), "/v1/chat/completions", "POST"), (None, "/health", "GET")):
            heard = await hear(server, fields, path=path, method=method)
            assert (heard.status, b"Loading model" in heard.body) == (503, True)
        assert (await hear(server, None, path="/metrics", method="GET")).status == 503
        assert (await hear(server, None, path="/mock/ledger", method="GET")).status == 200


async def test_a_server_can_be_loading_and_sick_by_fault_and_heal() -> None:
    async with MockServer() as server:
        for spec, health, answer in (("loading", 503, 503), ("unhealthy", 503, 200), ("html", 200, 200)):
            server.set_faults([spec])
            assert (await hear(server, None, path="/health", method="GET")).status == health
            assert (await hear(server, WHOLE)).status == answer
        server.set_faults()
        assert (await hear(server, WHOLE)).json["object"] == "chat.completion"


async def test_the_ledger_knows_who_asked_but_not_the_key() -> None:
    secret = {"authorization": "Bearer sk-secret", "x-request-id": "r-1", "x-api-key": "sk-other"}
    async with MockServer(MockOptions(keep_bodies=True)) as server:
        heard = await hear(server, WHOLE, headers=secret)
        told = await hear(server, None, path="/mock/ledger", method="GET")
        entry = server.ledger.last
    assert heard.headers["x-request-id"] == entry.request_id == "r-1"
    assert entry.authorization is not None
    assert len(entry.authorization) == 12
    assert entry.headers["x-api-key"].startswith("sha256:")
    assert orjson.loads(entry.body or b"") == WHOLE
    assert b"sk-" not in told.wire


async def test_bodies_are_not_kept_unless_told_to() -> None:
    async with MockServer() as server:
        await hear(server, WHOLE)
        assert (server.ledger.last.body, server.ledger.last.headers) == (None, {})


async def test_the_ledger_can_be_cleared_from_outside() -> None:
    async with MockServer() as server:
        await hear(server, WHOLE)
        await hear(server, None, path="/mock/ledger", method="DELETE")
        told = await hear(server, None, path="/mock/ledger", method="GET")
    assert told.json["requests"] == []


async def test_faults_can_be_set_and_read_from_outside() -> None:
    async with MockServer() as server:
        assert (await hear(server, ["500*2"], path="/mock/fault")).json == {"faults": ["500*2"]}
        assert [(await hear(server, WHOLE)).status for _ in range(3)] == [500, 500, 200]
        assert (await hear(server, None, path="/mock/fault", method="GET")).json == {"faults": []}


@pytest.mark.parametrize("body", [["nonsense"], {"fault": "500"}, [1], None])
async def test_faults_that_are_none_are_refused_from_outside(body: object) -> None:
    async with MockServer() as server:
        assert (await hear(server, body, path="/mock/fault")).status == 400


async def test_a_misspelt_fault_in_a_header_is_a_400() -> None:
    heard = await heard_with("rest=3")
    assert heard.status == 400
    assert b"no fault is called 'rest'" in heard.body


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("429=20", 429, "rate_limit_exceeded"),
        ("quota", 429, "insufficient_quota"),
        ("context_length", 400, "context_length_exceeded"),
        ("content_policy", 400, "content_policy_violation"),
        ("401", 401, "invalid_api_key"),
        ("404", 404, "model_not_found"),
        ("500", 500, None),
        ("503", 503, None),
        ("529", 529, None),
    ],
)
async def test_error_statuses_have_openais_shape(fault: str, status: int, code: str | None) -> None:
    heard = await heard_with(fault)
    assert heard.status == status
    assert heard.json["error"]["code"] == code  # type: ignore[index]  # JSON
    assert heard.headers.get("retry-after") == ("20" if fault == "429=20" else None)


async def test_a_redirect_goes_where_it_was_told_to() -> None:
    heard = await heard_with("redirect=http://sink.example/x")
    assert (heard.status, heard.headers["location"]) == (307, "http://sink.example/x")


async def test_a_web_page_in_place_of_an_answer() -> None:
    heard = await heard_with("html")
    assert (heard.status, heard.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert heard.body.startswith(b"<!doctype html>")


async def test_whole_and_streamed_answers_can_be_swapped() -> None:
    assert (await heard_with("json_to_stream")).json["object"] == "chat.completion"
    swapped = await heard_with("sse_to_whole", WHOLE)
    assert swapped.headers["content-type"].startswith("text/event-stream")
    assert swapped.events[-1] == b"[DONE]"


async def test_errors_inside_a_200_whole_and_streamed() -> None:
    for fault, body in (("error_first", ERROR_BODY), ("error_object", ERROR_OBJECT_BODY)):
        assert (await heard_with(fault, WHOLE)).body == body
        streamed = await heard_with(fault)
        assert (streamed.status, streamed.events, streamed.whole) == (200, [body], True)


async def test_a_malformed_whole_answer_has_its_right_length() -> None:
    heard = await heard_with("malformed=0", WHOLE)
    assert heard.whole
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(heard.body)


async def test_a_status_nobody_has_heard_of() -> None:
    assert (await heard_with("status=999", WHOLE)).status == 999
    assert (await heard_with("status=201")).status == 201


async def test_a_length_that_promises_too_much_ends_in_a_close() -> None:
    heard = await heard_with("wrong_length=5", WHOLE)
    assert len(heard.raw_body) == int(heard.headers["content-length"]) - 5
    assert heard.ending == "fin"


async def test_a_length_that_promises_too_little_leaves_bytes_over() -> None:
    heard = await heard_with("wrong_length=-5", WHOLE)
    assert len(heard.raw_body) == int(heard.headers["content-length"]) + 5


@pytest.mark.parametrize("fields", [WHOLE, chat()])
async def test_an_answer_can_be_delimited_by_its_close_alone(fields: dict[str, object]) -> None:
    heard = await heard_with("close_delimited", fields)
    assert not {"content-length", "transfer-encoding"} & set(heard.headers)
    assert heard.ending == "fin"
    assert heard.raw_body.rstrip().endswith((b"}", b"[DONE]"))
    cut = await heard_with("close_delimited_reset=300", fields)
    assert (len(cut.wire), cut.ending) == (300, "rst")


async def test_early_hints_come_before_the_answer() -> None:
    heard = await heard_with("early_hints", WHOLE)
    assert heard.status == 103
    assert Heard(heard.raw_body, "fin").status == 200


async def test_a_stream_without_content_after_its_head() -> None:
    async with MockServer() as server, Caller(server) as caller:
        caller.send(request(chat(), fault="stall_mid=0"))
        head = await caller.hears(b"\r\n\r\n")
        assert b"text/event-stream" in head
        assert server.ledger.last.tokens_sent == 0


async def test_a_whole_answer_can_stall_after_its_head() -> None:
    async with MockServer() as server, Caller(server) as caller:
        caller.send(request(WHOLE, fault="stall_mid=0"))
        assert b"content-length" in await caller.hears(b"\r\n\r\n")
        assert server.running == 1


async def test_garbage_after_an_answer_comes_in_the_same_write_or_later() -> None:
    async with MockServer() as server:
        for fault in ("garbage_after", "garbage_after=5ms"):
            async with Caller(server) as caller:
                caller.send(request(WHOLE, fault=fault))
                assert (await caller.answer()).status == 200
                assert await caller.hears(STRAY_ANSWER) == STRAY_ANSWER


async def test_one_request_can_have_its_own_pace_and_length() -> None:
    async with MockServer() as server:
        heard = await hear(server, chat(), fault="ttft=30ms;tpot=5ms;tokens=3")
        entry = server.ledger.last
    assert entry.tokens_sent == 3
    assert len(heard.events) == 6
    assert entry.first_at is not None
    assert entry.ended_at is not None
    assert entry.first_at - entry.started_at >= 0.029
    assert entry.ended_at - entry.started_at >= 0.038


async def test_a_whole_answer_takes_as_long_as_its_tokens() -> None:
    async with MockServer(MockOptions(ttft_s=0.02, tpot_s=0.01)) as server:
        await hear(server, WHOLE)
        entry = server.ledger.last
    assert entry.tokens_sent == 3
    assert entry.ended_at is not None
    assert entry.ended_at - entry.started_at >= 0.039


async def test_shaped_streams_are_for_benchmarks() -> None:
    async with MockServer(MockOptions(events=64, event_bytes=250)) as server:
        heard = await hear(server, chat(stream_options={"include_usage": True}))
        whole = await hear(server, WHOLE)
        assert server.ledger.requests[0].tokens_sent == 64
    assert [len(data) + len(b"data: \n\n") for data in heard.events[:64]] == [250] * 64
    assert orjson.loads(heard.events[64])["usage"]["completion_tokens"] == 64
    assert whole.json["object"] == "chat.completion"


async def test_shaped_events_without_room_are_a_400_that_says_so() -> None:
    heard = await heard_with("", chat(), MockOptions(events=3, event_bytes=20))
    assert heard.status == 400
    assert b"no room for content" in heard.body


async def test_embeddings_and_completions_are_answered() -> None:
    async with MockServer(MockOptions(dimensions=5)) as server:
        vectors = await hear(server, {"model": "mock-model", "input": "a"}, path="/v1/embeddings")
        short = await hear(server, {"model": "mock-model", "input": "a", "dimensions": 2}, path="/v1/embeddings")
        text = await hear(server, {"model": "mock-model", "prompt": "a", "max_tokens": 2}, path="/v1/completions")
        assert [entry.tokens_sent for entry in server.ledger.requests] == [0, 0, 2]
    assert [len(heard.json["data"][0]["embedding"]) for heard in (vectors, short)] == [5, 2]  # type: ignore[index]  # JSON
    assert text.json["choices"][0]["text"] == "This is"  # type: ignore[index]  # JSON
