"""What a newcomer does: start it, paste the printed curl, use the OpenAI client, forget the key, press Ctrl-C."""

import asyncio
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import openai
import orjson
import pytest

from tests.real.asking import Caller, client
from tests.real.processes import END_S, ROOT, Program, surroundings

pytestmark = pytest.mark.real

SERVE = (sys.executable, "-m", "gateway", "serve", "--dev", "--port", "0", "--control-port", "0")
MODELS = ("mock/frankfurt", "mock/virginia", "mock/singapore")


class Dev:
    """`gateway serve --dev`, and what it printed."""

    def __init__(self) -> None:
        self.program = Program(SERVE)
        serving = self.program.says(r'"event":"serving".*"port":(\d+)')
        self.program.says(MODELS[-1])
        self.root = f"http://127.0.0.1:{serving[1]}"
        self.key = self.program.says(r"development key\s+(sk-gw-\S+)")[1]
        self.curls = re.findall(r"^\s+(curl .+)$", self.program.text(), re.MULTILINE)


@pytest.fixture
def dev() -> Iterator[Dev]:
    running = Dev()
    with running.program:
        yield running


def curl(command: str) -> bytes:
    """What a pasted command prints."""
    done = subprocess.run(
        ["sh", "-c", command], env=surroundings(), cwd=ROOT, capture_output=True, timeout=END_S, check=True
    )
    return done.stdout


async def test_each_printed_curl_answers_with_a_whole_stream(dev: Dev) -> None:
    assert len(dev.curls) == len(MODELS)
    for command, model in zip(dev.curls, MODELS, strict=True):
        assert model in command
        said = await asyncio.to_thread(curl, command)
        frames = [line.removeprefix(b"data: ") for line in said.splitlines() if line.startswith(b"data: ")]
        assert frames[-1] == b"[DONE]"
        text = "".join(orjson.loads(frame)["choices"][0]["delta"].get("content") or "" for frame in frames[:-1])
        assert text


async def test_a_curl_without_a_key_gets_a_401_in_openais_shape(dev: Dev) -> None:
    words = [word for word in shlex.split(dev.curls[0]) if dev.key not in word]
    words.remove("-H")  # the one that stood before the key
    said = await asyncio.to_thread(curl, shlex.join([*words, "-w", "\n%{http_code} %{content_type}"]))
    body, _, status = said.rpartition(b"\n")
    assert status == b"401 application/json"
    error = orjson.loads(body)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, "invalid_api_key")


async def test_the_openai_client_streams(dev: Dev) -> None:
    async with client(f"{dev.root}/v1", dev.key) as asks:
        assert set(MODELS) <= {model.id async for model in asks.models.list()}
        for model in MODELS:
            ending = await Caller(asks, model).call("stream", "hello")
            assert ending.outcome == "whole"
            assert ending.pieces > 1


async def test_ctrl_c_lets_a_stream_finish_and_then_ends(dev: Dev) -> None:
    begun = asyncio.Event()
    async with client(f"{dev.root}/v1", dev.key) as asks, client(f"{dev.root}/v1", dev.key) as late:
        caller = Caller(asks, "mock/frankfurt", begun.set)
        async with asyncio.TaskGroup() as group:
            calling = group.create_task(caller.call("stream", "hello"))
            await begun.wait()
            assert caller.midway == 1
            dev.program.interrupt()
            await asyncio.to_thread(dev.program.says, '"event":"draining"')
        assert calling.result().outcome == "whole"
        assert await asyncio.to_thread(dev.program.ends) == 0
        with pytest.raises(openai.APIConnectionError):
            await Caller(late, "mock/frankfurt").openai.models.list()
    assert '"level":"error"' not in dev.program.text()
