import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.channel import Configure, Drain
from gateway.supervisor.child import Child, Gone
from tests.doubles.settled import settings
from tests.doubles.supervised import CEILING_S, DOUBLE


@asynccontextmanager
async def child(folder: Path, command: tuple[str, ...] = DOUBLE) -> AsyncIterator[Child]:
    """A started worker that is listened to; it has ended behind."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        child = await Child.start(command, [listening], str(folder / "slots"))
        async with asyncio.TaskGroup() as group:
            group.create_task(child.listen())
            yield child
            child.kill()
            async with asyncio.timeout(CEILING_S):
                await child.process.wait()
        child.close()


def environment_of(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


async def test_a_worker_that_took_its_settings_is_ready_until_it_ends(tmp_path: Path) -> None:
    async with child(tmp_path) as worker:
        before = worker.ready
        assert await worker.ask(Configure(settings()), CEILING_S) == ""
        assert (before, worker.ready, worker.served) == (False, True, True)
        assert [row.name for row in worker.backends] == ["b"]
    assert (worker.ready, worker.served) == (False, True)


async def test_a_worker_that_refused_says_why_and_is_not_ready(tmp_path: Path) -> None:
    async with child(tmp_path) as worker:
        assert await worker.ask(Configure(replace(settings(), pop="refused")), CEILING_S) == "this double refuses"
        assert not worker.ready
        assert await worker.ask(Configure(settings()), CEILING_S) == ""
        assert worker.ready


async def test_a_refusal_of_later_settings_leaves_it_ready(tmp_path: Path) -> None:
    async with child(tmp_path) as worker:
        assert await worker.ask(Configure(settings()), CEILING_S) == ""
        assert await worker.ask(Configure(replace(settings(), pop="refused")), CEILING_S) == "this double refuses"
        assert worker.ready


async def test_a_worker_that_dies_before_it_answers_is_gone(tmp_path: Path) -> None:
    async with child(tmp_path) as worker:
        with pytest.raises(Gone):
            await worker.ask(Configure(replace(settings(), pop="fatal")), CEILING_S)
        await worker.process.wait()
        assert not await worker.say(Drain(1.0))
        with pytest.raises(Gone, match="the worker is gone"):
            await worker.ask(Configure(settings()), CEILING_S)


async def test_a_worker_that_says_nothing_is_killed(tmp_path: Path) -> None:
    silent = (sys.executable, "-c", "import sys; sys.stdin.read(); import signal; signal.pause()")
    async with child(tmp_path, silent) as worker:
        with pytest.raises(Gone, match=r"did not answer within 0\.05 s"):
            await worker.ask(Configure(settings()), 0.05)
        async with asyncio.timeout(CEILING_S):
            assert await worker.process.wait() == -signal.SIGKILL


async def test_a_worker_that_talks_nonsense_is_killed(tmp_path: Path) -> None:
    babbling = (
        sys.executable,
        "-c",
        "import socket, sys, signal; socket.socket(fileno=int(sys.argv[2])).send(b'\\xff' * 8); signal.pause()",
    )
    async with child(tmp_path, babbling) as worker, asyncio.timeout(CEILING_S):
        assert await worker.process.wait() == -signal.SIGKILL


async def test_a_worker_is_told_how_to_keep_memory(tmp_path: Path) -> None:
    async with child(tmp_path) as worker:
        assert await worker.ask(Configure(settings()), CEILING_S) == ""
        around = environment_of(worker.process.pid)
    assert any(line.startswith(b"MALLOC_TRIM_THRESHOLD_=") for line in around)


async def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await Child.start(("/nowhere/worker",), [], str(tmp_path / "slots"))
