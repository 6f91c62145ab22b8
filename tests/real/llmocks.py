"""llmock: a stand-in for OpenAI that somebody else wrote, which breaks on demand and judges its client."""

from collections.abc import Mapping
from http.client import HTTPConnection

import orjson
from msgspec import Struct
from msgspec.json import decode

from tests.real.processes import END_S, ROOT, Program

COMMAND = ROOT / ".venv-mocks" / "bin" / "llmock"


class Record(Struct):
    """One request as llmock saw it; `fault` is what it did to it, such as `stream:truncate@3`, `chaos:429`."""

    seq: int
    status: int
    body: dict[str, object]
    fault: str | None = None
    completed: bool = True
    chunks_sent: int = 0
    stall_waited: float | None = None

    @property
    def prompt(self) -> str:
        messages = self.body["messages"]
        assert isinstance(messages, list)
        return str(messages[-1]["content"])


class Finding(Struct):
    severity: str
    code: str
    title: str


class Verdict(Struct):
    passed: bool
    calls: int
    attempts: int
    faults_injected: int
    findings: list[Finding]

    def of(self, severity: str) -> list[str]:
        """The codes of its findings that are so severe."""
        return [finding.code for finding in self.findings if finding.severity == severity]


class _Requests(Struct):
    requests: list[Record]


class Llmock:
    """One running llmock, started with these flags."""

    def __init__(self, *flags: str) -> None:
        assert COMMAND.is_file(), "make setup-real has not run"
        self.program = Program([str(COMMAND), "serve", "--port", "0", *flags])
        self.port = int(self.program.says(r"running on http://127\.0\.0\.1:(\d+)")[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def will(self, *behaviours: Mapping[str, object]) -> None:
        """Queue what the next matching requests meet."""
        self._ask("POST", "/_llmock/scenario", orjson.dumps({"behaviors": behaviours}))

    def forget(self) -> None:
        """Start anew: no requests, nothing queued."""
        self._ask("POST", "/_llmock/reset")

    def records(self) -> list[Record]:
        """The requests so far; it waits for those under way."""
        return decode(self._ask("GET", "/_llmock/requests"), type=_Requests).requests

    def verdict(self) -> Verdict:
        return decode(self._ask("GET", "/_llmock/verdict"), type=Verdict)

    def report(self) -> str:
        """The verdict in llmock's own words."""
        return self._ask("GET", "/_llmock/verdict?format=text").decode()

    def _ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        asking = HTTPConnection("127.0.0.1", self.port, timeout=END_S)
        asking.request(method, path, body)
        answer = asking.getresponse()
        said = answer.read()
        asking.close()
        assert answer.status < 300, said
        return said
