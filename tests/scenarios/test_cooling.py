"""A limit of one model leaves its backend's other models alone, and that model is asked for again when it ends."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson
from msgspec.structs import replace

from gateway.clock import HandClock
from gateway.settings.shape import Target
from tests.doubles.inside import Inside, backend, settings_for
from tests.doubles.mock_caller import Heard
from tests.scenarios.cast import Line, RawProvider, asked

WAIT_S = 20
SCARCE, PLENTY = "scarce", "plenty"
ANSWER = orjson.dumps(
    {
        "id": "chat-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    }
)
HEAD = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"


class Limited(RawProvider):
    """A provider with a limit on one of its models, while it lasts; `models` are those it was asked for."""

    def __init__(self, *limited: str) -> None:
        super().__init__(self._plays)
        self.limited = set(limited)
        self.models: list[str] = []

    async def _plays(self, provider: RawProvider, body: bytes, writer: asyncio.StreamWriter) -> None:
        del provider
        model = orjson.loads(body)["model"]
        self.models.append(model)
        if model in self.limited:
            words = b'{"error": {"message": "Too many tokens a minute.", "type": "rate_limit_error"}}'
            writer.write(HEAD % (b"429 Too Many Requests", len(words)) + b"retry-after: %d\r\n\r\n" % WAIT_S + words)
        else:
            writer.write(HEAD % (b"200 OK", len(ANSWER)) + b"\r\n" + ANSWER)


class Fleet:
    """A gateway before providers that each serve both models, on a clock moved by hand."""

    def __init__(self, gateway: Inside, clock: HandClock) -> None:
        self._gateway = gateway
        self._clock = clock

    async def asks(self, model: str) -> Heard:
        before = len(self._gateway.settled)
        async with Line(self._gateway.port) as line:
            line.send(asked(model=model, stream=False, close=True))
            heard = await line.ends()
        await self._gateway.until(lambda settled: len(settled) == before + 1)
        return heard

    def tries(self) -> list[tuple[str, str]]:
        """What came of the last request's attempts."""
        return [(one.target.backend.name, one.outcome) for one in self._gateway.settled[-1].attempts]

    def passes(self, seconds: float) -> None:
        self._clock.advance(seconds)
        self._gateway.health.tick(self._clock.monotonic())


@asynccontextmanager
async def fleet(*providers: Limited) -> AsyncIterator[Fleet]:
    names: Sequence[str] = ("first", "second")
    rows = [backend(name, one.url) for name, one in zip(names, providers, strict=False)]
    models = {model: tuple(Target(row, model, order=at) for at, row in enumerate(rows)) for model in (SCARCE, PLENTY)}
    clock = HandClock()
    async with Inside(replace(settings_for({SCARCE: rows}), models=models), clock, sweeps=False) as gateway:
        yield Fleet(gateway, clock)


async def test_a_model_that_is_limited_is_asked_for_elsewhere_until_its_limit_ends() -> None:
    async with Limited(SCARCE) as first, Limited() as second, fleet(first, second) as on:
        assert (await on.asks(SCARCE)).status == 200
        assert on.tries() == [("first", "rate_limit_exceeded"), ("second", "answered")]
        for _ in range(3):
            assert (await on.asks(SCARCE)).status == 200
            assert on.tries() == [("second", "answered")]
        assert first.models == [SCARCE]
        first.limited.clear()
        on.passes(WAIT_S + 0.1)
        await on.asks(SCARCE)
        assert on.tries() == [("first", "answered")]


async def test_the_other_models_of_its_backend_are_served_meanwhile() -> None:
    async with Limited(SCARCE) as first, Limited() as second, fleet(first, second) as on:
        await on.asks(SCARCE)
        for _ in range(3):
            assert (await on.asks(PLENTY)).status == 200
            assert on.tries() == [("first", "answered")]


async def test_where_nobody_else_has_the_model_its_providers_word_goes_to_the_caller() -> None:
    """As a last resort it is asked: its answer is worth more than our guess, and nothing else is held against it."""
    async with Limited(SCARCE) as first, fleet(first) as on:
        for _ in range(2):
            heard = await on.asks(SCARCE)
            assert (heard.status, heard.headers["retry-after"]) == (429, str(WAIT_S))
            assert (await on.asks(PLENTY)).status == 200
        first.limited.clear()
        assert (await on.asks(SCARCE)).status == 200


async def test_a_place_whose_models_are_all_limited_is_asked_for_none() -> None:
    async with Limited(SCARCE, PLENTY) as first, Limited() as second, fleet(first, second) as on:
        for model in (SCARCE, PLENTY, SCARCE, PLENTY):
            assert (await on.asks(model)).status == 200
        assert first.models == [SCARCE, PLENTY]
