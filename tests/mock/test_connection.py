import pytest

from gateway.mock.options import MockOptions
from gateway.mock.server import MockServer
from tests.doubles.mock_caller import CHAT, Caller, Heard, chat, hear, request

WHOLE = chat(stream=False, max_tokens=3)
SLOW = MockOptions(ttft_s=60.0, slots=1)


async def test_a_connection_is_kept_alive_over_many_requests() -> None:
    async with MockServer() as server, Caller(server) as caller:
        for _ in range(3):
            caller.send(request(WHOLE))
            assert (await caller.answer()).status == 200
        caller.send(request(chat()))
        assert (await caller.answer()).events[-1] == b"[DONE]"
        assert (server.ledger.connections, server.ledger.finished) == (1, 4)
        assert {entry.connection for entry in server.ledger.requests} == {1}


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with MockServer() as server, Caller(server) as caller:
        caller.send(b"".join(request(WHOLE, headers={"x-request-id": str(number)}) for number in range(1500)))
        answers = [await caller.answer() for _ in range(1500)]
    assert [answer.headers["x-request-id"] for answer in answers] == [str(number) for number in range(1500)]


async def test_a_chunked_body_in_small_pieces_is_read() -> None:
    body = request(WHOLE).partition(b"\r\n\r\n")[2]
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    wire = b"POST %s HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n" % CHAT.encode() + chunks
    async with MockServer() as server, Caller(server) as caller:
        for start in range(0, len(wire), 7):
            caller.send(wire[start : start + 7])
        assert (await caller.answer()).status == 200


async def test_a_caller_who_waits_for_leave_to_send_gets_it() -> None:
    head, _, body = request(WHOLE, headers={"expect": "100-continue"}).partition(b"\r\n\r\n")
    async with MockServer() as server, Caller(server) as caller:
        caller.send(head + b"\r\n\r\n")
        assert await caller.hears(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        caller.send(body)
        assert (await caller.answer()).status == 200


async def test_an_old_caller_gets_no_chunks() -> None:
    async with MockServer() as server, Caller(server) as caller:
        caller.send(request(chat()).replace(b"HTTP/1.1", b"HTTP/1.0"))
        heard = await caller.ends()
    assert "transfer-encoding" not in heard.headers
    assert heard.raw_body.endswith(b"data: [DONE]\n\n")


async def test_what_is_no_http_is_a_400_and_the_end() -> None:
    async with MockServer() as server, Caller(server) as caller:
        caller.send(b"this is no request\r\n\r\n")
        heard = await caller.ends()
    assert (heard.status, heard.ending) == (400, "fin")


async def test_an_upgrade_is_answered_as_if_it_were_not_asked_for() -> None:
    async with MockServer() as server, Caller(server) as caller:
        caller.send(b"GET /health HTTP/1.1\r\nHost: s\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        heard = await caller.ends()
    assert (heard.status, heard.headers["connection"]) == (200, "close")


# The caller leaves


@pytest.mark.parametrize("way", ["close", "half_close", "reset"])
@pytest.mark.parametrize(
    ("options", "fault", "fields"),
    [
        (SLOW, "", chat()),
        (SLOW, "", WHOLE),
        (MockOptions(slots=1), "stall", chat()),
        (MockOptions(slots=1), "stall_mid=2", chat()),
        (MockOptions(slots=1, tpot_s=60.0), "", chat()),
        (MockOptions(slots=1), "trickle=1", chat()),
    ],
)
async def test_a_caller_who_leaves_is_noticed_and_frees_the_slot(
    way: str, options: MockOptions, fault: str, fields: dict[str, object]
) -> None:
    async with MockServer(options) as server, Caller(server) as caller:
        caller.send(request(fields, fault=fault))
        await server.until(lambda _: server.running == 1)
        before = server.clock.monotonic()
        if way == "close":
            await caller.close()
        else:
            getattr(caller, way)()
        await server.until(lambda ledger: ledger.left == 1)
        entry = server.ledger.last
        assert entry.left_at is not None
        assert 0 <= entry.left_at - before < 2.5
        assert (server.running, entry.finished) == (0, False)
        await server.until(lambda ledger: ledger.open_connections == 0)


async def test_a_caller_who_leaves_the_queue_never_takes_a_slot() -> None:
    async with MockServer(SLOW) as server, Caller(server) as first, Caller(server) as second:
        first.send(request(chat()))
        await server.until(lambda ledger: ledger.request_count == 1)
        second.send(request(chat()))
        await server.until(lambda _: server.waiting == 1)
        assert server.ledger.last.queued
        await second.close()
        await server.until(lambda ledger: ledger.left == 1)
        assert (server.running, server.waiting) == (1, 0)
        assert server.ledger.last.begun_at is None


async def test_the_queue_goes_on_when_a_slot_is_left() -> None:
    async with MockServer(MockOptions(slots=1)) as server, Caller(server) as first, Caller(server) as second:
        first.send(request(chat(), fault="stall"))
        await server.until(lambda _: server.running == 1)
        second.send(request(WHOLE))
        await server.until(lambda _: server.waiting == 1)
        await first.close()
        assert (await second.answer()).status == 200


async def test_a_caller_who_leaves_between_requests_leaves_nothing_behind() -> None:
    async with MockServer() as server:
        async with Caller(server) as caller:
            caller.send(request(WHOLE))
            await caller.answer()
        await server.until(lambda ledger: ledger.open_connections == 0)
        assert (server.ledger.left, server.ledger.finished) == (0, 1)


async def test_a_caller_who_does_not_read_holds_the_answer_back() -> None:
    async with MockServer(MockOptions(events=160, event_bytes=100_000)) as server, Caller(server) as idle:
        idle.send(request(chat()))
        await server.until(lambda ledger: ledger.bytes_sent > 100_000)
        # While one who reads gets 16 MB, the other's share stays what the kernel's buffers hold.
        heard = await hear(server, chat())
        assert len(heard.wire) > 16_000_000
        assert server.ledger.requests[0].bytes_sent < 9_000_000


async def test_a_caller_who_reads_late_still_gets_everything() -> None:
    size = 32 << 20  # more than the kernel's buffers hold
    async with MockServer() as server, Caller(server) as caller:
        caller.send(request(chat(), fault=f"giant={size}", headers={"connection": "close"}))
        await server.until(lambda ledger: ledger.bytes_sent > size)
        assert server.ledger.tokens_sent == 1
        heard = await caller.ends()
    assert (heard.whole, len(heard.events)) == (True, 19)


async def test_what_comes_after_a_refused_upgrade_is_not_read() -> None:
    head = request(WHOLE, headers={"connection": "Upgrade", "upgrade": "h2c"})
    async with MockServer() as server, Caller(server) as caller:
        caller.send(head)
        await server.until(lambda ledger: ledger.request_count == 1)
        caller.send(request(WHOLE))
        assert (await caller.ends()).status == 400
        assert server.ledger.request_count == 1


# Faults of the connection


async def test_a_refused_connection_is_closed_unread() -> None:
    async with MockServer(MockOptions(faults=("refuse*2",))) as server:
        for _ in range(2):
            async with Caller(server) as caller:
                assert (await caller.ends()).wire == b""
        assert (await hear(server, WHOLE)).status == 200
        assert (server.ledger.refused_connections, server.ledger.request_count) == (2, 1)


async def test_a_refused_request_gets_no_byte() -> None:
    async with MockServer() as server:
        heard = await hear(server, WHOLE, fault="refuse")
        assert (heard.wire, heard.ending) == (b"", "fin")
        assert not server.ledger.last.finished


async def test_a_stale_connection_closes_right_after_an_answer_that_did_not_say_so() -> None:
    async with MockServer() as server, Caller(server) as caller:
        caller.send(request(WHOLE, fault="stale"))
        heard = await caller.ends()
    assert (heard.status, heard.whole, heard.ending) == (200, True, "fin")
    assert "connection" not in heard.headers


async def test_a_connection_can_close_on_its_next_request() -> None:
    async with MockServer() as server, Caller(server) as caller:
        caller.send(request(WHOLE, fault="stale_next"))
        assert (await caller.answer()).whole
        caller.send(request(WHOLE))
        assert (await caller.ends()).wire == b""
        assert (server.ledger.request_count, server.ledger.refused_connections) == (1, 1)


async def test_a_fin_in_the_middle_leaves_the_chunks_without_an_end() -> None:
    async with MockServer() as server:
        for fault in ("fin=600", "fin_mid=2"):
            heard = await hear(server, chat(), fault=fault)
            assert (heard.ending, heard.whole) == ("fin", False)


async def test_a_cut_stream_ends_cleanly_without_its_terminal_event() -> None:
    async with MockServer() as server:
        heard = await hear(server, chat(), fault="cut=3")
        assert (heard.ending, heard.whole, len(heard.events)) == ("fin", True, 3)
        assert server.ledger.last.finished


async def test_a_stall_with_a_time_goes_on_after_it() -> None:
    async with MockServer() as server:
        heard = await hear(server, WHOLE, fault="stall=20ms")
        entry = server.ledger.last
    assert heard.status == 200
    assert entry.ended_at is not None
    assert entry.ended_at - entry.started_at >= 0.019


async def test_split_characters_are_heard_whole() -> None:
    async with MockServer() as server:
        heard = await hear(server, chat(), fault="split_utf8")
    assert "東京" in heard.text
    assert heard.whole


async def test_a_trickle_takes_its_time() -> None:
    async with MockServer() as server:
        heard = await hear(server, WHOLE, fault="trickle=5000")
        entry = server.ledger.last
    assert heard.whole
    assert entry.ended_at is not None
    assert entry.ended_at - entry.started_at >= len(heard.wire) / 5000 - 0.02


async def test_pings_come_while_the_first_token_does_not() -> None:
    async with MockServer() as server, Caller(server) as caller:
        caller.send(request(chat(), fault="ttft=60s;pings=5ms"))
        heard = Heard(await caller.hears(b": ping\n\n\r\n8\r\n: ping\n\n"), "open")
    assert heard.headers["content-type"].startswith("text/event-stream")
