"""Streams that break under a reply that is kept: the providers by their scripts, and a plan over them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from msgspec.json import decode
from msgspec.structs import replace

from gateway.clock import HandClock
from gateway.errors import UpstreamError
from gateway.routing.policy import Rules
from gateway.settings.shape import Timeouts
from gateway.stages.attempt import Attempter
from gateway.stages.trial import Way
from gateway.sweep import Sweeper
from gateway.upstream.catalogue import Catalogue, Place
from gateway.upstream.client import UpstreamClient
from gateway.upstream.health import Health
from gateway.wire import Endpoint, load
from tests.doubles.inside import PROVIDER, backend, settings_for
from tests.doubles.mock_transport import turn
from tests.doubles.outgoing import at_once
from tests.scenarios.cast import STREAM_HEAD, RawProvider, Script, chunk, event, plays
from tests.stages.kept import KeptReply, exchange

NAMES = ("first", "second", "third", "fourth")
CEILING_S = 10.0
CAN = replace(PROVIDER, prefill="appended")
DONE = b"data: [DONE]\n\n"
ROLE = event("")
HALF = (ROLE, event("Hello"), event(" world"))
USED = {"prompt_tokens": 22, "completion_tokens": 2, "total_tokens": 24}


def breaks(*events: bytes) -> Script:
    """A stream that ends its connection after these events."""
    return plays(STREAM_HEAD, *map(chunk, events), keep=False)


def says(*events: bytes) -> Script:
    """A whole stream."""
    return plays(STREAM_HEAD, *map(chunk, events), chunk(DONE), b"0\r\n\r\n")


def refuses(status: int) -> Script:
    return plays(b"HTTP/1.1 %d No\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}" % status)


def other(content: str | None = None, finish: str | None = None, **more: object) -> bytes:
    """An event of another answer."""
    return event(content, finish, id="chat-2", created=7, model="other", **more)


REST = says(
    other(""),
    other("!"),
    other(finish="stop"),
    other(choices=[], usage=USED),
)
WHOLE = b"".join((*HALF, event("!"), event(finish="stop"), DONE))


class Ground:
    """Providers with a plan over them, on a clock that stands still."""

    def __init__(self, providers: Sequence[RawProvider]) -> None:
        rows = [backend(name, one.url, CAN) for name, one in zip(NAMES, providers, strict=False)]
        settings = settings_for({"story": rows}, timeouts=Timeouts(first_token_s=60.0, idle_s=30.0, total_s=590.0))
        self.providers = providers
        self.clock = HandClock()
        self.sweeper = Sweeper()
        self.client = UpstreamClient(settings, self.clock, self.sweeper, at_once())
        self.health = Health(settings.backends)
        self.attempter = Attempter(self.client, self.health, self.clock, "fra", 100_000)
        self.plan: Sequence[Place] = Catalogue(settings).plan("story", "chat", "openai_chat").places
        self.rules = Rules(resume=True)
        self.exchange = exchange(self.clock.monotonic())
        self.exchange.call.endpoint = Endpoint("chat", "openai_chat")
        self.exchange.stream = True
        self.reply = KeptReply()

    def change(self, at: int, how: Callable[[Place], Place]) -> None:
        """Make a place of the plan another one."""
        self.plan = [how(place) if number == at else place for number, place in enumerate(self.plan)]

    async def attempt(self, *, more: bytes = b"", total_s: float = 500.0) -> None:
        body = b'{"model":"story","messages":[{"role":"user","content":"hi"}],"stream":true%b}' % more
        request = load("openai_chat").read_request(body)
        until = self.clock.monotonic() + total_s
        way = Way(tuple(self.plan), b"x-request-id: req_stage\r\n", until, rules=self.rules)
        await self.attempter.attempt(self.exchange, request, way, self.reply)

    async def breaks_off(self, kind: type[Exception] = UpstreamError, *, more: bytes = b"") -> str:
        """The code that the caller's stream ended with; what he had heard stays what it was."""
        with pytest.raises(kind):
            await self.attempt(more=more)
        assert self.reply.ending == "fail"
        assert self.exchange.bytes_out == len(self.reply.body)
        frame = decode(self.reply.body.split(b"\n\n")[-2][6:])
        assert (frame["id"], frame["choices"][0]["finish_reason"]) == ("chat-1", "error")
        return str(frame["error"]["code"])

    async def hears(self, last: bytes) -> None:
        """Wait until these are the last bytes that the caller has."""
        async with asyncio.timeout(CEILING_S):
            while not self.reply.body.endswith(last):
                await turn()

    def passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.sweeper.sweep(self.clock.monotonic())

    @property
    def asked(self) -> list[int]:
        return [one.requests for one in self.providers]

    @property
    def tries(self) -> list[tuple[str, str]]:
        return [(attempt.target.backend.name, attempt.outcome) for attempt in self.exchange.attempts]

    async def is_quiet(self) -> None:
        """Wait until nothing is under way."""
        idle = [place.origin for place in self.plan]
        async with asyncio.timeout(CEILING_S):
            while self.client.open > sum(map(self.client.idle, idle)):
                await turn()
        assert all(row.in_flight == 0 for row in self.health.rows())


@asynccontextmanager
async def ground(*scripts: Script) -> AsyncIterator[Ground]:
    async with AsyncExitStack() as stack:
        made = Ground([await stack.enter_async_context(RawProvider(script)) for script in scripts])
        yield made
        made.client.close()


def without_a_way(place: Place) -> Place:
    row = replace(place.target.backend, provider=PROVIDER)
    return replace(place, target=replace(place.target, backend=row))
