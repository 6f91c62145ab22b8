import logging
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientResponse, ClientSession, web

from gateway.channel import BackendState
from gateway.control.app import application
from gateway.control.table import BackendRow, merge
from gateway.settings.shape import Secret

TOKEN = "admin-token-0123456789"
BEARER = {"authorization": f"Bearer {TOKEN}"}


class Board:
    """What a supervisor would show, set by hand."""

    def __init__(self) -> None:
        self.why = ""
        self.page = b"# TYPE up gauge\nup 1\n"
        self.token = TOKEN
        self.broken = False
        self.steered: list[tuple[str, bool, float | None]] = []

    def not_ready(self) -> str:
        return self.why

    def metrics(self) -> bytes:
        if self.broken:
            raise ValueError("something of a caller's")
        return self.page

    def backends(self) -> list[BackendRow]:
        return merge([[BackendState("fra", "vllm", "eu-central", "DE", "healthy", in_flight=2, answered=5)]])

    async def steer(self, which: str, *, resume: bool, for_s: float | None) -> list[str]:
        self.steered.append((which, resume, for_s))
        return [] if which == "nobody" else ["fra"]

    def admin_token(self) -> Secret:
        return Secret(self.token)


class Control:
    """The control port on a real socket, and a client for it."""

    def __init__(self, board: Board, session: ClientSession, url: str) -> None:
        self.board = board
        self._session = session
        self._url = url

    async def get(self, path: str, method: str = "GET", **headers: str) -> ClientResponse:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self._session.request(method, self._url + path, headers=fields)
        await response.read()
        return response


@pytest.fixture
async def control() -> AsyncIterator[Control]:
    board = Board()
    runner = web.AppRunner(application(board), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with ClientSession() as session:
        yield Control(board, session, site.name.replace(":0", f":{runner.addresses[0][1]}"))
    await runner.cleanup()


async def test_health_is_ok_whatever_else_is_not(control: Control) -> None:
    control.board.why = "draining"
    response = await control.get("/healthz")
    assert (response.status, await response.text()) == (200, "ok\n")


async def test_readiness_says_why_not(control: Control) -> None:
    assert (await control.get("/readyz")).status == 200
    control.board.why = "draining"
    response = await control.get("/readyz")
    assert response.status == 503
    assert await response.json() == {"ready": False, "reason": "draining"}


async def test_metrics_are_prometheus_text(control: Control) -> None:
    response = await control.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert await response.read() == control.board.page


async def test_backends_are_shown_to_whoever_has_the_token(control: Control) -> None:
    response = await control.get("/admin/backends", **BEARER)
    assert response.status == 200
    assert await response.json() == {
        "backends": [
            {
                "name": "fra",
                "provider": "vllm",
                "region": "eu-central",
                "country": "DE",
                "state": "healthy",
                "states": {"healthy": 1},
                "in_flight": 2,
                "idle_connections": 0,
                "answered": 5,
                "failed": 0,
                "last_error": "",
                "ttft_ms": None,
                "tpot_ms": None,
                "why": "",
                "until_s": None,
                "ttft_p95_ms": None,
                "ttft_p99_ms": None,
                "tpot_p95_ms": None,
                "tpot_p99_ms": None,
                "load": 0.0,
                "rtt_ms": None,
                "ejections": 0,
            }
        ]
    }


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        "Bearer \N{LATIN SMALL LETTER E WITH ACUTE}",
    ],
)
async def test_without_the_token_all_of_admin_is_401(control: Control, authorization: str) -> None:
    for path in ("/admin/backends", "/admin", "/admin/", "/admin/nothing"):
        response = await control.get(path, authorization=authorization)
        assert response.status == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert (await response.json())["error"]["code"] == "invalid_admin_token"


async def test_where_no_token_is_set_no_token_opens_anything(control: Control) -> None:
    control.board.token = ""
    for authorization in ("Bearer ", "Bearer", f"Bearer {TOKEN}"):
        assert (await control.get("/admin/backends", authorization=authorization)).status == 401


async def test_a_token_that_changes_with_a_reload_is_the_one_that_opens(control: Control) -> None:
    control.board.token = "another"
    assert (await control.get("/admin/backends", **BEARER)).status == 401
    assert (await control.get("/admin/backends", authorization="bearer another")).status == 200


async def test_a_browsers_page_is_turned_away_even_with_the_token(control: Control) -> None:
    response = await control.get("/admin/backends", origin="http://evil.example", **BEARER)
    assert response.status == 403
    assert (await response.json())["error"]["code"] == "origin_not_allowed"


async def test_what_is_not_there_is_said_in_json(control: Control) -> None:
    missing = await control.get("/nothing")
    assert missing.status == 404
    assert await missing.json() == {"error": {"code": "not_found", "message": "Not Found."}}
    wrong = await control.get("/healthz", method="POST")
    assert wrong.status == 405
    assert wrong.headers["allow"] == "GET,HEAD"
    assert (await wrong.json())["error"]["code"] == "method_not_allowed"


async def test_a_failure_of_ours_is_said_in_json_and_shows_nothing(
    control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    control.board.broken = True
    with caplog.at_level(logging.ERROR):
        response = await control.get("/metrics")
    assert response.status == 500
    assert await response.json() == {
        "error": {"code": "internal_error", "message": "The gateway failed to answer this."}
    }
    assert [record.getMessage() for record in caplog.records] == ["a request to the control port failed"]


async def test_answers_are_not_kept_and_do_not_say_what_made_them(control: Control) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/nothing", "/admin"):
        response = await control.get(path)
        assert response.headers["cache-control"] == "no-store"
        assert "server" not in response.headers


async def test_a_backend_is_drained_and_resumed_by_whoever_has_the_token(control: Control) -> None:
    for path, said in (
        ("fra/drain", {"drained": ["fra"]}),
        ("region:eu-central/drain?for=30m", {"drained": ["fra"]}),
        ("fra/resume", {"resumed": ["fra"]}),
    ):
        assert (await control.get(f"/admin/backends/{path}", "POST")).status == 401
        response = await control.get(f"/admin/backends/{path}", "POST", **BEARER)
        assert (response.status, await response.json()) == (200, said)
    assert control.board.steered == [
        ("fra", False, None),
        ("region:eu-central", False, 1800.0),
        ("fra", True, None),
    ]


async def test_nobody_and_nonsense_are_not_drained(control: Control) -> None:
    missing = await control.get("/admin/backends/nobody/drain", "POST", **BEARER)
    assert (missing.status, (await missing.json())["error"]["code"]) == (404, "unknown_backend")
    nonsense = await control.get("/admin/backends/fra/drain?for=soon", "POST", **BEARER)
    assert (nonsense.status, (await nonsense.json())["error"]["code"]) == (400, "invalid_value")
