"""aimock: another stand-in that somebody else wrote, in Node, with fixtures and chaos of its own."""

import shutil
from http.client import HTTPConnection

import orjson
from msgspec import Struct, field
from msgspec.json import decode

from tests.real.processes import END_S, NODE_FOLDER, Program

_PROGRAM = NODE_FOLDER / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"


class Answered(Struct):
    status: int
    chaos: str = field(default="", name="chaosAction")


class Entry(Struct):
    """One request in its journal."""

    path: str
    response: Answered


class Aimock:
    """One running aimock with node/fixtures.json."""

    def __init__(self) -> None:
        node = shutil.which("node")
        assert node is not None, "there is no node"
        assert _PROGRAM.is_file(), "make setup-real has not run"
        told = ["-p", "0", "-f", str(NODE_FOLDER / "fixtures.json"), "-c", "4", "-l", "2"]
        self.program = Program([node, str(_PROGRAM), *told])
        self.port = int(self.program.says(r"listening on http://127\.0\.0\.1:(\d+)")[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def breaks(self, **rates: float) -> None:
        """From now on, at these rates: dropRate, malformedRate, disconnectRate, rateLimitRate. None: it is well."""
        self._ask("DELETE", "/__aimock/chaos")
        if rates:
            self._ask("POST", "/__aimock/chaos", orjson.dumps(rates))

    def forget(self) -> None:
        """Start anew: an empty journal."""
        self._ask("POST", "/__aimock/reset/journal")

    def journal(self) -> list[Entry]:
        return decode(self._ask("GET", "/__aimock/journal"), type=list[Entry])

    def _ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        asking = HTTPConnection("127.0.0.1", self.port, timeout=END_S)
        asking.request(method, path, body)
        answer = asking.getresponse()
        said = answer.read()
        asking.close()
        assert answer.status < 300, said
        return said
