"""The command-line agents, each doing one task: write a file with a tool of its own, and say so."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from msgspec import Struct

from tests.clients.outcomes import Outcome
from tests.clients.places import CLAUDE_CODES, NODE_FOLDER, PLACES, Place, asked
from tests.clients.programs import Ended, run, surroundings

SCRIPT: Final[Mapping[str, Any]] = orjson.loads((Path(__file__).parent / "script.json").read_bytes())
WITHIN_S: Final = 60.0
WRONG_KEY: Final = "sk-gw-wrong-0123456789abcdef"
_MODULES: Final = NODE_FOLDER / "node_modules"
_REFUSED: Final = "401"


class Desk(Struct, frozen=True):
    """Where an agent works: a home and a folder of its own, the gateway, a key, a model ("" for its own)."""

    home: Path
    folder: Path
    url: str
    key: str
    model: str


# An agent's command and environment for something to do.
Agent = Callable[[Desk, str], tuple[Sequence[str], Mapping[str, str]]]


def claude_code(desk: Desk, task: str) -> tuple[Sequence[str], Mapping[str, str]]:
    """As people point it at a gateway; the wrapper stands in for what its package's install script would lay down."""
    command = [_node(), str(_MODULES / "@anthropic-ai/claude-code/cli-wrapper.cjs"), "-p", task]
    command += ["--output-format", "json", "--permission-mode", "acceptEdits", "--allowedTools", "Write"]
    if desk.model:
        command += ["--model", desk.model]
    return command, {
        "ANTHROPIC_BASE_URL": desk.url,
        "ANTHROPIC_API_KEY": desk.key,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_AUTOUPDATER": "1",
    }


def codex(desk: Desk, task: str) -> tuple[Sequence[str], Mapping[str, str]]:
    """With the gateway as a provider of its configuration, as its documentation has it."""
    settings = desk.home / ".codex"
    settings.mkdir(exist_ok=True)
    (settings / "config.toml").write_text(
        f"""
model = "{desk.model}"
model_provider = "gateway"
[model_providers.gateway]
name = "gateway"
base_url = "{desk.url}/v1"
env_key = "GATEWAY_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""
    )
    command = [_node(), str(_MODULES / "@openai/codex/bin/codex.js"), "exec", "--json", "--skip-git-repo-check"]
    # Its sandbox needs what not every kernel gives; all it does is to write a file into a folder made for that.
    return [*command, "--dangerously-bypass-approvals-and-sandbox", task], {"GATEWAY_KEY": desk.key}


class Worker(Struct, frozen=True):
    """An agent by its name, the language it speaks to us, and the names it asks for; `own`: it has one if told none."""

    name: str
    agent: Agent
    language: str
    family: str
    own: bool = False


WORKERS: Final = (
    Worker("Claude Code", claude_code, "anthropic_messages", "claude-opus-4-8", own=True),
    Worker("Codex", codex, "openai_responses", "gpt-5-codex"),
)


def work(worker: Worker, folder: Path, url: str, key: str) -> list[Outcome]:
    """Its task at every place of another language that can be streamed from, then with a key that isn't one."""
    places = [one for one in PLACES if one.language != worker.language and "streams" not in one.lacks]
    outcomes = [
        Outcome(worker.name, place.language, "task", _task(worker, folder / place.language, url, key, place))
        for place in places
    ]
    if worker.own:
        trouble = _task(worker, folder / "own", url, key, None)
        outcomes.append(Outcome(worker.name, CLAUDE_CODES, "task", trouble))
    model = asked(worker.family, places[0])
    trouble = _denied(worker, _desk(folder / "denied", url, WRONG_KEY, model))
    return [*outcomes, Outcome(worker.name, places[0].language, "denied", trouble)]


def _task(worker: Worker, folder: Path, url: str, key: str, place: Place | None) -> str:
    """What went wrong with it, "" where nothing did."""
    desk = _desk(folder, url, key, asked(worker.family, place) if place is not None else "")
    file, words = desk.folder / "note.txt", SCRIPT["agent"]["words"]
    ended = _done(worker, desk, SCRIPT["agent"]["ask"].format(words=words, file=file))
    if ended.code != 0:
        return f"{ended.complaint()} {ended.out[-500:]!r}"
    if not file.is_file() or file.read_text() != words:
        return f"it wrote nothing, and said {ended.out[-500:]!r}"
    return "" if SCRIPT["agent"]["text"].encode() in ended.out else f"it did not say so: {ended.out[-500:]!r}"


def _denied(worker: Worker, desk: Desk) -> str:
    ended = _done(worker, desk, SCRIPT["plain"]["ask"])
    if ended.code == 0:
        return f"it went on: {ended.out[-500:]!r}"
    return "" if _REFUSED.encode() in ended.out + ended.err else f"{ended.complaint()} {ended.out[-500:]!r}"


def _done(worker: Worker, desk: Desk, task: str) -> Ended:
    command, environment = worker.agent(desk, task)
    return run(command, surroundings(desk.home, environment), within_s=WITHIN_S, folder=desk.folder)


def _desk(folder: Path, url: str, key: str, model: str) -> Desk:
    home, inner = folder / "home", folder / "work"
    home.mkdir(parents=True)
    inner.mkdir()
    return Desk(home, inner, url, key, model)


def _node() -> str:
    node = shutil.which("node")
    assert node is not None, "there is no node"
    return node
