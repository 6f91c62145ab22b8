from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from gateway.clock import HandClock
from gateway.errors import RESIDENCY
from gateway.exchange import HEDGE_LOST, Attempt
from gateway.routing.policy import Split, Stop
from gateway.routing.split_rule import Tally
from gateway.settings.shape import Sinks
from gateway.telemetry.beside import Beside
from gateway.telemetry.log import Log
from tests.doubles.prometheus import Labels
from tests.doubles.settled import TARGET, settings, settled
from tests.telemetry.test_log import CANARY, Kept
from tests.telemetry.test_metrics import Counted

BACKEND = ("backend", "vllm-fra-1")


class Told:
    """What happens beside requests, as a scraper and a reader of the log see it."""

    def __init__(self, path: str) -> None:
        self.counted = Counted(path)
        self.kept = Kept()
        self.beside = Beside(self.counted.slots, Log(self.kept, HandClock()))

    def named(self, name: str) -> dict[Labels, float]:
        return self.counted.named(name)

    @property
    def line(self) -> dict[str, object]:
        """The only line there is."""
        [line] = self.kept.lines
        found: dict[str, object] = orjson.loads(line)
        return found


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    made = Told(str(tmp_path / "slots"))
    yield made
    made.counted.totals.close()
    made.counted.slots.close()


def test_hedges_are_counted_and_so_is_what_losers_cost(told: Told) -> None:
    loser = Attempt(TARGET, 1.0, outcome=HEDGE_LOST, cost_usd=0.25)
    told.beside.raced("other", "won", loser)
    told.beside.raced("other", "won", Attempt(TARGET, 1.0, outcome=HEDGE_LOST))
    told.beside.raced("other", "failed", None)
    assert told.named("gateway_hedges_total") == {
        (("backend", "other"), ("outcome", "won")): 2.0,
        (("backend", "other"), ("outcome", "failed")): 1.0,
    }
    assert told.named("gateway_hedge_cost_usd_total") == {(BACKEND,): 0.25}
    assert told.kept.lines == []


def test_a_copy_is_counted_apart_and_its_line_says_where_it_was(told: Told) -> None:
    copy = settled(headers={b"authorization": CANARY.encode()}, body=CANARY.encode())
    copy.split = "new"
    told.beside.shadowed(copy)
    assert told.named("gateway_shadow_attempts_total") == {(BACKEND, ("outcome", "answered")): 1.0}
    assert told.named("gateway_shadow_cost_usd_total") == {(BACKEND,): pytest.approx(0.000123)}
    assert told.named("gateway_attempts_total") == told.named("gateway_requests_total") == {}
    assert told.line == {
        "time": "2023-11-14T22:13:20.000Z",
        "level": "info",
        "event": "shadow",
        "request_id": "req-1",
        "backend": "vllm-fra-1",
        "region": "eu-central",
        "country": "DE",
        "processes_in": [],
        "operation": "chat",
        "stream": True,
        "split": "new",
        "outcome": "answered",
        "us": pytest.approx(889_900, abs=1),
        "ttft_us": pytest.approx(80_100, abs=1),
        "input_tokens": 123,
        "output_tokens": 45,
        "cost_usd": 0.000123,
    }
    assert CANARY.encode() not in told.kept.lines[0]


def test_a_copy_that_failed_says_so_in_a_word_of_ours(told: Told) -> None:
    copy = settled()
    copy.usage, copy.cost_usd = None, None
    copy.attempts = [Attempt(TARGET, 100.5, outcome="What they said!")]
    told.beside.shadowed(copy)
    assert told.named("gateway_shadow_attempts_total") == {(BACKEND, ("outcome", "other")): 1.0}
    assert told.named("gateway_shadow_cost_usd_total") == {}
    assert (told.line["input_tokens"], told.line["cost_usd"]) == (0, None)
    assert told.line["us"] == pytest.approx(400_000, abs=1)


@pytest.mark.parametrize(("kept_in", "lines"), [("DE", 1), ("US", 0), ("", 0)])
def test_the_line_of_a_copy_stays_where_its_request_must(told: Told, kept_in: str, lines: int) -> None:
    told.beside.configure(settings(sinks=Sinks(access_log=kept_in)))
    copy = settled()
    copy.jurisdictions = frozenset({"DE"})
    told.beside.shadowed(copy)
    assert len(told.kept.lines) == lines
    withheld = {} if lines else {(("what", "access_log"),): 1.0}
    assert told.named("gateway_residency_refusals_total").items() >= withheld.items()
    assert told.named("gateway_shadow_attempts_total") == {(BACKEND, ("outcome", "answered")): 1.0}


def test_a_copy_that_was_stopped_on_its_way_out_is_counted(told: Told) -> None:
    copy = settled()
    copy.attempts[0].outcome, copy.attempts[0].sent = RESIDENCY, 0.0
    told.beside.shadowed(copy)
    assert told.named("gateway_residency_refusals_total")[("what", "connect"),] == 1.0


def test_a_copy_that_was_sent_nowhere_has_no_line(told: Told) -> None:
    told.beside.dropped("vllm-fra-1")
    assert told.kept.lines == []
    assert told.named("gateway_shadows_dropped_total") == {(BACKEND,): 1.0}


def test_a_split_that_ends_is_told_and_shown_until_it_begins_anew(told: Told) -> None:
    tally = Tally(Split("canary", "new", 5.0, stop=Stop(errors=1.5, after=40)))
    for number in range(100):
        tally.count(own=False, failed=number == 0, ttft_ms=10.0)
    for number in range(39):
        tally.count(own=True, failed=number % 4 == 0, ttft_ms=100.0)
    told.beside.split_ended(tally, "errors")
    assert told.named("gateway_split_ended") == {(("split", "canary"), ("why", "errors")): 1.0}
    line = told.line
    assert (line["level"], line["event"], line["split"], line["backend"]) == ("warning", "split ended", "canary", "new")
    assert (line["why"], line["requests"], line["error_rate"]) == ("errors", 39, 0.2564)
    assert (line["others_error_rate"], line["ttft_p95_ms"]) == (0.01, pytest.approx(100.0, rel=0.02))
    assert line["others_ttft_p95_ms"] == pytest.approx(10.0, rel=0.02)
    told.kept.lines.clear()
    told.beside.split_begins("canary")
    assert set(told.named("gateway_split_ended").values()) == {0.0}
    assert (told.line["event"], told.line["split"]) == ("split begins", "canary")
