import argparse
import asyncio
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.mock.cli_mock import add_arguments, run
from gateway.mock.options import MockOptions
from gateway.mock.server import MockServer
from tests.doubles.mock_caller import CEILING_S, chat, hear

COMMAND = (
    "import argparse, sys; from gateway.mock import cli_mock;"
    "p = argparse.ArgumentParser(); cli_mock.add_arguments(p); sys.exit(cli_mock.run(p.parse_args()))"
)


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, MockServer]]:
    """The command as a process of its own, and an unstarted server that only knows its address."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", COMMAND, *arguments, stdout=-1, stderr=-1)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(CEILING_S):
            line = (await process.stdout.readline()).decode()
        found = re.fullmatch(r"listening on http://127\.0\.0\.1:(\d+)\n", line)
        assert found is not None, line
        yield process, MockServer(MockOptions(port=int(found[1])))
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_answers_and_ends_cleanly_when_told_to(number: signal.Signals) -> None:
    async with started("--ttft", "0", "--tpot", "0", "--place", "Oslo", "--lora", "red") as (process, server):
        heard = await hear(server, chat(model="red"))
        assert heard.text.startswith("This is the stand-in model red in Oslo")
        process.send_signal(number)
        async with asyncio.timeout(CEILING_S):
            _, complaints = await process.communicate()
        assert (process.returncode, complaints) == (0, b"")


@pytest.mark.slow
async def test_the_command_breaks_as_it_was_told_to() -> None:
    async with started("--fault", "500*1", "--fault", "reset=400*2", "--tokens", "100") as (_, server):
        assert (await hear(server, chat())).status == 500
        heard = await hear(server, chat())
        assert (len(heard.wire), heard.ending) == (400, "rst")
        assert len((await hear(server, chat(), fault="ttft=0;tpot=0")).events) == 103


async def test_defaults_are_those_of_a_model_server() -> None:
    given = parsed()
    assert (given.ttft, given.tpot, given.slots, given.port) == (0.08, 0.01, 8, 0)
    assert parsed("--pace", "20ms").tpot == 0.02


def test_a_port_that_is_taken_is_exit_78_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(parsed("--port", str(port))) == 78
    assert f"cannot listen on 127.0.0.1:{port} (--port)" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [("--fault", "stal"), ("--ttft", "80"), ("--speaks", "latin"), ("--port", "x")])
def test_wrong_usage_says_what_is_wrong(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(*arguments)
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_options_that_cannot_be_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(parsed("--slots", "0")) == 2
    assert "slots must be at least 1" in capsys.readouterr().err


def test_help_names_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--help")
    shown = capsys.readouterr().out
    assert "stall_mid" in shown
    assert "429=5" in shown
