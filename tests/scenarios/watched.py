"""A gateway in a world (worlds.py) where all that is reached is seen: places, copies, log lines and spans."""

import asyncio
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final

import orjson
import uvloop
from msgspec import Struct
from msgspec.structs import replace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.exchange import Exchange
from gateway.features import Request
from gateway.routing.estimate import Lengths
from gateway.routing.policy import Require
from gateway.settings.shape import Pop, Settings, Target
from gateway.stages.choose import Chooser
from gateway.stages.find import Finder
from gateway.stages.shadow import Shadows
from gateway.stages.trial import Way
from gateway.telemetry.log import AccessLog
from gateway.telemetry.spans import Tracer
from gateway.upstream.catalogue import Catalogue
from tests.doubles.inside import CALLER, PROVIDER, Inside, backend, settings_for
from tests.doubles.mock_transport import turn
from tests.doubles.settled import Counting
from tests.scenarios.cast import STREAM_HEAD, Line, RawProvider, Script, asked, chunk, event
from tests.scenarios.test_hedging import WHOLE, WHOLE_HEAD
from tests.scenarios.worlds import POPS, Somewhere, World
from tests.telemetry.test_log import Kept

CAN_GO_ON: Final = replace(PROVIDER, prefill="appended")
BROKEN: Final = b"HTTP/1.1 %d No\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


def told_of(world: World, urls: Mapping[str, tuple[str, ...]]) -> Settings:
    """The world as a gateway is told of it; a target is called by the name it serves, so that places can tell."""
    rows = {
        one.name: replace(
            backend(one.name, "", CAN_GO_ON),
            base_urls=urls[one.name],
            country=one.country,
            processes_in=one.processes_in,
        )
        for one in world.fleet
    }
    may = replace(CALLER.may, policies=tuple(policy.name for policy in world.policies))
    caller = replace(CALLER, tags=world.tags, require=Require(jurisdictions=world.team), may=may)
    pops: dict[str, Pop] = dict(POPS)
    return replace(
        settings_for({}, policies=world.policies, callers=(caller,), pops=pops, pop=world.pop),
        models={
            model: tuple(Target(rows[name], model, order=at) for at, name in enumerate(names))
            for model, names in world.models.items()
        },
        backends=rows,
        sinks=world.sinks,
        aliases=frozenset({"openrouter"}),
    )


class Careless(Finder):
    """Finds ways in which everybody stands who serves the model at all, as copies too."""

    world: World
    urls: Mapping[str, tuple[str, ...]]

    def find(self, exchange: Exchange, model: str, request: Request | None = None) -> Way:
        way = super().find(exchange, model, request)
        everybody = Catalogue(told_of(self.world, self.urls)).plan(model, "chat", "openai_chat").places
        return replace(way, places=(*everybody, *way.places), copies=everybody)


class Watched(Inside):
    """A gateway whose log lines and spans are kept, and whose copies are."""

    def __init__(self, world: World, urls: Mapping[str, tuple[str, ...]], *, is_careless: bool) -> None:
        super().__init__(told_of(world, urls))
        self._world, self._urls, self._is_careless = world, urls, is_careless
        self.lines, self.spans = Kept(), InMemorySpanExporter()
        self.lines_withheld, self.spans_withheld = Counting(), Counting()
        self.copies: list[Exchange] = []
        self.access = AccessLog(self.lines, self.lines_withheld)
        self.access.configure(self.settings)
        provider = TracerProvider(shutdown_on_exit=False)
        self.tracer = Tracer(provider, SimpleSpanProcessor(self.spans), self.spans_withheld)
        self.tracer.configure(self.settings)

    def finder(self, settings: Settings, instance: str = "inside-0001") -> Finder:
        if not self._is_careless:
            return super().finder(settings, instance)
        chooser = Chooser(settings, self.health.snapshot, self.clock)
        made = Careless(instance, Catalogue(settings), chooser, lambda _: None, Lengths())
        made.world, made.urls = self._world, self._urls
        return made

    def settle(self, exchange: Exchange) -> None:
        self.access.settle(exchange)
        self.tracer.settle(exchange)
        super().settle(exchange)

    def shadowed(self, copy: Exchange) -> None:
        self.copies.append(copy)

    def dropped(self, backend: str) -> None:
        del backend


def acts(one: Somewhere, heard: list[str]) -> Script:
    """What a place does; it keeps the names of the models it was asked for."""

    async def script(provider: RawProvider, body: bytes, writer: asyncio.StreamWriter) -> None:
        del provider
        said = orjson.loads(body)
        heard.append(said["model"])
        if one.fault.isdigit():
            writer.write(BROKEN % int(one.fault))
        elif one.fault == "cut":
            raise ConnectionResetError
        elif not said.get("stream"):
            writer.write((WHOLE_HEAD + WHOLE)[: None if one.fault != "half" else -20])
        else:
            writer.write(STREAM_HEAD + chunk(event("Hello")))
            if one.fault != "half":
                writer.write(chunk(event(finish="stop")) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        if one.fault == "half":
            await writer.drain()
            raise ConnectionResetError

    return script


class Seen(Struct):
    """What came of a request."""

    gateway: Watched
    status: int
    heard: dict[str, list[str]]  # by place, the models that it was asked for
    connections: dict[str, int]


async def one_request(world: World, *, is_careless: bool) -> Seen:
    """The world, for as long as one request and all that it sets in motion are under way."""
    async with AsyncExitStack() as stack:
        nowhere = stack.enter_context(socket.socket())
        nowhere.bind(("127.0.0.1", 0))  # and nobody listens
        dead = f"http://127.0.0.1:{nowhere.getsockname()[1]}"
        heard: dict[str, list[str]] = {one.name: [] for one in world.fleet}
        servers = {
            one.name: await stack.enter_async_context(RawProvider(acts(one, heard[one.name]))) for one in world.fleet
        }
        urls = {
            one.name: (dead, servers[one.name].url) if one.detour else (servers[one.name].url,) for one in world.fleet
        }
        inside = await stack.enter_async_context(Watched(world, urls, is_careless=is_careless))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        shadows = Shadows(inside.clock, inside, inside.bug)
        inside.runtime.attempter.shadows = shadows
        running = group.create_task(shadows.run())
        await turn()
        async with Line(inside.port) as line:
            also = [*world.also] or None
            line.send(asked(headers=world.headers, close=True, model=world.model, stream=world.stream, models=also))
            answer = await line.ends()
        await inside.until_so(lambda: bool(inside.settled) and inside.door.busy == 0)
        await turn()
        await inside.until_so(lambda: shadows.under_way == 0)
        running.cancel()
        return Seen(inside, answer.status, heard, {name: one.connections for name, one in servers.items()})


def run(world: World, *, is_careless: bool = False) -> Seen:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(one_request(world, is_careless=is_careless))
