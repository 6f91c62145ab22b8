"""A real worker in a process of its own, led over a socket pair."""

import asyncio
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

from gateway.channel import Drain, Steer
from gateway.mock.options import MockOptions
from gateway.mock.server import MockServer
from gateway.routing.outlier import IN_A_ROW
from gateway.settings.shape import Auth, Deadlines, Listen, Provider, Settings, Timeouts, Tls
from gateway.telemetry.families import EJECTIONS, RETRY_BUDGET, WORKER
from gateway.telemetry.slots import SlotReader
from tests.doubles.inside import PATHS, backend, settings_for
from tests.scenarios.cast import MODEL, WORDS, asked
from tests.scenarios.lead import CEILING_S, Led, led

pytestmark = pytest.mark.slow

SLOW = MockOptions(tokens=60, tpot_s=0.01, slots=16)
# Callers who keep their connection open hold the worker's end up for so long.
BRIEF = Deadlines(linger_s=0.2)
ENDLESS = MockOptions(tokens=100_000, tpot_s=0.005)


def told(*servers: MockServer, **more: object) -> Settings:
    """One model, served by these."""
    rows = [backend(f"backend-{number}", server.url) for number, server in enumerate(servers)]
    return replace(settings_for({MODEL: rows}, deadlines=BRIEF), pop="fra", **more)


@asynccontextmanager
async def full_house() -> AsyncIterator[str]:
    """The address of a server that accepts nobody: its queue is full, so a dial waits for ever."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(server.getsockname())
            waiting.append(one)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for one in waiting:
            one.close()


async def begun(worker: Led) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    """A stream of which the first words were heard."""
    reader, writer = await worker.connect()
    writer.write(asked())
    async with asyncio.timeout(CEILING_S):
        return reader, writer, await reader.readuntil(b" stand-in")


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(CEILING_S):
        return await reader.read()


@pytest.mark.parametrize("stream", [True, False])
async def test_it_serves_on_the_socket_it_inherits(stream: bool) -> None:
    async with MockServer() as model, led(told(model)) as worker:
        heard = await worker.hears(asked(close=True, stream=stream))
        assert heard.status == 200
        assert WORDS.split()[0].encode() in heard.body
        assert heard.headers["x-gateway-pop"] == "fra"
        await worker.until(lambda: [line.event for line in worker.log] == ["request"])
        [line] = worker.log
        assert line.fields["status"] == 200
        assert line.fields["request_id"] == heard.headers["x-request-id"]
        assert line.fields["output_tokens"] == 16


# --- reload -----------------------------------------------------------------------------------------------------------


async def test_a_stream_that_runs_while_the_settings_change_ends_under_the_old_ones() -> None:
    async with MockServer(SLOW) as old, MockServer() as new, led(told(old)) as worker:
        reader, writer, start = await begun(worker)
        assert await worker.configure(replace(told(new), pop="ams")) == ""
        fresh = await worker.hears(asked(close=True))
        assert (fresh.status, fresh.headers["x-gateway-pop"]) == (200, "ams")
        assert new.ledger.request_count == 1
        start += await reader.readuntil(b"0\r\n\r\n")
        assert b"[DONE]" in start
        assert start.count(b'"content":"') == 61
        assert old.ledger.last.finished
        # The connection that was there before goes on, under the new settings.
        writer.write(asked(close=True))
        assert b"x-gateway-pop: ams" in await rest_of(reader)
        await old.until(lambda ledger: ledger.open_connections == 0)
        writer.close()


async def test_settings_that_cannot_be_used_change_nothing() -> None:
    bearer = Provider(name="keyed", speaks="openai_chat", paths=PATHS, auth=Auth(scheme="bearer"))
    async with MockServer() as model, led(told(model)) as worker:
        two_lines = settings_for({MODEL: [backend("first", model.url, bearer, "one\ntwo")]})
        problem = await worker.configure(two_lines)
        assert "ValueError" in problem
        assert "two" not in problem
        assert (await worker.hears(asked(close=True))).status == 200


async def test_a_worker_whose_first_settings_were_refused_takes_better_ones(tmp_path: Path) -> None:
    async with MockServer() as model, led() as worker:
        missing = Tls(certificate=str(tmp_path / "none.pem"), key=str(tmp_path / "none.key"))
        assert "FileNotFoundError" in await worker.configure(told(model, listen=Listen(tls=missing)))
        assert await worker.configure(told(model)) == ""
        assert (await worker.hears(asked(close=True))).status == 200


async def test_what_is_known_of_a_backend_outlives_a_change_of_settings() -> None:
    async with MockServer() as model, led(told(model)) as worker:
        await worker.hears(asked(close=True))
        await worker.configure(told(model))
        seen = len(worker.tables)
        await worker.until(lambda: len(worker.tables) > seen)
        [row] = worker.tables[-1].rows
        assert (row.name, row.state, row.answered, row.in_flight) == ("backend-0", "healthy", 1, 0)


# --- the channel ------------------------------------------------------------------------------------------------------


async def test_it_tells_what_it_sees_of_its_backends() -> None:
    async with MockServer(ENDLESS) as busy, MockServer() as idle, led(told(busy, idle)) as worker:
        reader, writer, _ = await begun(worker)
        await worker.until(lambda: any(rows.rows[0].in_flight == 1 for rows in worker.tables))
        first, second = worker.tables[-1].rows
        assert (first.name, first.provider, first.region, first.country) == ("backend-0", "mock", "eu-central", "DE")
        assert (second.in_flight, second.state) == (0, "unknown")
        writer.close()
        await worker.until(lambda: worker.tables[-1].rows[0].in_flight == 0)
        del reader


async def test_it_knows_how_far_a_backend_is_before_anybody_asks_for_it() -> None:
    """By the kernel's word on the connection that waits for the first caller."""
    async with MockServer() as model, led(told(model)) as worker:
        await worker.until(lambda: bool(worker.tables) and worker.tables[-1].rows[0].rtt_ms > 0.0)
        assert not model.ledger.requests


async def test_it_counts_ejections_and_shows_how_much_is_tried_again() -> None:
    async with MockServer() as broken, MockServer() as model, led(told(broken, model)) as worker:
        broken.set_faults(["500"])
        for _ in range(IN_A_ROW):
            assert (await worker.hears(asked(close=True))).status == 200
        await worker.until(lambda: bool(worker.tables) and worker.tables[-1].rows[0].state == "ejected")
        seen = len(worker.tables)
        await worker.until(lambda: len(worker.tables) > seen)
        reader = SlotReader(worker.slots_path, {family.name: family for family in WORKER})
        samples = reader.samples()
        reader.close()
        assert samples[EJECTIONS.name, ("backend-0", "consecutive_failures")] == [1.0]
        assert samples[RETRY_BUDGET.name, ()] == [1.0]


async def test_a_backend_that_is_drained_is_asked_nothing_until_it_is_resumed() -> None:
    async with MockServer() as first, MockServer() as second, led(told(first, second)) as worker:
        await worker.tell(Steer(("backend-0", "gone"), resume=False))
        await worker.until(lambda: bool(worker.tables) and worker.tables[-1].rows[0].state == "drained")
        assert (await worker.hears(asked(close=True))).status == 200
        assert (len(first.ledger.requests), len(second.ledger.requests)) == (0, 1)
        await worker.tell(Steer(("backend-0",), resume=True))
        await worker.until(lambda: worker.tables[-1].rows[0].state != "drained")
        await worker.tell(Steer(("backend-1",), resume=False))
        await worker.until(lambda: worker.tables[-1].rows[1].state == "drained")
        assert (await worker.hears(asked(close=True))).status == 200
        assert (len(first.ledger.requests), len(second.ledger.requests)) == (1, 1)


async def test_a_supervisor_that_reads_late_loses_tables_and_never_the_thread() -> None:
    """A table larger than the channel holds: what is read, once somebody reads, are whole messages."""
    async with MockServer() as model:
        settings = settings_for({MODEL: [backend(f"{'x' * 400}-{number}", model.url) for number in range(600)]})
        async with led(settings) as worker:
            await worker.leaves_unread()
            assert (await worker.hears(asked(close=True))).status == 200
            worker.go_on_reading()
            assert await worker.configure(settings) == ""
            seen = len(worker.tables)
            await worker.until(lambda: len(worker.tables) > seen + 2)
            assert {len(table.rows) for table in worker.tables} == {600}


# --- leaving ----------------------------------------------------------------------------------------------------------


async def test_a_drain_lets_a_stream_finish() -> None:
    async with MockServer(SLOW) as model, led(told(model)) as worker:
        reader, writer, start = await begun(worker)
        await worker.tell(Drain(CEILING_S))
        worker.listening.close()
        said = start + await rest_of(reader)
        assert b"[DONE]" in said
        assert said.endswith(b"0\r\n\r\n")
        assert await worker.ends() == 0
        await worker.until(lambda: worker.drained)
        [line] = [line for line in worker.log if line.event == "request"]
        assert line.fields["outcome"] == "answered"
        writer.close()


async def test_a_drain_announces_the_end_of_a_connection() -> None:
    async with MockServer(MockOptions(ttft_s=0.3)) as model, led(told(model)) as worker:
        reader, writer = await worker.connect()
        writer.write(asked(stream=False))
        await model.until(lambda ledger: ledger.request_count == 1)
        await worker.tell(Drain(CEILING_S))
        said = await rest_of(reader)
        assert said.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nconnection: close\r\n" in said
        assert await worker.ends() == 0
        writer.close()


@pytest.mark.parametrize("within_s", [0.0, 0.2])
async def test_what_outlives_a_drains_limit_is_broken_off_and_told_so(within_s: float) -> None:
    async with MockServer(ENDLESS) as model, led(told(model)) as worker:
        reader, writer, start = await begun(worker)
        whole_reader, whole_writer = await worker.connect()
        whole_writer.write(asked(stream=False))
        await model.until(lambda ledger: ledger.request_count == 2)
        await worker.tell(Drain(within_s))
        said = start + await rest_of(reader)
        events = [block for block in said.split(b"\n\n") if b"data: " in block]
        frame = orjson.loads(events[-1].partition(b"data: ")[2])
        assert frame["error"]["code"] == "draining"
        assert frame["choices"][0]["finish_reason"] == "error"
        assert b"[DONE]" not in said
        assert said.endswith(b"0\r\n\r\n")
        whole = await rest_of(whole_reader)
        assert whole.startswith(b"HTTP/1.1 503 ")
        assert b'"code":"draining"' in whole
        assert b"\r\nretry-after: " in whole
        assert await worker.ends() == 0
        await worker.until(lambda: worker.drained)
        assert sorted(str(line.fields["outcome"]) for line in worker.log if line.event == "request") == ["draining"] * 2
        await model.until(lambda ledger: ledger.left == 2)
        writer.close()
        whole_writer.close()


async def test_a_request_that_is_still_dialling_is_settled_before_the_worker_ends() -> None:
    async with (
        full_house() as url,
        led(
            settings_for({MODEL: [backend("first", url)]}, timeouts=Timeouts(connect_s=30.0), deadlines=BRIEF)
        ) as worker,
    ):
        reader, writer = await worker.connect()
        writer.write(asked())
        await worker.until(lambda: bool(worker.tables) and worker.tables[-1].rows[0].in_flight == 1)
        await worker.tell(Drain(0.0))
        heard = await rest_of(reader)
        assert heard.startswith(b"HTTP/1.1 503 ")
        assert await worker.ends() == 0
        [line] = worker.log
        assert (line.event, line.fields["outcome"]) == ("request", "draining")
        writer.close()


async def test_a_kept_connection_is_answered_once_more_before_a_drain_ends_it() -> None:
    """To close it under the next request would be a failure for a caller who has done nothing wrong."""
    async with MockServer() as model, led(told(model)) as worker:
        reader, writer = await worker.connect()
        writer.write(asked(stream=False))
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        assert b"\r\nconnection: close\r\n" not in head
        await worker.tell(Drain(CEILING_S))
        async with asyncio.timeout(CEILING_S):
            while b"\r\nconnection: close\r\n" not in head:
                writer.write(asked(stream=False))
                head = await reader.readuntil(b"\r\n\r\n")
                assert b"HTTP/1.1 200 " in head
                length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
        assert await rest_of(reader) == b""
        assert await worker.ends() == 0
        writer.close()


async def test_idle_connections_end_with_a_drain_and_the_worker_after_a_moment() -> None:
    async with MockServer() as model, led(told(model)) as worker:
        reader, writer = await worker.connect()
        writer.write(asked(stream=False))
        await reader.readuntil(b"}")
        await worker.tell(Drain(CEILING_S))
        await rest_of(reader)
        assert await worker.ends() == 0
        writer.close()


async def test_a_worker_without_a_supervisor_drains() -> None:
    async with MockServer(SLOW) as model, led(told(model)) as worker:
        reader, writer, start = await begun(worker)
        await worker.until(lambda: bool(worker.tables))
        worker.channel.shutdown(socket.SHUT_RDWR)
        said = start + await rest_of(reader)
        assert b"[DONE]" in said
        assert await worker.ends() == 0
        writer.close()


async def test_a_supervisor_that_was_killed_with_words_unread_is_gone_as_well() -> None:
    """The kernel says ECONNRESET rather than the end: a stream that runs is finished all the same."""
    async with MockServer(SLOW) as model, led(told(model)) as worker:
        reader, writer, start = await begun(worker)
        await worker.leaves_unread()
        worker.channel.close()
        said = start + await rest_of(reader)
        assert b"[DONE]" in said
        assert await worker.ends() == 0
        writer.close()


async def test_signals_are_the_supervisors_business() -> None:
    async with MockServer() as model, led(told(model)) as worker:
        worker.process.send_signal(signal.SIGINT)
        worker.process.send_signal(signal.SIGTERM)
        assert (await worker.hears(asked(close=True))).status == 200
        assert worker.process.returncode is None


# --- sockets ----------------------------------------------------------------------------------------------------------


def certificate(folder: Path, name: str) -> Tls:
    """A certificate for localhost, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    named = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(named)
        .issuer_name(named)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Tls(certificate=str(folder / "cert.pem"), key=str(folder / "key.pem"))


async def over_tls(worker: Led, trusted: str) -> tuple[str, bytes]:
    """Who answered over TLS, and what."""
    context = ssl.create_default_context(cafile=trusted)
    reader, writer = await asyncio.open_connection("127.0.0.1", worker.port, ssl=context, server_hostname="localhost")
    shown = writer.get_extra_info("ssl_object").getpeercert()
    writer.write(asked(close=True))
    said = await rest_of(reader)
    writer.close()
    return shown["subject"][0][0][1], said


async def test_it_speaks_tls_from_certificate_files_and_takes_new_ones_with_new_settings(tmp_path: Path) -> None:
    settings = Listen(tls=certificate(tmp_path, "first"))
    async with MockServer() as model, led(told(model, listen=settings)) as worker:
        name, said = await over_tls(worker, str(tmp_path / "cert.pem"))
        assert name == "first"
        assert said.startswith(b"HTTP/1.1 200 ")
        assert b"[DONE]" in said
        certificate(tmp_path, "second")
        assert await worker.configure(told(model, listen=settings)) == ""
        name, said = await over_tls(worker, str(tmp_path / "cert.pem"))
        assert name == "second"
        assert b"[DONE]" in said


async def test_certificate_files_that_do_not_fit_leave_the_old_ones_in_force(tmp_path: Path) -> None:
    settings = Listen(tls=certificate(tmp_path, "first"))
    async with MockServer() as model, led(told(model, listen=settings)) as worker:
        good = (tmp_path / "cert.pem").read_bytes()
        trusted = tmp_path / "trusted.pem"
        trusted.write_bytes(good)
        (tmp_path / "cert.pem").write_text("no certificate")
        assert "SSLError" in await worker.configure(told(model, listen=settings))
        name, _ = await over_tls(worker, str(trusted))
        assert name == "first"


async def test_a_unix_socket_speaks_no_tls(tmp_path: Path) -> None:
    settings = Listen(tls=certificate(tmp_path, "first"))
    path = tmp_path / "s"
    async with MockServer() as model, led(told(model, listen=settings), unix=path) as worker:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(asked(close=True))
        said = await rest_of(reader)
        assert said.startswith(b"HTTP/1.1 200 ")
        assert b"[DONE]" in said
        writer.close()
        assert worker.process.returncode is None


# --- bugs -------------------------------------------------------------------------------------------------------------

PLAN_FAILS = """
from gateway.upstream.catalogue import Catalogue
def plan(self, model, operation, wire):
    raise RuntimeError(f"no plan for {model}, who said: tell nobody")
Catalogue.plan = plan
"""
STREAM_FAILS = """
from gateway.wire.openai_meter import OpenAIMeter
feed = OpenAIMeter.feed
def fails(self, data):
    if self.committed:
        raise RuntimeError(f"can't read {data!r}")
    return feed(self, data)
OpenAIMeter.feed = fails
"""
SWEEP_FAILS = """
from gateway.upstream.pool import Pool
def evict(self, now):
    raise RuntimeError("tell nobody")
Pool.evict = evict
"""


@pytest.mark.parametrize("stream", [True, False])
async def test_a_bug_is_a_500_for_the_caller_and_a_line_for_us(stream: bool) -> None:
    async with MockServer() as model, led(told(model), before=PLAN_FAILS) as worker:
        heard = await worker.hears(asked(close=True, stream=stream))
        assert heard.status == 500
        assert heard.headers["x-should-retry"] == "false"
        error = heard.json["error"]
        assert isinstance(error, dict)
        assert (error["type"], error["code"]) == ("server_error", "internal_error")
        await worker.until(lambda: len(worker.log) == 2)
        bug, request = sorted(worker.log, key=lambda line: str(line.event))
        assert (bug.event, bug.fields["level"], bug.fields["error"]) == ("bug", "error", "RuntimeError")
        assert str(bug.fields["where"]).startswith("<string>:")
        assert bug.fields["request_id"] == request.fields["request_id"] == heard.headers["x-request-id"]
        assert "tell nobody" not in str(worker.log)
        assert request.fields["outcome"] == "internal_error"
        assert (await worker.hears(asked(close=True))).status == 500  # the worker is still there


async def test_a_bug_in_the_middle_of_a_stream_is_an_error_frame() -> None:
    async with MockServer(SLOW) as model, led(told(model), before=STREAM_FAILS) as worker:
        heard = await worker.hears(asked(close=True))
        assert heard.whole
        frame = orjson.loads(heard.events[-1])
        assert frame["error"]["code"] == "internal_error"
        assert b"[DONE]" not in heard.body
        await worker.until(lambda: len(worker.log) == 2)
        bug, request = sorted(worker.log, key=lambda line: str(line.event))
        assert (bug.event, bug.fields["error"]) == ("bug", "RuntimeError")
        assert "stand-in" not in str(worker.log)
        assert request.fields["outcome"] == "internal_error"
        await model.until(lambda ledger: ledger.last.left_at is not None)
        await worker.until(lambda: bool(worker.tables) and worker.tables[-1].rows[0].in_flight == 0)
        assert worker.tables[-1].rows[0].failed == 0


async def test_a_bug_in_what_time_brings_stops_no_clock() -> None:
    """The worker goes on telling its tables, and says what happened without its words."""
    async with MockServer() as model, led(told(model), before=SWEEP_FAILS) as worker:
        await worker.hears(asked(close=True))
        seen = len(worker.tables)
        await worker.until(lambda: len(worker.tables) > seen + 2)
        bug = next(line for line in worker.log if line.event == "bug")
        assert bug.fields["error"] == "RuntimeError"
        assert "tell nobody" not in str(worker.log)
