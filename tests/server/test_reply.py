"""Answers as they are framed, for each version and kind of request."""

from gateway.errors import MalformedHttp, UpstreamBusy
from gateway.server.protocol import CallerConnection
from gateway.server.reply import ONE_WRITE_BYTES
from tests.server.desk import AnsweringDesk, Wire, connected

LINES = b"content-type: text/plain\r\n"


def asking(version: str = "1.1", desk: AnsweringDesk | None = None) -> tuple[CallerConnection, Wire]:
    """A connection whose request waits for its answer."""
    desk = desk or AnsweringDesk()
    desk.holds = True
    connection, wire = connected(desk)
    connection.data_received(
        f"POST /v1/chat/completions HTTP/{version}\r\nHost: a\r\nX-Request-Id: my-own-id\r\n\r\n".encode()
    )
    return connection, wire


async def test_a_whole_answer_has_its_length_and_the_requests_id() -> None:
    connection, wire = asking()
    connection.whole(201, LINES, b"hello")
    assert wire.written == (
        b"HTTP/1.1 201 Created\r\ncontent-type: text/plain\r\nx-request-id: my-own-id\r\ncontent-length: 5\r\n\r\nhello"
    )
    assert connection.started
    assert wire.ended == ""


async def test_a_large_answer_is_written_as_it_is() -> None:
    connection, wire = asking()
    body = b"x" * ONE_WRITE_BYTES
    connection.whole(200, b"", body)
    assert wire.written.endswith(b"content-length: %d\r\n\r\n%b" % (len(body), body))


async def test_an_old_client_is_told_that_the_connection_ends() -> None:
    connection, wire = asking("1.0")
    connection.whole(200, b"", b"hello")
    assert wire.written.endswith(b"content-length: 5\r\nconnection: close\r\n\r\nhello")
    assert wire.ended == "eof"


async def test_a_stream_is_chunked() -> None:
    connection, wire = asking()
    connection.stream(LINES, b"one")
    connection.write(b"x" * 17)
    connection.end()
    head, _, body = wire.written.partition(b"\r\n\r\n")
    assert head == (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nx-request-id: my-own-id\r\ntransfer-encoding: chunked"
    )
    assert body == b"3\r\none\r\n11\r\n" + b"x" * 17 + b"\r\n0\r\n\r\n"
    assert wire.ended == ""


async def test_an_old_clients_stream_ends_with_its_connection() -> None:
    connection, wire = asking("1.0")
    connection.stream(LINES, b"one")
    connection.write(b"two")
    connection.end()
    assert wire.written == (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nx-request-id: my-own-id\r\nconnection: close\r\n\r\nonetwo"
    )
    assert wire.ended == "eof"


async def test_a_stream_that_broke_says_so_and_its_connection_serves_on() -> None:
    """Clients use a connection again once an answer's framing is whole: closing it then would hit the next call."""
    connection, wire = asking()
    connection.stream(b"", b"one")
    connection.fail(b"data: error\n\n")
    assert wire.written.endswith(b"d\r\ndata: error\n\n\r\n0\r\n\r\n")
    assert (wire.ended, connection.idle) == ("", True)


async def test_a_stream_in_a_language_without_error_frames_lacks_its_end() -> None:
    connection, wire = asking()
    connection.stream(b"", b"one")
    connection.fail(b"")
    assert wire.written.endswith(b"\r\n\r\n3\r\none\r\n")
    assert wire.ended == "eof"


async def test_an_old_clients_broken_stream_has_the_error_frame_last() -> None:
    connection, wire = asking("1.0")
    connection.stream(b"", b"one")
    connection.fail(b"two")
    assert wire.written.endswith(b"\r\n\r\nonetwo")


async def test_an_error_ends_the_connection_only_where_it_must() -> None:
    connection, wire = asking()
    connection.refuse(UpstreamBusy("busy"), b"{}")
    assert b"retry-after: 2\r\n" in wire.written
    assert (b"connection: close" in wire.written, wire.ended) == (False, "")
    connection, wire = asking()
    connection.refuse(MalformedHttp("odd"), b"{}")
    assert (b"connection: close" in wire.written, wire.ended) == (True, "eof")


async def test_while_draining_every_answer_is_the_last() -> None:
    for stream in (False, True):
        desk = AnsweringDesk()
        connection, wire = asking(desk=desk)
        desk.draining = True
        if stream:
            connection.stream(b"", b"x")
            connection.end()
        else:
            connection.whole(200, b"", b"")
        assert (b"connection: close\r\n" in wire.written, wire.ended) == (True, "eof")


async def test_who_waits_for_room_is_told_when_there_is_some() -> None:
    connection, _ = asking()
    told: list[str] = []
    connection.on_writable(lambda: told.append("at once"))
    connection.pause_writing()
    assert connection.paused
    connection.on_writable(lambda: told.append("later"))
    assert told == ["at once"]
    connection.resume_writing()
    connection.resume_writing()
    assert told == ["at once", "later"]
    assert not connection.paused
