"""The control port: health, readiness, metrics and the admin API, for all workers together.

Its callers are probes, scrapers and operators. Nothing here is fast, and nothing here may wait for a worker.
"""

import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

import orjson
from aiohttp import hdrs, web

from gateway.control.table import BackendRow
from gateway.settings.scalars import Unclear
from gateway.settings.shape import Secret
from gateway.settings.units import seconds
from gateway.telemetry.exposition import CONTENT_TYPE

_LOGGER = logging.getLogger(__name__)
_MOST_BODY_BYTES = 1024 * 1024
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Board(Protocol):
    """What the control port shows; the supervisor has it."""

    def not_ready(self) -> str:
        """Why no traffic should come here, "" where it should."""

    def metrics(self) -> bytes:
        """Every metric of every worker, as Prometheus text."""

    def backends(self) -> list[BackendRow]:
        """Every backend the workers know."""

    async def steer(self, which: str, *, resume: bool, for_s: float | None) -> list[str]:
        """Drain or resume a backend, or `region:R`, `pop:P`, `provider:X`: the names of the backends that this was."""

    def admin_token(self) -> Secret:
        """Who holds it may use /admin; empty: nobody may."""


def application(board: Board) -> web.Application:
    """The aiohttp application over a board."""
    routes = _Routes(board)
    app = web.Application(middlewares=[_errors_are_json, routes.guard], client_max_size=_MOST_BODY_BYTES)
    app.router.add_get("/healthz", routes.healthz)
    app.router.add_get("/readyz", routes.readyz)
    app.router.add_get("/metrics", routes.metrics)
    app.router.add_get("/admin/backends", routes.backends)
    app.router.add_post("/admin/backends/{which}/drain", routes.drain)
    app.router.add_post("/admin/backends/{which}/resume", routes.resume)
    app.on_response_prepare.append(_say_little)
    return app


class _Routes:
    def __init__(self, board: Board) -> None:
        self._board = board

    @web.middleware
    async def guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Only the token opens /admin, known route or not; a browser's page never does, whatever it was handed."""
        if request.path == "/admin" or request.path.startswith("/admin/"):
            if hdrs.ORIGIN in request.headers:
                return _error(403, "origin_not_allowed", "The admin API is not for web pages.")
            if not self._may(request.headers.get(hdrs.AUTHORIZATION, "")):
                response = _error(401, "invalid_admin_token", "The admin API wants its bearer token.")
                response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
                return response
        return await handler(request)

    def _may(self, authorization: str) -> bool:
        token = self._board.admin_token().reveal().encode()
        scheme, _, given = authorization.partition(" ")
        same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token)
        return bool(token) and scheme.lower() == "bearer" and same

    async def healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(self, request: web.Request) -> web.Response:
        why = self._board.not_ready()
        return _json({"ready": not why, "reason": why}, 503 if why else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._board.metrics(), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})

    async def backends(self, request: web.Request) -> web.Response:
        return _json({"backends": self._board.backends()})

    async def drain(self, request: web.Request) -> web.Response:
        """Ask a backend nothing from now on, or for as long as `?for=30m` says; what runs there may finish."""
        try:
            for_s = seconds(request.query["for"]) if "for" in request.query else None
        except Unclear as unclear:
            return _error(400, "invalid_value", f"'for' {unclear.what}; {unclear.mend}.")
        return await self._steer(request, resume=False, for_s=for_s)

    async def resume(self, request: web.Request) -> web.Response:
        """Ask it again, whatever was seen of it."""
        return await self._steer(request, resume=True, for_s=None)

    async def _steer(self, request: web.Request, *, resume: bool, for_s: float | None) -> web.Response:
        found = await self._board.steer(request.match_info["which"], resume=resume, for_s=for_s)
        if not found:
            return _error(404, "unknown_backend", "No backend is called that.")
        return _json({"resumed" if resume else "drained": found})


@web.middleware
async def _errors_are_json(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        words = error.reason.lower().replace(" ", "_")
        return _error(error.status, words, f"{error.reason}.", dict(error.headers))
    except Exception:
        _LOGGER.exception("a request to the control port failed")
        return _error(500, "internal_error", "The gateway failed to answer this.")


async def _say_little(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop(hdrs.SERVER, None)
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")


def _json(value: object, status: int = 200) -> web.Response:
    body = orjson.dumps(value, default=_plain, option=orjson.OPT_APPEND_NEWLINE)
    return web.Response(body=body, status=status, content_type="application/json")


def _plain(value: object) -> object:
    if isinstance(value, BackendRow):
        return {field: getattr(value, field) for field in value.__struct_fields__}
    raise TypeError(type(value).__name__)


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    response = _json({"error": {"code": code, "message": message}}, status)
    allow = (headers or {}).get(hdrs.ALLOW)
    if allow:
        response.headers[hdrs.ALLOW] = allow
    return response
