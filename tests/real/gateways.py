"""A gateway as a user runs it: `gateway serve --config FILE`, and what its log says of each request."""

import asyncio
import http.client
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
from msgspec import Struct
from msgspec.json import decode

from gateway.settings.load import digest_of
from tests.real.processes import START_S, Program

KEY = "sk-gw-real-tests-0123456789abcdef"
ADMIN_TOKEN = "admin-token-of-real-tests"
COMMAND = (sys.executable, "-m", "gateway", "serve", "--control-port", "0")


class Try(Struct):
    backend: str
    outcome: str


class Line(Struct):
    """A request's line of the log."""

    request_id: str
    status: int
    outcome: str
    attempts: list[Try] = []
    backend: str = ""
    operation: str = ""
    stream: bool = False
    output_tokens: int = 0

    def __post_init__(self) -> None:
        # Where the only attempt answered, the line itself says all of it.
        if not self.attempts and self.backend:
            self.attempts = [Try(self.backend, self.outcome)]


def backend(provider: str, url: str, **more: object) -> dict[str, object]:
    """A backend of the configuration, on this machine."""
    return {"provider": provider, "base_url": url, "country": "DE", "region": "eu-central", **more}


class Gateway:
    """At work from the constructor on, until `program.stop()`."""

    def __init__(
        self,
        folder: Path,
        backends: Mapping[str, Mapping[str, object]],
        models: Mapping[str, Sequence[Mapping[str, object]]],
        environment: Mapping[str, str] | None = None,
        drain: str = "20s",
    ) -> None:
        self._lines: dict[str, Line] = {}
        folder.mkdir(parents=True, exist_ok=True)
        callers = {"teams": {"t": {}}, "keys": {"k": {"team": "t", "hash": _hash(), "may": {"plan": True}}}}
        told = {
            "pop": "one",
            "state": "memory",
            "drain": drain,
            "callers": "callers.yaml",
            "backends": backends,
            "models": models,
        }
        # JSON is YAML.
        (folder / "callers.yaml").write_bytes(orjson.dumps(callers))
        (folder / "gateway.yaml").write_bytes(orjson.dumps(told))
        self._config = str(folder / "gateway.yaml")
        self._environment = {"GATEWAY_ADMIN_TOKEN": ADMIN_TOKEN, **(environment or {})}
        self.program = self._started(0)

    def _started(self, port: int) -> Program:
        command = [*COMMAND, "--port", str(port), "--config", self._config]
        program = Program(command, environment=self._environment, heard=self._hear)
        serving = program.says(r'"event":"serving".*"port":(\d+),"control_port":(\d+)')
        self.port, self.control_port = int(serving[1]), int(serving[2])
        return program

    def forget(self) -> None:
        """Start anew on the same port: what backends did in one test says nothing of them in the next."""
        self.close()
        self.program = self._started(self.port)

    def close(self) -> None:
        assert self.program.stop() == 0, self.program.tail()

    @property
    def url(self) -> str:
        """What an OpenAI client is given as its base."""
        return f"http://127.0.0.1:{self.port}/v1"

    def in_flight(self, name: str) -> int:
        """The attempts that run at this backend, as the admin API tells it (at most a quarter of a second late)."""
        return sum(int(str(row["in_flight"])) for row in self._backends() if row["name"] == name)

    def _backends(self) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = self._admin("GET", "/admin/backends")["backends"]
        return rows

    def _admin(self, method: str, path: str) -> dict[str, list[dict[str, object]]]:
        asking = http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=30)
        asking.request(method, path, headers={"authorization": f"Bearer {ADMIN_TOKEN}"})
        answer = asking.getresponse()
        said: dict[str, list[dict[str, object]]] = orjson.loads(answer.read())
        asking.close()
        assert answer.status == 200, said
        return said

    def resume(self, backend: str) -> None:
        """An operator's word that a backend is well."""
        self._admin("POST", f"/admin/backends/{backend}/resume")

    async def until_in_flight(self, name: str, attempts: int) -> None:
        """Wait until this backend has so many attempts under way."""
        async with asyncio.timeout(START_S):
            while await asyncio.to_thread(self.in_flight, name) != attempts:
                pass

    def of(self, request_id: str) -> Line:
        """The line of a request that has had its answer."""
        self.program.wait_until(lambda: request_id in self._lines)
        return self._lines[request_id]

    def _hear(self, line: bytes) -> None:
        if re.search(rb'"event":"request"', line):
            read = decode(line, type=Line)
            self._lines[read.request_id] = read


def _hash() -> str:
    return digest_of(KEY, "").hex()
