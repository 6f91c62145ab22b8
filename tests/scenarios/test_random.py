"""Laws that hold wherever an answer is cut and whatever goes wrong. The same seeds every time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import orjson
import pytest

from gateway.exchange import Exchange
from gateway.mock.faults import Faults, Standing, parse_faults
from gateway.mock.ledger import Entry
from gateway.routing.policy import Policy, Retry
from gateway.settings.shape import Timeouts
from tests.doubles.mock_caller import Heard
from tests.scenarios.cast import NAMES, WORDS, Scene, asked, draws, scene

# A little more than the answer's head and its events take.
ANSWER_BYTES = 5_600
CUTS = 300
REQUESTS = 1_000
AT_ONCE = 25
# Stalls are waited for, so they are short and rare.
TIMES = Timeouts(connect_s=2.0, first_token_s=0.5, idle_s=0.5, total_s=2.0)

FAULTS = (
    *(
        "500",
        "502",
        "503",
        "429",
        "429=1",
        "529",
        "401",
        "quota",
        "loading",
        "400",
        "html",
        "redirect=http://192.0.2.1/",
    ),
    *("refuse", "reset=0", "fin=0", "reset=100", "reset=900", "reset=2500", "fin=100", "fin=900", "fin=2500"),
    *("cut=0", "cut=1", "cut=5", "no_finish", "no_done", "after_done", "garbage_after", "stale", "stale_next"),
    *(
        "error_first",
        "error_object",
        "error_mid=4",
        "malformed=0",
        "malformed=1",
        "malformed=9",
        "bad_utf8=0",
        "bad_utf8=7",
    ),
    *("reset_mid=1", "reset_mid=8", "fin_mid=1", "fin_mid=8", "close_delimited", "close_delimited_reset=700"),
    *(
        "early_hints",
        "json_to_stream",
        "retry_id_fields",
        "split_utf8",
        "status=999",
        "both_lengths",
        "wrong_length=-3",
    ),
    *("giant=70000", "header_bytes=9000", "pings=1ms;ttft=3ms", "usage=missing", "usage=zero", "tokens=40", "tokens=3"),
)


class Dice(Standing):
    """Faults by chance: a third of the requests has one. The first few are `certain`, since chance alone, drawn in the
    order in which requests happen to arrive, may leave an ending out."""

    def __init__(self, chance: Iterator[int], certain: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._chance = chance
        self._certain = list(certain)

    def take(self, header: str = "") -> Faults:
        del header
        if self._certain:
            return Faults(parse_faults(self._certain.pop()))
        if next(self._chance) % 3:
            return Faults()
        if next(self._chance) % 100 == 0:
            return Faults(parse_faults("stall"))
        return Faults(parse_faults(FAULTS[next(self._chance) % len(FAULTS)]))

    def take_refusal(self) -> bool:
        return next(self._chance) % 50 == 0


def ends_once(heard: Heard) -> str:
    """Which of the endings an answer has; there is no other one."""
    assert heard.ending == "fin"
    assert heard.whole
    if heard.headers["content-type"].startswith("application/json"):
        fields = heard.json
        return "refused" if "error" in fields else "whole"
    assert heard.status == 200
    assert heard.body.endswith(b"\n\n")
    for block in heard.body.removesuffix(b"\n\n").split(b"\n\n"):
        for line in block.split(b"\n"):
            assert line.startswith((b"data: ", b":")), line
    *before, last = heard.events
    assert b"[DONE]" not in before
    for data in before:
        assert "error" not in orjson.loads(data)
    if last == b"[DONE]":
        return "whole"
    assert orjson.loads(last)["error"]["code"]
    return "broken"


@pytest.mark.slow
@pytest.mark.parametrize("others", [0, 1], ids=["alone", "with another"])
async def test_wherever_a_stream_is_cut_it_is_whole_or_says_that_it_is_not(others: int) -> None:
    chance = draws(2026)
    endings = []
    async with scene("", *[""] * others, policies=(Policy("all", retry=Retry(budget=1.0)),)) as on:
        for _ in range(CUTS):
            on.forgives()
            how = ("reset", "fin", "close_delimited_reset", "close_delimited;fin")[next(chance) % 4]
            on.first.set_faults(f"{how}={next(chance) % ANSWER_BYTES}".split(";"))
            heard = await on.caller_hears()
            endings.append(ends_once(heard))
            exchange = on.gateway.settled[-1]
            if endings[-1] == "whole":
                assert heard.text == WORDS
                assert exchange.outcome == "answered"
            elif endings[-1] == "broken":
                assert heard.text
                assert WORDS.startswith(heard.text)
                assert len(exchange.attempts) == 1
                assert exchange.outcome in ("upstream_disconnected", "upstream_truncated")
        assert len(on.gateway.settled) == CUTS
        await on.at_rest()
    assert endings.count("broken") > CUTS // 4
    assert endings.count("whole") > CUTS // 50
    assert ("refused" in endings) == (others == 0)


def record(on: Scene, exchange: Exchange) -> Entry:
    """What the stand-in that answered has written down of it."""
    provider = on.providers[NAMES.index(exchange.attempts[-1].target.backend.name)]
    # A kept connection that ended unanswered was asked again on a fresh one: the last counts.
    return [entry for entry in provider.ledger.requests if entry.request_id == exchange.call.request_id][-1]


def settles_as_heard(exchange: Exchange, heard: Heard) -> None:
    """What is written down is what the caller heard."""
    # None where whoever broke too often is away for now.
    assert len(exchange.attempts) <= 3
    assert all(attempt.ended >= attempt.started > 0 for attempt in exchange.attempts)
    whole = ends_once(heard) == "whole"
    assert exchange.complete == whole
    assert (exchange.outcome == "answered") == whole
    assert [attempt.outcome for attempt in exchange.attempts].count("answered") == int(whole)
    assert not exchange.left


@pytest.mark.slow
async def test_whatever_goes_wrong_every_request_is_settled_once() -> None:
    chance = draws(7)
    async with scene(Dice(chance, ("400",) * 6), Dice(chance), Dice(chance), timeouts=TIMES) as on:
        tasks, swept, files = len(asyncio.all_tasks()), len(on.gateway.sweeper), open_files()

        async def ask(number: int) -> Heard:
            on.forgives()
            async with on.line() as line:
                said = [{"role": "user", "content": f"{number}"}]
                line.send(asked(close=True, stream=next(chance) % 3 > 0, messages=said))
                return await line.ends()

        heards = await some_at_once(REQUESTS, ask)
        await on.gateway.until(lambda settled: len(settled) == REQUESTS)
        exchanges = {exchange.call.request_id: exchange for exchange in on.gateway.settled}
        assert len(exchanges) == REQUESTS
        for heard in heards:
            settles_as_heard(exchanges[heard.headers["x-request-id"]], heard)

        endings = [ends_once(heard) for heard in heards]
        assert endings.count("whole") > REQUESTS * 0.8
        assert endings.count("broken") > REQUESTS * 0.02
        assert endings.count("refused") > 5

        answered = [(e, record(on, e)) for e in exchanges.values() if e.complete]
        honest = [(e.usage, entry) for e, entry in answered if not any("usage" in spec for spec in entry.faults)]
        assert len(honest) > REQUESTS * 0.7
        assert sum(usage.output_tokens for usage, _ in honest if usage) == sum(entry.tokens_sent for _, entry in honest)

        await on.deserted()
        assert len(asyncio.all_tasks()) == tasks
        assert len(on.gateway.sweeper) == swept + on.gateway.client.open
        assert open_files() == files + 2 * on.gateway.client.open  # both ends of what is kept are here


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def some_at_once(count: int, ask: Callable[[int], Awaitable[Heard]]) -> list[Heard]:
    """So many of these, a few at a time."""
    numbers = iter(range(count))

    async def go_on() -> list[Heard]:
        return [await ask(number) for number in numbers]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(go_on()) for _ in range(AT_ONCE)]
    return [heard for task in tasks for heard in task.result()]
