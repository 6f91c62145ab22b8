"""Callers in a country: they choose a POP by /v1/pops, and ask it for streams at a rate, answered or not."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from math import log
from typing import Final

import aiohttp
import orjson
from msgspec import Struct
from msgspec.json import decode

from gateway.clock import RealClock
from gateway.routing.chance import stream, unit
from tests.live.places import GATEWAY_PORT, REGIONS
from tests.live.world import MODEL, World
from tests.real.gateways import KEY

CEILING_S: Final = 60.0


class Pop(Struct):
    """A POP as /v1/pops ranks it."""

    name: str
    url: str
    rtt_ms: float | None
    measured: bool


class Ranking(Struct):
    pops: list[Pop]
    country: str


class Answer(Struct):
    """What came of one request; times are monotonic seconds, `first` 0.0 where no content came."""

    country: str
    sent: float
    first: float = 0.0
    ended: float = 0.0
    outcome: str = "failed"  # whole, broken after its first content, failed before
    status: int = 0
    pop: str = ""
    region: str = ""
    backend: str = ""
    reason: str = ""
    attempts: int = 0
    error: str = ""


@asynccontextmanager
async def client(world: World, place: str, *, kept: bool = True) -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client in a place; unless `kept`, each request has a connection of its own."""
    connector = aiohttp.TCPConnector(limit=0, force_close=not kept, socket_factory=lambda _: _unblocked(world, place))
    timeout = aiohttp.ClientTimeout(total=CEILING_S)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, headers={"authorization": f"Bearer {KEY}"}
    ) as session:
        yield session


async def ranking(session: aiohttp.ClientSession, pop: str, origin: str = "") -> Ranking:
    """The POPs as this one ranks them for who asks, or for the address that a trusted proxy asks for."""
    headers = {"x-forwarded-for": origin} if origin else {}
    url = f"http://{REGIONS[pop].address}:{GATEWAY_PORT}/v1/pops"
    async with session.get(url, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return decode(await answer.read(), type=Ranking)


class Callers:
    """All callers of a country. `rate` is requests a second, to be changed at any time; `heard` has each answer."""

    def __init__(self, country: str, rate: float, heard: Callable[[Answer], None]) -> None:
        self.country = country
        self.rate = rate
        self._heard = heard
        self.answers: list[Answer] = []
        self.pops: list[Pop] = []
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()

    async def call(self, world: World) -> None:
        """Choose the nearest POP, and ask it until stopped, at random moments (a Poisson process)."""
        async with client(world, self.country) as session, asyncio.TaskGroup() as group:
            # Any POP may be asked which is the nearest.
            self.pops = (await ranking(session, next(iter(REGIONS)))).pops
            url = f"{self.pops[0].url}/v1/chat/completions"
            due, number = RealClock.monotonic(), 0
            while not self._stopped.is_set():
                number += 1
                due += -log(1.0 - unit(stream(number, self.country))) / self.rate
                with suppress(TimeoutError):
                    async with asyncio.timeout(due - RealClock.monotonic()):
                        await self._stopped.wait()
                        return
                group.create_task(self._ask(session, url, f"Question {number}"))

    async def _ask(self, session: aiohttp.ClientSession, url: str, prompt: str) -> None:
        body = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": prompt}], "stream": True})
        answer = Answer(self.country, RealClock.monotonic())
        self.answers.append(answer)
        tail = b""
        try:
            async with session.post(url, data=body, headers={"content-type": "application/json"}) as response:
                answer.status = response.status
                said = response.headers
                answer.pop, answer.region = said.get("x-gateway-pop", ""), said.get("x-gateway-region", "")
                answer.backend, answer.reason = said.get("x-gateway-backend", ""), said.get("x-gateway-reason", "")
                answer.attempts = int(said.get("x-gateway-attempts", "0"))
                async for piece in response.content.iter_any():
                    tail = tail[-200:] + piece
                    if not answer.first and response.status == 200 and b'"content":"' in tail:
                        answer.first = RealClock.monotonic()
        except (aiohttp.ClientError, TimeoutError) as error:
            answer.error = type(error).__name__
        answer.ended = RealClock.monotonic()
        if answer.status == 200 and b"data: [DONE]" in tail:
            answer.outcome = "whole"
        else:
            answer.outcome = "broken" if answer.first else "failed"
            answer.error = answer.error or tail.decode(errors="replace")
        self._heard(answer)


def _unblocked(world: World, place: str) -> socket.socket:
    made = world.socket_at(place)
    made.setblocking(False)
    return made
