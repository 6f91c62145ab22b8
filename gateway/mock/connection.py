"""One connection to the stand-in: requests in, answers out in order, and an open eye for the caller's leaving."""

import asyncio
from collections import deque
from typing import Protocol, cast

import httptools

from gateway.mock.faults import Standing
from gateway.mock.ledger import Entry
from gateway.mock.playing import Play, Stage
from gateway.mock.routes import Desk, Reply, Request
from gateway.mock.script import STRAY_ANSWER, Then
from gateway.mock.wreck import reset

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class House(Protocol):
    """What a connection needs of its server."""

    stage: Stage
    desk: Desk
    standing: Standing
    connections: set["Connection"]


class Connection(asyncio.Protocol):
    """HTTP/1.1 as far as a stand-in needs it: keep-alive, pipelining, sized and chunked bodies, 100-continue."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._stage = house.stage
        self._parser = httptools.HttpRequestParser(self)
        self._pending: deque[Request] = deque()
        self._play: Play | None = None
        self._number = 0
        self._doomed = False
        self._paused = False
        self._closing = False
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    # From the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._house.connections.add(self)
        self._number = self._stage.ledger.connected()
        if self._house.standing.take_refusal():
            self._stage.ledger.refused()
            self._close(Then.CLOSE)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # never granted: the request is answered with `connection: close`, what follows it is not read
        except httptools.HttpParserError:
            if self._play is None and not self._pending:
                self.transport.write(_BAD_REQUEST)
                self._close(Then.CLOSE)

    def eof_received(self) -> bool:
        self._leave()
        self._close(Then.RESET if self.transport.get_write_buffer_size() else Then.CLOSE)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._leave()
        self._house.connections.discard(self)
        self._stage.ledger.disconnected()

    def pause_writing(self) -> None:
        self._paused = True
        if self._play is not None:
            self._play.pause()

    def resume_writing(self) -> None:
        self._paused = False
        if self._play is not None:
            self._play.resume()

    # From the parser

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers = {}
        self._body = []
        if self._doomed:
            self._stage.ledger.refused()
            self._close(Then.CLOSE)

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue" and not self._closing:
            self.transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._closing:
            return
        self._pending.append(
            Request(
                method=self._parser.get_method().decode(),
                path=self._target.decode("latin-1").partition("?")[0],
                headers=self._headers,
                body=b"".join(self._body),
                keep_alive=self._parser.should_keep_alive() and not self._parser.should_upgrade(),
                chunks=self._parser.get_http_version() != "1.0",
                connection=self._number,
            )
        )
        if self._play is None:
            self._next()

    # Answers

    def _next(self) -> None:
        if self._play is not None or not self._pending:
            return
        request = self._pending.popleft()
        reply = self._house.desk.answer(request)
        # Scrapes and the stand-in's own doors are played like answers, but leave no trace in the ledger.
        entry = reply.entry or Entry(0, request.path, self._stage.clock.monotonic())
        self._play = Play(
            self._stage,
            self.transport,
            entry,
            reply.steps,
            reason=reply.reason,
            done=lambda then: self._played(reply, then),
        )
        if self._paused:
            self._play.pause()
        self._play.start(in_slot=reply.in_slot)

    def _played(self, reply: Reply, then: Then) -> None:
        self._play = None
        if then is not Then.END or not reply.keep_alive or "stale" in reply.faults:
            self._close(Then.CLOSE if then is Then.END else then)
            return
        if "stale_next" in reply.faults:
            self._doomed = True
        if (later_s := reply.faults.seconds("garbage_after")) is not None:
            self._stage.loop.call_later(later_s, self._write_stray_answer)
        if self._pending:
            self._stage.loop.call_soon(self._next)

    def _write_stray_answer(self) -> None:
        if not self._closing:
            self.transport.write(STRAY_ANSWER)

    def _leave(self) -> None:
        play, self._play = self._play, None
        self._pending.clear()
        if play is not None:
            play.leave()

    def _close(self, then: Then) -> None:
        self._closing = True
        if then is Then.RESET:
            reset(self.transport, self._stage.loop)
        else:
            self.transport.close()

    def drop(self) -> None:
        """Reset it, as the kernel does for a process that was killed."""
        self._leave_unnoticed()
        self._close(Then.RESET)

    def _leave_unnoticed(self) -> None:
        play, self._play = self._play, None
        self._pending.clear()
        if play is not None:
            play.abandon()
