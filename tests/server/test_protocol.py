"""The connection's states, one by one, by hand; real sockets are in test_protocol_*.py."""

import pytest

from gateway.errors import MalformedHttp, ReceiveTimeout, TooLarge, UnknownRoute
from gateway.server.protocol import FRESH_S, LINGER_BYTES, State, body_s
from gateway.settings.shape import Caps, Deadlines
from tests.server.desk import AnsweringDesk, Wire, connected, settle_down

CHAT = "/v1/chat/completions"


def post(body: bytes = b"hello", *lines: str, path: str = CHAT, version: str = "1.1") -> bytes:
    head = [f"POST {path} HTTP/{version}", "Host: a", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def get(path: str = "/healthz", *lines: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *lines]).encode() + b"\r\n\r\n"


def statuses(wire: Wire) -> list[bytes]:
    return [part[:3] for part in wire.written.split(b"HTTP/1.1 ")[1:]]


async def test_a_connection_serves_one_request_after_the_other() -> None:
    desk = AnsweringDesk()
    connection, wire = connected(desk)
    for body in (b"one", b"two", b""):
        connection.data_received(post(body))
    await settle_down()
    assert [call.body for call in desk.served] == [b"one", b"two", b""]
    assert statuses(wire) == [b"200"] * 3
    assert (wire.ended, connection.idle) == ("", True)


async def test_a_call_says_where_it_came_from() -> None:
    desk = AnsweringDesk()
    connection, _ = connected(desk)
    connection.data_received(post(b"x", "X-Request-Id: my-own-id", path=f"{CHAT}?a=b"))
    call = desk.served[0]
    assert (call.address, call.query, call.request_id, call.secure) == ("203.0.113.7", "a=b", "my-own-id", False)
    assert (call.arrived, call.arrived_wall) == (desk.clock.monotonic(), desk.clock.wall())


async def test_a_request_may_come_in_any_pieces() -> None:
    data = post(b"hello") + post(b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    data += b"3\r\nabc\r\n2;e\r\nde\r\n0\r\nX-T: 1\r\n\r\n" + get()
    for size in (1, 2, 3, 7, 50, len(data)):
        desk = AnsweringDesk()
        connection, _ = connected(desk)
        for at in range(0, len(data), size):
            connection.data_received(data[at : at + size])
            await settle_down(3)
        assert [call.body for call in desk.served] == [b"hello", b"abcde", b""]


async def test_a_trailer_overwrites_no_header() -> None:
    desk = AnsweringDesk()
    connection, _ = connected(desk)
    head = post(b"", "Authorization: Bearer real", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    connection.data_received(head + b"1\r\na\r\n0\r\nAuthorization: Bearer other\r\n\r\n")
    assert desk.served[0].headers[b"authorization"] == b"Bearer real"


async def test_a_second_request_waits_for_the_first_answer() -> None:
    desk = AnsweringDesk()
    desk.holds = True
    connection, wire = connected(desk)
    connection.data_received(post(b"one") + post(b"two"))
    connection.data_received(post(b"three"))
    await settle_down()
    assert [call.body for call in desk.served] == [b"one"]
    connection.whole(200, b"", b"")
    await settle_down()
    assert [call.body for call in desk.served] == [b"one", b"two"]
    assert statuses(wire) == [b"200"]


async def test_what_comes_between_an_answer_and_the_next_request_is_kept_in_order() -> None:
    """The rest of a pipelined head arrives in the very turn in which its beginning is about to be read."""
    desk = AnsweringDesk()
    connection, _ = connected(desk)
    second = post(b"two")
    connection.data_received(post(b"one") + second + post(b"three")[:20])
    connection.data_received(post(b"three")[20:])
    await settle_down()
    assert [call.body for call in desk.served] == [b"one", b"two", b"three"]


async def test_more_sent_ahead_than_is_kept_ends_the_connection_after_the_answer() -> None:
    desk = AnsweringDesk(Caps(pipelined_bytes=100))
    desk.holds = True
    connection, wire = connected(desk)
    connection.data_received(post(b"one"))
    connection.data_received(b"x" * 101)
    connection.data_received(b"y")
    connection.whole(200, b"", b"fine")
    await settle_down()
    assert (len(desk.served), wire.ended) == (1, "eof")
    assert b"connection: close\r\n" in wire.written


async def test_more_requests_ahead_than_are_answered_end_the_connection() -> None:
    desk = AnsweringDesk(Caps(pipelined_requests=3))
    connection, wire = connected(desk)
    connection.data_received(get() * 10)
    await settle_down()
    assert (len(desk.served), wire.ended) == (4, "eof")


async def test_requests_that_wait_for_their_answers_are_never_too_many() -> None:
    desk = AnsweringDesk(Caps(pipelined_requests=3))
    connection, wire = connected(desk)
    for _ in range(10):
        connection.data_received(get() * 2)
        await settle_down(3)
    assert (len(desk.served), wire.ended) == (20, "")


async def test_the_last_request_of_a_connection_is_answered_whatever_follows_it() -> None:
    desk = AnsweringDesk()
    connection, wire = connected(desk)
    connection.data_received(post(b"one", "Connection: close") + b"anything at all")
    await settle_down()
    assert ([call.body for call in desk.served], statuses(wire), wire.ended) == ([b"one"], [b"200"], "eof")


@pytest.mark.parametrize(
    "lines", [["Connection: Upgrade", "Upgrade: h2c"], ["Upgrade: websocket", "Connection: upgrade"]]
)
async def test_an_upgrade_that_isnt_granted_changes_nothing(lines: list[str]) -> None:
    desk = AnsweringDesk()
    connection, _ = connected(desk)
    connection.data_received(post(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", *lines) + get())
    await settle_down()
    assert [call.path for call in desk.served] == [CHAT, "/healthz"]


async def test_what_aiohttp_speaks_is_handed_over_with_its_raw_head_also_later_on() -> None:
    desk = AnsweringDesk()
    connection, _ = connected(desk)
    form = post(b"--b", "Content-Type: multipart/form-data; boundary=b", path="/v1/audio/transcriptions")
    connection.data_received(get() + form[:-1])
    await settle_down()
    ((call, raw, rest),) = desk.handed
    assert (call.path, raw + rest) == ("/v1/audio/transcriptions", form[:-1])
    assert raw.endswith(b"\r\n\r\n")


# --- refusing ---------------------------------------------------------------------------------------------------------


async def test_a_refused_request_whose_body_is_here_is_stepped_over() -> None:
    desk = AnsweringDesk()
    connection, wire = connected(desk)
    connection.data_received(post(get(), path="/nothing") + get())
    await settle_down()
    assert [type(error) for error in desk.refused] == [UnknownRoute]
    assert [call.path for call in desk.served] == ["/healthz"]
    assert (statuses(wire), wire.ended) == ([b"404", b"200"], "")


@pytest.mark.parametrize(
    "cut",
    [
        post(b"hello", path="/nothing")[:-1],
        post(b"", "Transfer-Encoding: chunked", path="/nothing").replace(b"Content-Length: 0\r\n", b""),
    ],
)
async def test_a_refused_request_whose_body_isnt_here_ends_the_connection(cut: bytes) -> None:
    desk = AnsweringDesk()
    connection, wire = connected(desk)
    connection.data_received(cut)
    connection.data_received(get())
    await settle_down()
    assert (desk.served, statuses(wire), wire.ended) == ([], [b"404"], "eof")
    assert b"connection: close\r\n" in wire.written


async def test_a_declared_body_is_refused_before_it_comes_and_a_chunked_one_at_the_cap() -> None:
    for data in (
        post(b"x" * 11)[:-11],
        post(b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"") + b"b\r\n",
    ):
        desk = AnsweringDesk(Caps(json_bytes=10))
        connection, wire = connected(desk)
        connection.data_received(data)
        assert [type(error) for error in desk.refused] == [TooLarge]
        assert (statuses(wire), wire.ended) == ([b"413"], "eof")


async def test_a_malformed_head_is_answered_with_an_id_and_ends_the_connection() -> None:
    desk = AnsweringDesk()
    connection, wire = connected(desk)
    connection.data_received(get(method="HEAD") + b"GET / HTTP/1.1\r\nHost: a\r\nX Y\r\n\r\n" + get())
    await settle_down()
    assert [type(error) for error in desk.refused] == [MalformedHttp]
    assert statuses(wire) == [b"200", b"400"]
    refusal = wire.written.partition(b"HTTP/1.1 400")[2]
    assert b"x-request-id: req_" in refusal
    assert refusal.endswith(b"\r\n\r\n{}"), "an answer to HEAD before it changes nothing"
    assert wire.ended == "eof"


async def test_a_refused_head_request_gets_no_body() -> None:
    desk = AnsweringDesk()
    connection, wire = connected(desk)
    connection.data_received(get("/%00", method="HEAD"))
    assert wire.written.endswith(b"connection: close\r\n\r\n")


async def test_a_connection_that_isnt_wanted_is_told_so() -> None:
    desk = AnsweringDesk()
    connection, wire = connected(desk)
    connection.turn_away(TooLarge("no"))
    connection.data_received(get())
    assert (desk.served, statuses(wire), wire.ended) == ([], [b"413"], "eof")


@pytest.mark.parametrize(
    ("sent", "continues"),
    [
        (post(b"hello", "Expect: 100-continue")[:-5], True),
        (post(b"hello", "Expect: 100-continue")[:-4], False),
        (post(b"hello", "Expect: 100-continue"), False),
        (post(b"", "Expect: 100-continue"), False),
        (get("/healthz", "Expect: 100-continue"), False),
        (post(b"hello", "Expect: 100-continue", version="1.0")[:-5], False),
        (post(b"hello", "Expect: 100-continue", path="/nothing")[:-5], False),
    ],
)
async def test_who_waits_for_leave_to_send_his_body_gets_it(sent: bytes, continues: bool) -> None:
    connection, wire = connected(AnsweringDesk())
    connection.data_received(sent)
    assert wire.written.startswith(b"HTTP/1.1 100 Continue\r\n\r\n") is continues


# --- deadlines --------------------------------------------------------------------------------------------------------


async def test_the_header_deadline_begins_when_the_caller_comes_and_no_byte_resets_it() -> None:
    desk = AnsweringDesk()
    connection, wire = connected(desk)
    began = desk.clock.monotonic()
    for byte in get()[:9]:
        desk.clock.advance(1.0)
        connection.data_received(bytes([byte]))
        connection.sweep(desk.clock.monotonic())
    assert desk.refused == []
    connection.sweep(began + desk.deadlines.headers_s)
    assert [type(error) for error in desk.refused] == [ReceiveTimeout]
    assert (statuses(wire), wire.ended) == ([b"408"], "eof")


async def test_an_idle_connection_ends_in_silence() -> None:
    desk = AnsweringDesk()
    connection, wire = connected(desk)
    connection.data_received(get())
    answered = desk.clock.monotonic()
    connection.sweep(answered + desk.deadlines.idle_s - 0.1)
    assert wire.ended == ""
    connection.sweep(answered + desk.deadlines.idle_s)
    assert (wire.ended, desk.refused, statuses(wire)) == ("abort", [], [b"200"])


async def test_a_later_head_has_its_deadline_from_its_first_byte() -> None:
    desk = AnsweringDesk()
    connection, wire = connected(desk)
    connection.data_received(get())
    desk.clock.advance(60.0)
    connection.data_received(b"G")
    desk.clock.advance(9.0)
    connection.data_received(b"E")
    connection.sweep(desk.clock.monotonic())
    assert wire.ended == ""
    desk.clock.advance(1.0)
    connection.sweep(desk.clock.monotonic())
    assert statuses(wire) == [b"200", b"408"]


async def test_a_pipelined_half_head_has_a_deadline_too() -> None:
    desk = AnsweringDesk()
    connection, wire = connected(desk)
    connection.data_received(get() + get()[:10])
    await settle_down()
    desk.clock.advance(desk.deadlines.headers_s)
    connection.sweep(desk.clock.monotonic())
    assert statuses(wire) == [b"200", b"408"]


@pytest.mark.parametrize(("size", "patience_s"), [(0, 30.0), (1024 * 1024, 34.0), (10 * 1024**3, 120.0)])
def test_a_body_has_more_time_the_larger_it_is(size: int, patience_s: float) -> None:
    assert body_s(Deadlines(), size) == patience_s


async def test_a_slow_body_is_refused_at_its_deadline_however_it_trickles() -> None:
    desk = AnsweringDesk()
    connection, wire = connected(desk)
    connection.data_received(post(b"x" * 100)[:-100])
    for _ in range(29):
        desk.clock.advance(1.0)
        connection.data_received(b"x")
        connection.sweep(desk.clock.monotonic())
    assert wire.written == b""
    desk.clock.advance(1.1)
    connection.sweep(desk.clock.monotonic())
    assert (statuses(wire), wire.ended) == ([b"408"], "eof")


async def test_nothing_is_due_while_a_request_is_served() -> None:
    desk = AnsweringDesk()
    desk.holds = True
    connection, wire = connected(desk)
    connection.data_received(post())
    connection.sweep(desk.clock.monotonic() + 1e6)
    assert (wire.written, wire.ended) == (b"", "")


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_a_connection_lingers_so_that_its_last_answer_arrives() -> None:
    desk = AnsweringDesk()
    connection, wire = connected(desk)
    connection.data_received(post(b"hello", "Connection: close"))
    connection.data_received(b"x" * 1000)
    connection.sweep(desk.clock.monotonic() + desk.deadlines.linger_s - 0.1)
    assert (wire.ended, connection.under_way) == ("eof", False)
    connection.sweep(desk.clock.monotonic() + desk.deadlines.linger_s)
    assert wire.ended == "abort"


async def test_nobody_lingers_for_ever_over_bytes() -> None:
    desk = AnsweringDesk()
    connection, wire = connected(desk)
    connection.data_received(post(b"hello", "Connection: close"))
    piece = bytes(1024 * 1024)
    for _ in range(LINGER_BYTES // len(piece)):
        connection.data_received(piece)
    assert wire.ended == "eof"
    connection.data_received(b"x")
    assert wire.ended == "abort"


async def test_whoever_ends_while_we_linger_still_gets_what_was_written() -> None:
    connection, wire = connected(AnsweringDesk())
    connection.data_received(post(b"hello", "Connection: close"))
    assert connection.eof_received() is False
    assert wire.ended == "eof", "the transport closes itself, flushing"


@pytest.mark.parametrize("sent", [b"", get()[:5], post()[:-1]])
async def test_a_fin_means_that_the_caller_has_left(sent: bytes) -> None:
    desk = AnsweringDesk()
    connection, wire = connected(desk)
    if sent:
        connection.data_received(sent)
    assert connection.eof_received() is False
    assert (wire.ended, wire.written, desk.served) == ("abort", b"", [])
    connection.connection_lost(None)
    assert desk.left == 1


async def test_nothing_is_written_to_a_caller_who_has_left() -> None:
    desk = AnsweringDesk()
    desk.holds = True
    connection, wire = connected(desk)
    connection.data_received(post())
    connection.connection_lost(ConnectionResetError())
    connection.whole(200, b"", b"late")
    connection.stream(b"", b"late")
    connection.write(b"late")
    connection.fail(b"late")
    connection.end()
    connection.sweep(desk.clock.monotonic() + 1e6)
    assert (wire.written, connection.started) == (b"", True)


@pytest.mark.parametrize("lines", [[], ["Connection: close"]])
async def test_a_slow_reader_of_the_last_answer_is_waited_for_and_a_stuck_one_is_not(lines: list[str]) -> None:
    desk = AnsweringDesk()
    connection, wire = connected(desk)
    connection.data_received(get("/healthz", *lines))
    wire.unsent = 1000
    now = desk.clock.monotonic() + desk.deadlines.idle_s
    for _ in range(20):
        now += 29.0
        wire.unsent -= 10
        connection.sweep(now)
    assert wire.ended != "abort"
    connection.sweep(now + desk.deadlines.write_stall_s + 0.1)
    assert wire.ended == "abort"


@pytest.mark.parametrize(("lines", "patience_s"), [([], 75.0), (["Connection: close"], 2.0)])
async def test_a_callers_time_begins_when_he_has_read_his_answer(lines: list[str], patience_s: float) -> None:
    desk = AnsweringDesk()
    connection, wire = connected(desk)
    connection.data_received(get("/healthz", *lines))
    wire.unsent = 1000
    read = desk.clock.monotonic() + 100.0
    connection.sweep(read - 10.0)
    wire.unsent = 0
    connection.sweep(read)
    connection.sweep(read + patience_s - 0.1)
    assert wire.ended != "abort"
    connection.sweep(read + patience_s)
    assert wire.ended == "abort"


async def test_a_caller_who_reads_nothing_of_a_stream_is_aborted_when_he_has_stalled() -> None:
    desk = AnsweringDesk()
    desk.holds = True
    connection, wire = connected(desk)
    connection.data_received(post())
    connection.stream(b"", b"x")
    wire.unsent = 100_000
    connection.pause_writing()
    now = desk.clock.monotonic()
    connection.sweep(now + desk.deadlines.write_stall_s)
    assert wire.ended == ""
    connection.sweep(now + desk.deadlines.write_stall_s + 0.1)
    assert wire.ended == "abort"


async def test_drain_ends_idle_connections_and_gives_new_ones_a_moment() -> None:
    desk = AnsweringDesk()
    idle, idle_wire = connected(desk)
    idle.data_received(get())
    fresh, fresh_wire = connected(desk)
    half, half_wire = connected(desk)
    half.data_received(get()[:5])
    desk.draining = True
    for connection in (idle, fresh, half):
        connection.finish()
    assert (idle_wire.ended, fresh_wire.ended, half_wire.ended) == ("abort", "", "")
    for connection in (fresh, half):
        connection.sweep(desk.clock.monotonic() + FRESH_S)
    assert (fresh_wire.ended, fresh_wire.written, half_wire.ended) == ("abort", b"", "")
    half.data_received(get()[5:])
    assert (b"connection: close" in half_wire.written, half_wire.ended) == (True, "eof")


async def test_drain_also_ends_connections_whose_answer_has_already_begun() -> None:
    desk = AnsweringDesk()
    desk.holds = True
    connection, wire = connected(desk)
    connection.data_received(post())
    connection.stream(b"", b"x")
    desk.draining = True
    connection.end()
    assert wire.ended == "eof"


async def test_a_released_connection_does_nothing_any_more() -> None:
    desk = AnsweringDesk()
    connection, wire = connected(desk)
    assert connection.release() is wire
    connection.data_received(get())
    connection.sweep(desk.clock.monotonic() + 1e6)
    assert (desk.served, wire.written, wire.ended, connection.under_way) == ([], b"", "", False)


async def test_a_pause_without_anything_unread_is_no_stall() -> None:
    desk = AnsweringDesk()
    desk.holds = True
    connection, wire = connected(desk)
    connection.data_received(post())
    connection.pause_writing()
    connection.sweep(desk.clock.monotonic() + 1e6)
    assert wire.ended == ""


async def test_what_was_sent_ahead_is_nobodys_once_the_caller_has_left() -> None:
    desk = AnsweringDesk()
    connection, _ = connected(desk)
    connection.data_received(post(b"one") + post(b"two"))
    connection.connection_lost(None)
    await settle_down()
    assert [call.body for call in desk.served] == [b"one"]


async def test_a_connection_that_is_already_closing_isnt_half_closed() -> None:
    connection, wire = connected(AnsweringDesk())
    closing = wire.write

    def write_and_break(data: bytes | bytearray | memoryview) -> None:
        closing(data)
        wire.ended = "close"

    wire.write = write_and_break  # type: ignore[method-assign]  # the other side resets it as we write
    connection.data_received(post(b"hello", "Connection: close"))
    assert (wire.ended, connection.under_way) == ("close", False)


def test_states_are_in_the_order_of_a_connections_life() -> None:
    assert list(State) == sorted(State)
