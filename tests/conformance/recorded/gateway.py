"""A gateway as a user runs it, with one backend for each recorded language, each of them the stand-in."""

from pathlib import Path
from threading import Condition
from typing import Any

import orjson

from gateway.settings.load import digest_of, providers
from gateway.wire.dialect import Dialect
from tests.real.gateways import COMMAND
from tests.real.processes import Program

KEY = "sk-gw-conformance-0123456789abcdef"
BACKEND_KEY = "recorded0123456789"
OPERATIONS = {
    "openai_chat": "chat",
    "openai_responses": "responses",
    "anthropic_messages": "messages",
    "gemini": "generate",
    "bedrock_converse": "converse",
    "bedrock_invoke": "invoke",
    "cohere_chat": "cohere_chat",
}
# Where a request's log line names its losses.
_LOST = ("lost", "losses", "dropped")
_LINE_S = 10.0
# A machine that does something else besides loses nothing by it.
_PATIENCE = {"connect": "30s", "first_token": "60s", "idle": "60s"}


def rows() -> dict[str, str]:
    """For each recorded language a provider that speaks no other, so that everybody else's must cross into it."""
    found: dict[str, tuple[bool, str]] = {}
    for name, row in providers().items():
        spoken = [language for language, operation in OPERATIONS.items() if operation in row.paths]
        if len(spoken) == 1:
            # What is left out of requests for a provider's sake is another matter.
            fit = (row.dialect != Dialect(), name)
            found[spoken[0]] = min(found.get(spoken[0], fit), fit)
    return {language: name for language, (_, name) in found.items()}


def model(language: str, tagged: str) -> str:
    """The name by which callers ask for a recording of this language."""
    return f"{language}.{tagged}"


class Gateway:
    """At work from the constructor on, until `stop()`. `lost` gives what a request's log line says of losses."""

    def __init__(self, folder: Path, stand_in: str) -> None:
        self._lost: dict[str, tuple[str, ...]] = {}
        self._heard = Condition()
        self.languages = rows()
        callers = {"teams": {"t": {}}, "keys": {"k": {"team": "t", "hash": digest_of(KEY, "").hex()}}}
        (folder / "callers.yaml").write_bytes(orjson.dumps(callers))
        (folder / "gateway.yaml").write_bytes(orjson.dumps(self._configuration(stand_in)))  # JSON is YAML.
        self.program = Program(
            [*COMMAND, "--config", str(folder / "gateway.yaml")],
            environment={"RECORDED_KEY": BACKEND_KEY},
            heard=self._hear,
        )
        serving = self.program.says(r'"event":"serving".*"port":(\d+)')
        self.url = f"http://127.0.0.1:{serving[1]}"

    def _configuration(self, stand_in: str) -> dict[str, Any]:
        return {
            "state": "memory",
            "callers": "callers.yaml",
            "backends": {
                language.replace("_", "-"): {
                    "provider": row,
                    "base_url": stand_in,
                    "api_key": "${RECORDED_KEY}",
                    "timeouts": _PATIENCE,
                }
                for language, row in self.languages.items()
            },
            "models": {
                model(language, "*"): [{"backend": language.replace("_", "-"), "model": "*"}]
                for language in self.languages
            },
        }

    def lost(self, request_id: str) -> tuple[str, ...]:
        """The losses that the line of a request names, once it came; none where it says nothing."""
        with self._heard:
            self._heard.wait_for(lambda: request_id in self._lost, _LINE_S)
            return self._lost.get(request_id, ())

    def stop(self) -> int:
        return self.program.stop()

    def _hear(self, line: bytes) -> None:
        if b'"event":"request"' not in line:
            return
        told = orjson.loads(line)
        words = next((told[name] for name in _LOST if told.get(name)), ())
        with self._heard:
            self._lost[told["request_id"]] = tuple(words.split(", ") if isinstance(words, str) else words)
            self._heard.notify_all()
