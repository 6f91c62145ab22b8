"""A place that takes forms and WebSocket, written with aiohttp, which does what a test tells it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiohttp import BodyPartReader, WSMsgType, web

from gateway.settings.shape import Auth, Backend, Provider, Secret, Timeouts
from tests.doubles.inside import PATHS

ALL_PATHS = {
    **PATHS,
    "audio_transcriptions": "/v1/audio/transcriptions",
    "audio_translations": "/v1/audio/translations",
    "image_edits": "/v1/images/edits",
    "realtime": "/v1/realtime",
}
PROVIDER = Provider(name="mock", speaks="openai_chat", paths=ALL_PATHS, auth=Auth(scheme="bearer"))
PLACE_KEY = "sk-place-secret"


@dataclass
class Upload:
    """A form as it arrived: each part's name, file name, type and bytes."""

    path: str
    headers: dict[str, str]
    parts: list[tuple[str, str | None, str, bytes]] = field(default_factory=list)

    def field(self, name: str) -> str:
        return next(data.decode() for part, _, _, data in self.parts if part == name)


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Talk = Callable[[web.WebSocketResponse], Awaitable[None]]


async def transcript(_: web.Request) -> web.StreamResponse:
    return web.json_response({"text": "hello"})


async def echo(socket: web.WebSocketResponse) -> None:
    """Say everything back, `bye` by closing with 4001."""
    async for message in socket:
        if message.type == WSMsgType.TEXT and message.data == "bye":
            await socket.close(code=4001)
        elif message.type == WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type == WSMsgType.BINARY:
            await socket.send_bytes(message.data)


class SlowPlace:
    """`answers` and `talks` are what it does next; `uploads`, `dialled` and `ended` what it saw."""

    def __init__(self, *, answers: Answer = transcript, talks: Talk = echo) -> None:
        self.answers = answers
        self.talks = talks
        self.uploads: list[Upload] = []
        self.dialled: list[web.Request] = []
        self.ended: list[tuple[int | None, float]] = []
        self.changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=1 << 30)
        application.router.add_post("/v1/{path:.*}", self._upload)
        application.router.add_get("/v1/realtime", self._realtime)
        self._runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port: int = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    def backend(self, name: str = "place", **paths: str) -> Backend:
        provider = Provider(name="mock", speaks="openai_chat", paths={**ALL_PATHS, **paths}, auth=PROVIDER.auth)
        return Backend(
            name=name,
            provider=provider,
            base_urls=(f"http://127.0.0.1:{self.port}",),
            api_key=Secret(PLACE_KEY),
            region="eu-central",
            timeouts=Timeouts(),
        )

    async def until(self, true: Callable[[], bool], within_s: float = 10.0) -> None:
        async with asyncio.timeout(within_s):
            while not true():
                self.changed.clear()
                await self.changed.wait()

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        upload = Upload(request.path, {name.lower(): value for name, value in request.headers.items()})
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            assert part.name is not None
            kind = part.headers.get("content-type", "")
            upload.parts.append((part.name, part.filename, kind, bytes(await part.read())))
        self.uploads.append(upload)
        self.changed.set()
        try:
            return await self.answers(request)
        except asyncio.CancelledError:
            self._note(None)
            raise

    async def _realtime(self, request: web.Request) -> web.StreamResponse:
        self.dialled.append(request)
        self.changed.set()
        socket = web.WebSocketResponse(compress=True, protocols=("realtime",), max_msg_size=64 << 20)
        await socket.prepare(request)
        try:
            await self.talks(socket)
        finally:
            self._note(socket.close_code)
        return socket

    def _note(self, code: int | None) -> None:
        self.ended.append((code, asyncio.get_running_loop().time()))
        self.changed.set()
