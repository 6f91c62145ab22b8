import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from msgspec.structs import replace

from gateway.clock import RealClock
from gateway.settings.shape import Settings
from gateway.supervisor.fleet import MOST_WAIT_S, Fleet, NeverReady, backoff_s
from gateway.supervisor.sockets import Listening
from gateway.telemetry.families import REQUESTS
from gateway.telemetry.log import Log
from tests.doubles.settled import settings
from tests.doubles.supervised import CEILING_S, DOUBLE, Held, refused

pytestmark = pytest.mark.slow


class Lines:
    def __init__(self) -> None:
        self.events: list[dict[str, object]] = []

    def put(self, line: bytes) -> None:
        self.events.append(orjson.loads(line))


class Running:
    """A fleet at work, and what can be asked of it from outside."""

    def __init__(self, listening: Listening, fleet: Fleet, lines: Lines) -> None:
        self.listening = listening
        self.fleet = fleet
        self.lines = lines

    async def ask(self, path: str = "/", unix: str = "") -> dict[str, object]:
        """What a worker answers. ConnectionError where nobody does."""
        if unix:
            reader, writer = await asyncio.open_unix_connection(unix)
        else:
            reader, writer = await asyncio.open_connection(*self.listening.tcp[0].getsockname())
        try:
            writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
            async with asyncio.timeout(CEILING_S):
                answer = await reader.read()
        finally:
            writer.close()
        if not answer:
            raise ConnectionResetError("no answer")
        read: dict[str, object] = orjson.loads(answer.partition(b"\r\n\r\n")[2])
        return read

    async def workers(self, wanted: int) -> set[int]:
        seen: set[int] = set()
        async with asyncio.timeout(CEILING_S):
            while len(seen) < wanted:
                seen.add(int(str((await self.ask())["pid"])))
        return seen

    async def replaced(self, times: int) -> None:
        """Returns once so many workers were replaced and all slots are staffed again."""
        async with asyncio.timeout(CEILING_S):
            while self.fleet.replaced < times or self.fleet.ready < len(self.listening.tcp):
                await self.ask()

    async def sees(self, states: set[str]) -> None:
        """Returns once every worker's table shows these states and no others."""
        async with asyncio.timeout(CEILING_S):
            while {row.state for table in self.fleet.tables() for row in table} != states:
                await self.ask()

    def counted(self) -> float:
        return sum(values[0] for (name, _), values in self.fleet.totals.samples().items() if name == REQUESTS.name)


def made(workers: int, told: Settings, unix: str = "") -> Running:
    listening, lines = Listening(), Lines()
    listening.open("127.0.0.1", 0, workers)
    if unix:
        listening.open_unix(unix)
    clock = RealClock()
    return Running(listening, Fleet(DOUBLE, listening, told, clock, Log(lines, clock)), lines)


@asynccontextmanager
async def running(workers: int = 1, pop: str = "one", unix: str = "") -> AsyncIterator[Running]:
    """A fleet that serves; behind, every process of it has ended."""
    one = made(workers, replace(settings(), pop=pop), unix)
    async with asyncio.TaskGroup() as group:
        group.create_task(one.fleet.run())
        async with asyncio.timeout(CEILING_S):
            await one.fleet.serving.wait()
        yield one
        one.fleet.kill()
    one.listening.close()


def test_the_first_replacement_is_at_once_and_later_ones_wait_longer_up_to_a_limit() -> None:
    waits = [backoff_s(deaths) for deaths in range(1, 12)]
    assert waits[:4] == [0.0, 0.05, 0.1, 0.2]
    assert waits == sorted(waits)
    assert waits[-1] == MOST_WAIT_S


async def test_counts_are_summed_over_workers_and_never_go_back_when_one_is_replaced() -> None:
    async with running(2) as fleet:
        both = await fleet.workers(2)
        before = fleet.counted()
        assert before >= 2.0
        for pid in both:
            os.kill(pid, signal.SIGKILL)
        assert fleet.counted() == before
        await fleet.replaced(2)
        assert fleet.counted() > before
        assert both.isdisjoint(await fleet.workers(2))


async def test_what_is_wanted_of_a_backend_is_told_to_every_worker_and_to_whoever_comes_later() -> None:
    async with running(2) as fleet:
        await fleet.fleet.steer(["b"], resume=False)
        await fleet.sees({"drained"})
        for pid in await fleet.workers(2):
            os.kill(pid, signal.SIGKILL)
        await fleet.replaced(2)
        await fleet.sees({"drained"})
        await fleet.fleet.steer(["b"], resume=True)
        await fleet.sees({"healthy"})


async def test_what_was_wanted_for_a_while_is_forgotten_after_it() -> None:
    async with running() as fleet:
        await fleet.fleet.steer(["b"], resume=False, for_s=0.0)
        await fleet.sees({"drained"})
        (pid,) = await fleet.workers(1)
        os.kill(pid, signal.SIGKILL)
        await fleet.replaced(1)
        await fleet.sees({"healthy"})


async def test_whoever_waits_for_a_dead_worker_is_served_by_the_next() -> None:
    async with running() as fleet:
        (before,) = await fleet.workers(1)
        os.kill(before, signal.SIGSTOP)
        # Accepted by nobody, these wait in the socket that the next worker inherits.
        waiting = [await asyncio.open_connection(*fleet.listening.tcp[0].getsockname()) for _ in range(20)]
        for _, writer in waiting:
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
        os.kill(before, signal.SIGKILL)
        async with asyncio.timeout(CEILING_S):
            answers = [await reader.read() for reader, _ in waiting]
        assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
        assert not any(b'"pid":%d,' % before in answer for answer in answers)
        for _, writer in waiting:
            writer.close()


async def test_no_slots_file_outlives_its_workers_start() -> None:
    def files() -> set[Path]:
        return set(Path("/dev/shm").glob("gateway-*"))

    before = files()
    async with running(2) as fleet:
        await fleet.workers(2)
        assert files() <= before


async def test_a_unix_socket_is_served_by_all_of_them(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    async with running(2, unix=path) as fleet:
        workers = await fleet.workers(2)
        assert (await fleet.ask(unix=path))["pid"] in workers


async def test_new_settings_reach_every_worker_and_those_that_come_later() -> None:
    async with running(2) as fleet:
        assert await fleet.fleet.reconfigure(replace(settings(), pop="two")) == ""
        both = await fleet.workers(2)
        assert {(await fleet.ask())["pop"] for _ in range(10)} == {"two"}
        os.kill(both.pop(), signal.SIGKILL)
        await fleet.replaced(1)
        assert {(await fleet.ask())["pop"] for _ in range(10)} == {"two"}


@pytest.mark.parametrize("pop", ["refused", "fatal"])
async def test_settings_that_a_worker_refuses_or_dies_of_reach_no_other(pop: str) -> None:
    async with running(2) as fleet:
        assert await fleet.fleet.reconfigure(replace(settings(), pop=pop)) != ""
        assert fleet.fleet.settings.pop == "one"
        await fleet.replaced(1 if pop == "fatal" else 0)
        await fleet.workers(2)
        assert {(await fleet.ask())["pop"] for _ in range(10)} == {"one"}


async def test_settings_nobody_could_try_are_not_taken() -> None:
    one = made(1, settings())
    assert await one.fleet.reconfigure(replace(settings(), pop="two")) == "no worker is ready"
    one.listening.close()


async def test_workers_that_die_before_they_are_ready_are_given_up() -> None:
    one = made(1, replace(settings(), pop="fatal"))
    with pytest.raises(NeverReady, match="worker 0 ended 5 times before it was ready") as failed:
        await one.fleet.run()
    assert not failed.value.unusable
    one.listening.close()


async def test_first_settings_that_are_refused_are_to_blame_themselves() -> None:
    one = made(2, replace(settings(), pop="refused"))
    with pytest.raises(NeverReady, match="this double refuses") as failed:
        await one.fleet.run()
    assert failed.value.unusable
    one.listening.close()


async def test_a_program_that_cannot_be_started_is_given_up() -> None:
    listening, lines = Listening(), Lines()
    listening.open("127.0.0.1", 0, 1)
    fleet = Fleet(("/nowhere/worker",), listening, settings(), RealClock(), Log(lines, RealClock()))
    with pytest.raises(NeverReady):
        await fleet.run()
    assert {"no such file or directory"} == {
        str(line["problem"]).lower() for line in lines.events if line["event"] == "worker can't be started"
    }
    listening.close()


async def test_a_drain_lets_requests_finish_and_refuses_new_ones() -> None:
    async with running() as fleet:
        port = fleet.listening.tcp[0].getsockname()[1]
        held = await Held.begin(port)
        late, late_writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(fleet.fleet.drain(20.0))
            await refused(port)
            assert not held.over
            late_writer.write(b"GET /release HTTP/1.1\r\n\r\n")
            assert (await late.read()).startswith(b"HTTP/1.1 200")
            late_writer.close()
            assert (await held.rest())["pop"] == "one"
            draining.cancel()


async def test_what_has_not_finished_when_the_drain_is_over_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.supervisor.fleet.LEAVE_S", 0.05)
    async with running() as fleet:
        held = await Held.begin(fleet.listening.tcp[0].getsockname()[1])
        await fleet.fleet.drain(0.05)
        with pytest.raises(ConnectionResetError):
            await held.rest()


async def test_signals_to_the_whole_group_do_not_reach_the_workers() -> None:
    async with running() as fleet:
        (pid,) = await fleet.workers(1)
        assert os.getpgid(pid) == pid
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
        assert await fleet.workers(1) == {pid}


async def test_tables_are_those_of_workers_that_serve() -> None:
    async with running(2) as fleet:
        assert [[row.name for row in table] for table in fleet.fleet.tables()] == [["b"], ["b"]]
        assert fleet.fleet.ready == 2


async def test_a_fresh_fleet_has_a_socket_for_every_worker_and_no_worker_yet() -> None:
    one = made(2, settings())
    assert one.fleet.ready == 0
    assert one.fleet.tables() == []
    with socket.create_connection(one.listening.tcp[0].getsockname()):
        pass
    one.listening.close()
