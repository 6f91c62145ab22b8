import logging

import orjson
import pytest
from msgspec.structs import replace

from gateway.clock import HandClock
from gateway.errors import Bug, Forbidden, NoRoute, UnknownModel, UpstreamBroken, UpstreamRefused
from gateway.exchange import HEDGE_LOST, Attempt, Exchange
from gateway.settings.shape import Sinks, Target
from gateway.telemetry.log import AccessLog, Adopted, Log, rank
from tests.doubles.settled import CALLER, FRANKFURT, TARGET, Counting, settings, settled

FIELDS = {
    "time",
    "level",
    "event",
    "request_id",
    "status",
    "outcome",
    "key",
    "team",
    "operation",
    "model",
    "backend",
    "region",
    "country",
    "stream",
    "total_us",
    "overhead_us",
    "ttft_us",
    "tpot_us",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cost_usd",
    "bytes_in",
    "bytes_out",
    "attempts",
}
CANARY = "sk-gw-CANARY-0123456789"


class Kept:
    """A writer that keeps the lines; what becomes of them is tested with the real one."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def put(self, line: bytes) -> None:
        self.lines.append(line)


def access(level: str = "info") -> tuple[AccessLog, Kept]:
    kept = Kept()
    log = AccessLog(kept, Counting())
    log.configure(settings(log_level=level))
    return log, kept


def line_of(exchange: Exchange, level: str = "info") -> dict[str, object]:
    log, kept = access(level)
    log.settle(exchange)
    (line,) = kept.lines
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    read: dict[str, object] = orjson.loads(line)
    return read


def test_a_line_says_who_what_where_and_how_long() -> None:
    assert line_of(settled()) == {
        "time": "2023-11-14T22:13:21.150Z",
        "level": "info",
        "event": "request",
        "request_id": "req-1",
        "status": 200,
        "outcome": "answered",
        "key": "clinic-web",
        "team": "clinic",
        "operation": "chat",
        "model": "llama-3.1-8b",
        "backend": "vllm-fra-1",
        "region": "eu-central",
        "country": "DE",
        "stream": True,
        "total_us": pytest.approx(900_000, abs=1),
        "overhead_us": pytest.approx(200, abs=1),
        "ttft_us": pytest.approx(80_100, abs=1),
        "tpot_us": pytest.approx(18_409, abs=1),
        "input_tokens": 123,
        "output_tokens": 45,
        "cached_tokens": 7,
        "cost_usd": 0.000123,
        "bytes_in": 400,
        "bytes_out": 770,
    }


def test_every_attempt_is_there_even_when_none_answered() -> None:
    exchange = settled()
    exchange.target, exchange.usage = None, None
    exchange.attempts = [
        Attempt(TARGET, 100.0, ended=100.5, outcome="upstream_timeout"),
        Attempt(TARGET, 100.5, ended=100.75, outcome="upstream_disconnected"),
    ]
    exchange.error = UpstreamBroken("It broke.")
    exchange.status = 502
    line = line_of(exchange)
    assert line["attempts"] == [
        {"backend": "vllm-fra-1", "outcome": "upstream_timeout", "us": 500_000, "country": "DE"},
        {"backend": "vllm-fra-1", "outcome": "upstream_disconnected", "us": 250_000, "country": "DE"},
    ]
    assert (line["status"], line["outcome"], line["level"]) == (502, "upstream_invalid_response", "warning")
    assert "backend" not in line


def test_attempts_are_there_where_the_line_does_not_say_it_all_by_itself() -> None:
    exchange = settled()
    [answered] = exchange.attempts
    assert "attempts" not in line_of(exchange)
    exchange.attempts = [Attempt(TARGET, 99.0, ended=99.5, outcome="upstream_timeout"), answered]
    assert line_of(exchange)["attempts"] == [
        {"backend": "vllm-fra-1", "outcome": "upstream_timeout", "us": 500_000, "country": "DE"},
        {"backend": "vllm-fra-1", "outcome": "answered", "us": pytest.approx(889_900, abs=1), "country": "DE"},
    ]
    exchange.attempts = [replace(answered, outcome="left", ended=0.0)]
    assert line_of(exchange)["attempts"] == [
        {"backend": "vllm-fra-1", "outcome": "left", "us": pytest.approx(899_900, abs=1), "country": "DE"}
    ]
    exchange.attempts = []
    assert "attempts" not in line_of(exchange)


def test_an_attempt_that_lost_says_what_it_cost_us() -> None:
    exchange = settled()
    exchange.attempts.insert(0, Attempt(TARGET, 99.0, ended=99.5, outcome=HEDGE_LOST, cost_usd=0.0005))
    line = line_of(exchange)
    attempts = line["attempts"]
    assert isinstance(attempts, list)
    assert attempts[0] == {
        "backend": "vllm-fra-1",
        "outcome": "hedge_lost",
        "us": 500_000,
        "cost_usd": 0.0005,
        "country": "DE",
    }
    assert line["cost_usd"] == 0.000123


def test_a_place_says_where_it_computes_where_that_is_not_where_it_is() -> None:
    roaming = replace(FRANKFURT, name="roaming", country="US", processes_in=("EU",))
    exchange = settled()
    exchange.target = Target(roaming, "m")
    exchange.attempts.insert(0, Attempt(exchange.target, 99.0, ended=99.5, outcome="upstream_timeout"))
    line = line_of(exchange)
    assert (line["country"], line["processes_in"]) == ("US", ["EU"])
    attempts = line["attempts"]
    assert isinstance(attempts, list)
    assert [(one["country"], one.get("processes_in")) for one in attempts] == [("US", ["EU"]), ("DE", None)]


@pytest.mark.parametrize(
    ("kept_in", "stays_in", "is_written"),
    [
        ("US", None, True),
        ("DE", {"DE", "FR"}, True),
        ("US", {"DE", "FR"}, False),
        ("", {"DE", "FR"}, False),
        ("DE", set(), False),
    ],
)
def test_the_line_of_what_must_stay_is_written_where_lines_are_known_to_stay_too(
    kept_in: str, stays_in: set[str] | None, *, is_written: bool
) -> None:
    kept, withheld = Kept(), Counting()
    log = AccessLog(kept, withheld)
    log.configure(settings(sinks=Sinks(access_log=kept_in)))
    for error in (None, NoRoute("No.")):
        exchange = settled()
        exchange.error = error
        exchange.jurisdictions = None if stays_in is None else frozenset(stays_in)
        log.settle(exchange)
    assert (len(kept.lines), withheld.value) == ((2, 0.0) if is_written else (0, 2.0))


def test_what_would_not_be_written_anyway_is_not_withheld() -> None:
    kept, withheld = Kept(), Counting()
    log = AccessLog(kept, withheld)
    log.configure(settings(log_level="error", sinks=Sinks(access_log="US")))
    exchange = settled()
    exchange.jurisdictions = frozenset({"DE"})
    log.settle(exchange)
    assert (kept.lines, withheld.value) == ([], 0.0)


def test_what_a_backend_could_not_carry_is_named() -> None:
    exchange = settled()
    exchange.changed = ("top_k", "system=mapped", f"x-{CANARY}", "top_k", "anthropic-beta.sk-gw-1")
    assert line_of(exchange)["dropped"] == ["top_k", "system=mapped", "other"]


def test_a_request_without_a_key_has_none() -> None:
    exchange = settled()
    exchange.call.caller = None
    line = line_of(exchange)
    assert "key" not in line
    assert "team" not in line


def test_requests_that_differ_never_share_their_shared_fields() -> None:
    log, kept = access()
    first, second = settled(), settled(stream=False)
    second.status = 201
    second.call.request_id = "req-2"
    for exchange in (first, second, first):
        log.settle(exchange)
    read = [orjson.loads(line) for line in kept.lines]
    assert [(line["request_id"], line["status"], line.get("stream", False)) for line in read] == [
        ("req-1", 200, True),
        ("req-2", 201, False),
        ("req-1", 200, True),
    ]


def test_the_second_changes_with_the_clock() -> None:
    log, kept = access()
    exchange = settled()
    log.settle(exchange)
    exchange.ended += 61.0
    log.settle(exchange)
    assert [orjson.loads(line)["time"] for line in kept.lines] == [
        "2023-11-14T22:13:21.150Z",
        "2023-11-14T22:14:22.150Z",
    ]


def test_only_listed_fields_are_ever_written() -> None:
    for exchange in (settled(), settled(stream=False)):
        exchange.error = Forbidden("No.")
        assert set(line_of(exchange)) <= FIELDS


def test_nothing_planted_in_a_request_or_by_an_upstream_is_written() -> None:
    exchange = settled(
        model=CANARY,
        headers={b"authorization": b"Bearer " + CANARY.encode(), b"x-title": CANARY.encode()},
        body=b'{"messages":[{"role":"user","content":"' + CANARY.encode() + b'"}]}',
        query=f"key={CANARY}",
    )
    exchange.target = None
    exchange.finish = CANARY
    exchange.error = UpstreamRefused(f"You sent {CANARY}", code=CANARY, param=CANARY)
    exchange.attempts[0].outcome = CANARY
    log, kept = access("debug")
    log.settle(exchange)
    exchange.error = UnknownModel(f"No model {CANARY}", param=CANARY)
    log.settle(exchange)
    assert len(kept.lines) == 2
    assert all(b"CANARY" not in line for line in kept.lines)


def test_names_from_the_configuration_are_escaped() -> None:
    odd = 'odd "name" \\ \x1b[31m\n'
    backend = replace(FRANKFURT, name=odd, region=odd)
    exchange = settled(model=odd)
    exchange.call.caller = replace(CALLER, name=odd, team=odd)
    exchange.target = Target(backend, "m")
    exchange.attempts[0].target = exchange.target
    exchange.attempts[0].outcome = "upstream_timeout"
    log, kept = access()
    log.settle(exchange)
    (line,) = kept.lines
    assert b"\x1b" not in line
    assert line.count(b"\n") == 1
    read = orjson.loads(line)
    assert {read[field] for field in ("key", "team", "model", "backend", "region")} == {odd}
    assert read["attempts"][0]["backend"] == odd


@pytest.mark.parametrize(
    ("least", "written"),
    [("debug", "iiwe"), ("info", "iiwe"), ("warning", "we"), ("error", "e")],
)
def test_the_level_decides_which_requests_have_a_line(least: str, written: str) -> None:
    log, kept = access(least)
    for error in (None, Forbidden("No."), NoRoute("No."), Bug("No.")):
        exchange = settled()
        exchange.error = error
        log.settle(exchange)
    assert "".join(orjson.loads(line)["level"][0] for line in kept.lines) == written


def test_no_number_of_invented_models_fills_the_memory() -> None:
    log, _ = access()
    for number in range(5000):
        exchange = settled(model=f"invented-{number}")
        exchange.target = None
        log.settle(exchange)
    assert len(log._kept) <= 4096


def test_rare_events_have_their_fields_and_those_of_every_line() -> None:
    kept = Kept()
    log = Log(kept, HandClock(wall=1_700_000_000.0), "info", pid=7)
    log("warning", "worker ended", slot=1)
    log("debug", "nobody asked")
    (line,) = kept.lines
    assert orjson.loads(line) == {
        "time": "2023-11-14T22:13:20.000Z",
        "level": "warning",
        "event": "worker ended",
        "pid": 7,
        "slot": 1,
    }


def test_a_level_can_change_and_must_be_one() -> None:
    kept = Kept()
    log = Log(kept, HandClock(), "error")
    log("info", "not now")
    log.configure("debug")
    log("debug", "now")
    assert len(kept.lines) == 1
    with pytest.raises(ValueError, match="log level 'loud' is none of debug, info, warning, error"):
        rank("loud")


def test_libraries_warnings_come_without_what_they_were_about() -> None:
    kept = Kept()
    logger = logging.getLogger("some.library")
    adopted = Adopted(Log(kept, HandClock()))
    logger.addHandler(adopted)
    try:
        logger.error("Task failed %s\nfuture: %s", CANARY, CANARY, exc_info=ValueError(CANARY))
        logger.warning("Slow")
        logger.info("quiet")
    finally:
        logger.removeHandler(adopted)
    first, second = (orjson.loads(line) for line in kept.lines)
    assert (first["level"], first["logger"], first["error"]) == ("error", "some.library", "ValueError")
    assert first["message"] == "Task failed %s"
    assert (second["level"], second["message"], second["error"]) == ("warning", "Slow", "")
