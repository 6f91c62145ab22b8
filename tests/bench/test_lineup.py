import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.settings.keys import digest_of
from gateway.settings.load import load
from tests.bench.bodies import JSON_ANSWER, chat_answer
from tests.bench.lineup import Upstream, ask, callers_configuration, gateway_configuration, read_page

PORTS = {kind: [10_100 + place, 10_200 + place] for place, kind in enumerate(Upstream)}


def test_the_gateway_takes_its_configuration_with_two_backends_and_a_price_for_each_model(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(gateway_configuration(PORTS))
    (tmp_path / "callers.yaml").write_text(callers_configuration("sk-gw-secret"))
    settings = load(tmp_path / "gateway.yaml", {"BENCH_UPSTREAM_KEY": "k"})
    assert [caller.digest for caller in settings.callers] == [digest_of("sk-gw-secret", "")]
    for kind, ports in PORTS.items():
        targets = settings.models[kind.model]
        assert [url for target in targets for url in target.backend.base_urls] == [
            f"http://127.0.0.1:{port}" for port in ports
        ]
        assert all(target.price and target.price.usd_per_mtok_out > 0 for target in targets)


def test_the_callers_file_never_holds_the_key() -> None:
    assert "sk-gw-secret" not in callers_configuration("sk-gw-secret")


class _Answering(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200 if self.headers["Authorization"] == "Bearer right" else 401, chat_answer())

    def do_GET(self) -> None:
        self._answer(200 if self.path == "/metrics" else 404, b"page")

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_right_answer_has_no_flaw(port: int) -> None:
    assert ask(port, "/v1/chat/completions", "right", b"{}", JSON_ANSWER) is None


def test_a_refusal_is_a_flaw(port: int) -> None:
    flaw = ask(port, "/v1/chat/completions", "wrong", b"{}", JSON_ANSWER)
    assert flaw is not None
    assert "status 401" in flaw


def test_a_page_is_read_and_a_missing_one_is_an_error(port: int) -> None:
    assert read_page(port, "/metrics") == "page"
    with pytest.raises(OSError, match="404"):
        read_page(port, "/elsewhere")
