"""A llama.cpp server that can die and come back on its port."""

import signal
import socket
from http.client import HTTPConnection

import orjson

from tests.real.processes import END_S, ROOT, Program

PYTHON = ROOT / ".venv-real" / "bin" / "python"
SERVER = ROOT / "tests" / "real" / "llama_server.py"
MODEL = "smollm2-135m"  # as llama_server.py names it


class Llama:
    """One server with SmolLM2. Its port stays ours between two lives; in between nothing listens there."""

    def __init__(self) -> None:
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._held.bind(("127.0.0.1", 0))
        self.port: int = self._held.getsockname()[1]
        self.program: Program | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        return self.program is not None and self.program.process.poll() is None

    def start(self) -> None:
        """Begin to load; call it on the main thread, whose end ends the server."""
        assert not self.alive
        assert PYTHON.is_file(), "make setup-real has not run"
        self.program = Program([str(PYTHON), str(SERVER), str(self.port)])

    def ready(self) -> None:
        """Wait until the model is loaded."""
        assert self.program is not None
        self.program.says("ready at")

    def busy(self) -> int:
        """How many answers it works on."""
        asking = HTTPConnection("127.0.0.1", self.port, timeout=END_S)
        asking.request("GET", "/slots")
        slots = orjson.loads(asking.getresponse().read())
        asking.close()
        return sum(bool(slot["is_processing"]) for slot in slots)

    def freeze(self) -> None:
        """Let it answer nothing more, with its connections open."""
        assert self.program is not None
        self.program.process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End it as a crash would."""
        assert self.program is not None
        self.program.kill()

    def close(self) -> None:
        if self.program is not None:
            self.program.stop()
        self._held.close()
