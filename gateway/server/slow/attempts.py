"""Attempts made with aiohttp's client: the same plan, records and rules as the pipeline's own (stages/attempt.py).

A session lives for one attempt: no cookies, no redirects, no environment proxies, no decompression, and no address
that the upstream client would not dial either.
"""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeVar

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec import Struct

from gateway.errors import (
    GatewayError,
    NoRoute,
    UpstreamBroken,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamSlow,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from gateway.exchange import Attempt, Exchange
from gateway.pipeline import find_later
from gateway.server.loan import Loan
from gateway.stages.trial import Trial, Way
from gateway.upstream.catalogue import Place
from gateway.upstream.client import assert_within
from gateway.upstream.dial import Addresses

T = TypeVar("T")

_WRITTEN_BY_AIOHTTP: Final = frozenset(("content-type", "host"))


class Ask(Struct, frozen=True):
    """One attempt about to be made: what to call, with what, until when (monotonic seconds)."""

    place: Place
    attempt: Attempt
    session: aiohttp.ClientSession
    headers: dict[str, str]
    url: str
    total: float


async def first_answer(exchange: Exchange, loan: Loan, model: str, ask: Callable[[Ask], Awaitable[T]]) -> T:
    """What the first place for this model gives; where `ask` raises an UpstreamError, the next may be tried.

    Where none has an answer, or there is none, the models that a policy names for that follow.
    """
    runtime = loan.runtime
    try:
        way = runtime.finder.find(exchange, model)
    except GatewayError as refusal:
        way = await find_later(refusal, exchange, model, runtime)
    try:
        return await _walk(exchange, loan, way, ask)
    except GatewayError as error:
        other = None if loan.started else runtime.finder.fall_back(exchange, model, way, error)
        if other is None:
            raise
        return await _walk(exchange, loan, other, ask)


async def _walk(exchange: Exchange, loan: Loan, way: Way, ask: Callable[[Ask], Awaitable[T]]) -> T:
    runtime = loan.runtime
    asked = exchange.model
    failure: UpstreamError | None = None
    for place in way.places[: max(1, way.rules.retry.attempts - len(exchange.attempts))]:
        exchange.model = place.instead or asked
        if exchange.attempts:
            exchange.reason = "fallback"
        trial = Trial(exchange, place, runtime.attempter.health, runtime.clock.monotonic)
        with trial as attempt:
            return await _by_some_path(place, attempt, loan, way, ask)
        failure = trial.failure
        if failure is None or loan.started or not failure.try_elsewhere:
            break
    raise failure or NoRoute("No backend serves this model now.")


async def _by_some_path(place: Place, attempt: Attempt, loan: Loan, way: Way, ask: Callable[[Ask], Awaitable[T]]) -> T:
    """One attempt, by the first path to the place that leads there. Bug where that may not see the request."""
    clock = loan.runtime.clock
    lines, allowed = way.head + way.passed, way.rules.require.jurisdictions
    addresses = Addresses(clock, loan.sweeper, loan.runtime.settings.private_networks)
    unreachable: UpstreamUnreachable | None = None
    for path in (place, *place.others):
        if allowed is not None:
            assert_within(path, allowed)
        try:
            async with _session(path, addresses) as session:
                attempt.sent = clock.monotonic()
                return await ask(Ask(path, attempt, session, _headers(path, lines), _url(path), way.total))
        except UpstreamUnreachable as error:
            unreachable = error
    assert unreachable is not None
    raise unreachable


def _url(place: Place) -> str:
    scheme = "https" if place.origin.secure else "http"
    return f"{scheme}://{place.origin.authority}{place.head.split(b' ', 2)[1].decode()}"


def _headers(place: Place, lines: bytes) -> dict[str, str]:
    """A place's header lines and the request's own, without those that aiohttp writes."""
    head = place.head.partition(b"\r\n")[2] + lines
    pairs = [line.partition(": ") for line in head.decode("latin-1").split("\r\n") if line]
    return {name: value for name, _, value in pairs if name not in _WRITTEN_BY_AIOHTTP}


@asynccontextmanager
async def _session(place: Place, addresses: Addresses) -> AsyncIterator[aiohttp.ClientSession]:
    origin = place.origin
    resolver = _Allowed(await addresses.resolve(origin.host, origin.port))
    connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True)
    redirects = aiohttp.TraceConfig()
    redirects.on_request_redirect.append(_refuse_redirect)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=place.target.timeouts.connect_s),
        auto_decompress=False,
        trace_configs=[redirects],
    ) as session:
        with _in_our_words():
            yield session


async def _refuse_redirect(*_: object) -> None:
    raise UpstreamBroken("The upstream answered with a redirect.")


class _Allowed(AbstractResolver):
    """Gives the addresses that were resolved and allowed before."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        del family
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Nothing is kept."""


@contextmanager
def _in_our_words() -> Iterator[None]:
    """What aiohttp's client raises, as our own errors."""
    try:
        yield
    except aiohttp.ServerTimeoutError as error:
        raise UpstreamSlow("The upstream did not accept the connection in time.") from error
    except aiohttp.ClientConnectorError as error:
        raise UpstreamUnreachable("The upstream can't be reached.") from error
    except aiohttp.ClientPayloadError as error:
        raise UpstreamTruncated("The upstream ended before its answer was complete.") from error
    except (aiohttp.ClientConnectionError, ConnectionError) as error:
        raise UpstreamDisconnected("The upstream connection was lost.") from error
    except aiohttp.ClientError as error:
        raise UpstreamBroken("The upstream's answer is not valid.") from error
