"""The official Node client in a process of its own."""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from typing import Literal

import orjson
from msgspec import Struct
from msgspec.json import decode

from tests.real.endings import KINDS, Ending, Kind
from tests.real.gateways import KEY
from tests.real.processes import END_S, NODE_FOLDER, START_S, surroundings, tie


class _Said(Struct):
    event: Literal["asked", "begun", "ended"]
    ending: Ending | None = None


def _command(script: str, *arguments: str) -> list[str]:
    node = shutil.which("node")
    assert node is not None, "there is no node"
    assert (NODE_FOLDER / "node_modules").is_dir(), "make setup-real has not run"
    return tie([node, str(NODE_FOLDER / script), *arguments])


def _environment(url: str) -> dict[str, str]:
    return surroundings({"OPENAI_BASE_URL": url, "OPENAI_API_KEY": KEY})


async def one_of_each(url: str, model: str) -> dict[str, object]:
    """What node/one_of_each.mjs saw."""
    process = await asyncio.create_subprocess_exec(
        *_command("one_of_each.mjs", model),
        env=_environment(url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(START_S):
        out, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    seen: dict[str, object] = orjson.loads(out)
    return seen


class NodeCaller:
    """The same as asking.Caller with `lanes` lanes, in node/keep_on.mjs."""

    def __init__(
        self,
        url: str,
        model: str,
        lanes: int,
        changed: Callable[[], None] = lambda: None,
        kinds: Sequence[Kind] = KINDS,
    ) -> None:
        self.endings: list[Ending] = []
        self.midway = 0
        self.waiting = 0
        self._changed = changed
        self._url = url
        self._words = (model, str(lanes), ",".join(kinds))
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Begin to call; on the main thread, whose end ends the client."""
        self._process = await asyncio.create_subprocess_exec(
            *_command("keep_on.mjs", *self._words),
            env=_environment(self._url),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )

    async def listen(self) -> None:
        """Until it has ended."""
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = decode(line, type=_Said)
            match said.event:
                case "asked":
                    self.waiting += 1
                case "begun":
                    self.waiting -= 1
                    self.midway += 1
                case "ended":
                    assert said.ending is not None
                    self.endings.append(said.ending)
                    if said.ending.pieces:
                        self.midway -= 1
                    else:
                        self.waiting -= 1
            self._changed()
        async with asyncio.timeout(END_S):
            assert await self._process.wait() == 0

    def stop(self) -> None:
        """Let it end after the calls that are under way."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
