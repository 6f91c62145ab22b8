import asyncio
from collections.abc import Mapping

import orjson
import pytest
from msgspec import Raw
from msgspec.structs import replace

from gateway.clock import HandClock
from gateway.errors import UpstreamBroken, UpstreamRefused
from gateway.exchange import HEDGE_LOST, Attempt, Exchange
from gateway.features import Request
from gateway.routing.budget import hedges
from gateway.routing.candidate import Candidate
from gateway.routing.chance import mixed
from gateway.routing.facts import Work
from gateway.routing.policy import Hedge, Retry, Rules
from gateway.routing.snapshot import Load, Pace, Snapshot
from gateway.settings.shape import Backend, Target
from gateway.stages.hedge import LEAST_MS, PROMPT_MOST, SILENT, Race, Racer, acts, can_help, delay_s, keeps, suits
from gateway.stages.trial import Way
from gateway.upstream.catalogue import Place
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.pool import Origin
from gateway.wire import load
from tests.doubles.inside import PROVIDER
from tests.doubles.mock_transport import turn
from tests.doubles.outgoing import at_once
from tests.stages.kept import KeptReply, KeptTransport, exchange

WORK = Work(tokens_in=100, tokens_out=50.0)
NOW = 1000.0


def place(name: str, *, slots: int = 10, priced: bool = False, model: str = "m") -> Place:
    known = Candidate(0, name, model, slots=slots, priced=priced, usd_per_request=0.5, usd_per_token_in=0.01)
    backend = Backend(name=name, provider=PROVIDER, base_urls=("http://10.1.0.7",))
    return Place(
        target=Target(backend=backend, model=model),
        candidate=known,
        origin=Origin(secure=False, host="10.1.0.7", port=80),
        wire=load("openai_chat"),
        head=b"",
        stream_head=b"",
        model=model,
        model_json=Raw(b'"m"'),
        ask_usage=False,
    )


FIRST, SECOND = place("first"), place("second", priced=True)


# --- whether ----------------------------------------------------------------------------------------------------------


def asks(fields: Mapping[str, object] | None = None, *, stream: bool = True) -> Request:
    return Request({name: Raw(orjson.dumps(value)) for name, value in (fields or {}).items()}, "m", stream)


@pytest.mark.parametrize(
    "operation",
    ["chat", "completions", "messages", "generate", "converse", "cohere_chat", "embeddings", "rerank", "moderations"],
)
def test_what_only_answers_may_be_asked_twice(operation: str) -> None:
    assert suits(operation, asks({"tools": [], "store": False}, stream=False), WORK)


@pytest.mark.parametrize("operation", ["images", "audio", "image_edits", "audio_transcriptions", "realtime", "unheard"])
def test_what_makes_something_may_not(operation: str) -> None:
    assert not suits(operation, asks(stream=False), WORK)


def test_nor_may_a_stream_whose_first_content_nobody_knows() -> None:
    assert suits("rerank", asks(stream=False), WORK)
    assert not suits("rerank", asks(stream=True), WORK)


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function"}]},
        {"functions": [{"name": "act"}]},
        {"toolConfig": {"tools": [{}]}},
        {"mcp_servers": [{"url": "https://mcp.example"}]},
        {"store": True},
        {"conversation": "conv_1"},
        {"background": True},
    ],
)
def test_nor_may_what_can_act_or_is_kept(fields: Mapping[str, object]) -> None:
    assert not suits("chat", asks(fields), WORK)


def test_nor_may_a_long_prompt() -> None:
    assert suits("chat", asks(), Work(tokens_in=PROMPT_MOST))
    assert not suits("chat", asks(), Work(tokens_in=PROMPT_MOST + 1))


def test_responses_are_kept_unless_the_request_says_otherwise() -> None:
    assert keeps("responses", {})
    assert keeps("responses", asks({"store": None}).fields)
    assert keeps("responses", asks({"store": False, "conversation": {"id": "conv_1"}}).fields)
    assert not keeps("responses", asks({"store": False}).fields)
    assert suits("responses", asks({"store": False}), WORK)
    assert not suits("responses", asks(), WORK)


def test_tools_that_the_provider_calls_elsewhere_act() -> None:
    assert acts(asks({"tools": [{"type": "mcp", "server_url": "https://mcp.example"}]}).fields)
    assert acts(asks({"tools": [{"type": "mcp_toolset"}]}).fields)
    harmless = [{"type": "function", "function": {"name": "mcp"}}, {"type": "web_search"}]
    assert not acts(asks({"tools": harmless}).fields)
    assert not acts(asks({"background": False, "conversation": None}).fields)


# --- when -------------------------------------------------------------------------------------------------------------

PACE = Pace(slow=1.0, slow_p95=3.0, slow_p99=5.0, each=10.0, each_p95=20.0, each_p99=40.0, at=NOW)


def seen(pace: Pace | None = PACE, *, in_flight: int = 0, kv: float = 0.0, shut_until: float = 0.0) -> Snapshot:
    """What is known of the first place: quantiles of its times, and its load."""
    told = Load(rtt_ms=20.0, in_flight=in_flight, kv=kv, shut="ejected", shut_until=shut_until)
    return Snapshot({"first": told}, {("first", "m"): pace} if pace is not None else {})


def test_a_time_that_is_named_is_the_time() -> None:
    assert delay_s(Hedge(after_ms=150.0), FIRST, WORK, seen(None)) == 0.15
    assert delay_s(Hedge(after_ms=150.0), FIRST, WORK, Snapshot()) == 0.15


def test_a_quantile_is_what_the_place_has_shown_over_what_is_predicted() -> None:
    mean = 20.0 + FIRST.candidate.first_ms + 100 * FIRST.candidate.ms_per_token_in
    assert delay_s(Hedge(at="p95"), FIRST, WORK, seen()) == pytest.approx(mean * 3.0 / 1e3)
    assert delay_s(Hedge(at="p99"), FIRST, WORK, seen()) == pytest.approx(mean * 5.0 / 1e3)
    assert delay_s(Hedge(), FIRST, WORK, seen()) == delay_s(Hedge(at="p95"), FIRST, WORK, seen())


def test_a_whole_answer_has_its_content_at_its_end() -> None:
    stream = delay_s(Hedge(at="p95"), FIRST, WORK, seen())
    whole = delay_s(Hedge(at="p95"), FIRST, replace(WORK, stream=False), seen())
    assert stream is not None
    assert whole == pytest.approx(stream + 50 * 20.0 / 1e3)


def test_a_quantile_is_never_less_than_a_fifth_of_a_second() -> None:
    quick = Pace(slow=0.01, slow_p95=0.02, slow_p99=0.03, at=NOW)
    assert delay_s(Hedge(at="p99"), FIRST, WORK, seen(quick)) == LEAST_MS / 1e3


@pytest.mark.parametrize("pace", [None, Pace()])
def test_without_a_measurement_there_is_no_quantile(pace: Pace | None) -> None:
    assert delay_s(Hedge(at="p95"), FIRST, WORK, seen(pace)) is None


@pytest.mark.parametrize("busy", [seen(in_flight=9), seen(kv=0.7)])
def test_a_busy_place_is_not_relieved_by_asking_more(busy: Snapshot) -> None:
    assert delay_s(Hedge(after_ms=1.0), FIRST, WORK, busy) is None
    assert not can_help(FIRST, busy, NOW)


def test_a_place_that_is_shut_or_a_callers_own_cannot_help() -> None:
    assert can_help(SECOND, Snapshot(), NOW)
    assert can_help(FIRST, seen(in_flight=8), NOW)
    assert not can_help(FIRST, seen(shut_until=NOW + 1.0), NOW)
    assert can_help(FIRST, seen(shut_until=NOW), NOW)
    assert not can_help(replace(FIRST, lent=True), Snapshot(), NOW)
    assert delay_s(Hedge(after_ms=1.0), replace(FIRST, lent=True), WORK, Snapshot()) is None


BUSIER = [seen(in_flight=count) for count in range(16)]


@pytest.mark.parametrize(
    ("seed", "share", "per_second"), [(1, 0.02, 1), (2, 0.02, 30), (3, 0.05, 300), (4, 0.02, 3000), (5, 0.2, 20)]
)
def test_over_ten_thousand_requests_the_budget_is_never_exceeded(seed: int, share: float, per_second: int) -> None:
    """However late answers are, however busy places, however requests bunch together; and it is used."""
    budget, hedge = hedges(), Hedge(after_ms=1.0, budget=share)
    now, bits, spent = NOW, seed, 0
    for number in range(1, 10_001):
        bits = mixed(bits)
        now += (bits & 255) / 128 / per_second + (30.0 if bits % 1009 == 0 else 0.0)
        budget.asked(now)
        about = BUSIER[bits >> 8 & 15]
        is_late = bits >> 16 & 1 or number > 9_000
        may = is_late and delay_s(hedge, FIRST, WORK, about) is not None and can_help(FIRST, about, now)
        if may and budget.spend(now + 0.001, share):
            spent += 1
        assert spent <= share * number
    assert spent >= 0.25 * share * 10_000


# --- who wins ---------------------------------------------------------------------------------------------------------


class Pool:
    def __init__(self) -> None:
        self.outbox = at_once()

    def opened(self, connection: UpstreamConnection) -> None: ...

    def freed(self, connection: UpstreamConnection) -> None: ...

    def lost(self, connection: UpstreamConnection) -> None: ...


class Track:
    """A race of two at its start, each waiting for its answer on a connection that leads nowhere."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.clock = HandClock()
        self.exchange: Exchange = exchange(self.clock.monotonic())
        self.exchange.reason = "fastest"
        self.answers = 0
        way = Way((FIRST, SECOND), b"", 0.0, rules=rules or Rules(), work=WORK)
        self.race = Race(self.exchange, asks(), way, KeptReply(), self.clock.monotonic, self._begun)
        self.first = Racer(self.race, FIRST, b"", (), "fastest")
        self.second = Racer(self.race, replace(SECOND, instead="other"), b"", ("top_k",), "hedge")
        self.race.racers = [self.first, self.second]
        self.transports: dict[str, KeptTransport] = {}

    def _begun(self) -> None:
        self.answers += 1

    async def go(self, *racers: Racer) -> None:
        for racer in racers:
            racer.attempt = Attempt(racer.place.target, self.clock.monotonic(), sent=self.clock.monotonic())
            self.exchange.attempts.append(racer.attempt)
            racer.connection = UpstreamConnection(Pool(), asyncio.get_running_loop(), self.clock)
            transport = self.transports[racer.place.name] = KeptTransport()
            racer.connection.connection_made(transport)
            racer.task = asyncio.get_running_loop().create_task(self._wait())
        await turn()

    async def _wait(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def over(self) -> None:
        for racer in self.race.racers:
            if racer.task is not None:
                racer.task.cancel()
        await turn()


async def test_whoever_claims_first_ends_the_other_in_that_moment() -> None:
    track = Track()
    await track.go(track.first, track.second)
    track.clock.advance(2.0)
    track.second.claim()
    assert track.transports["first"].aborted
    assert not track.transports["second"].aborted
    assert track.first.task is not None
    assert track.first.task.cancelling() == 1
    attempt = track.first.attempt
    assert attempt is not None
    assert (attempt.outcome, attempt.ended) == (HEDGE_LOST, track.clock.monotonic())
    assert (track.second.won, track.first.won, track.answers) == (True, False, 1)
    assert track.race.outcome() == "won"
    assert track.race.loser is attempt
    await track.over()


async def test_the_record_is_the_winners() -> None:
    track = Track()
    await track.go(track.first, track.second)
    track.exchange.target = FIRST.target
    track.second.claim()
    told = track.exchange
    assert told.target is SECOND.target
    assert (told.model, told.changed, told.reason) == ("other", ("top_k",), "hedge")
    assert told.attempts == [track.first.attempt, track.second.attempt]
    await track.over()


async def test_the_winner_stands_last_in_the_record() -> None:
    track = Track()
    await track.go(track.first, track.second)
    track.exchange.target = SECOND.target
    track.first.claim()
    told = track.exchange
    assert [attempt is track.first.attempt for attempt in told.attempts] == [False, True]
    assert (told.target, told.model, told.changed, told.reason) == (FIRST.target, "story", (), "fastest")
    assert track.race.outcome() == "lost"
    await track.over()


async def test_the_losers_prompt_is_ours_to_pay_where_its_price_is_known_and_it_was_sent() -> None:
    track = Track()
    await track.go(track.first, track.second)
    track.first.claim()
    assert track.second.attempt is not None
    assert track.second.attempt.cost_usd == pytest.approx(0.5 + 100 * 0.01)
    await track.over()

    dialling = Track()
    await dialling.go(dialling.first, dialling.second)
    assert dialling.second.attempt is not None
    dialling.second.attempt.sent = 0.0
    dialling.second.connection = None
    dialling.first.claim()
    assert (dialling.second.attempt.cost_usd, dialling.second.attempt.outcome) == (0.0, HEDGE_LOST)
    await dialling.over()


async def test_one_that_has_not_even_begun_loses_too() -> None:
    track = Track()
    await track.go(track.first)
    track.second.task = asyncio.get_running_loop().create_task(track._wait())
    track.first.claim()
    await turn()
    assert track.second.task.cancelled()
    assert (track.race.outcome(), track.race.loser) == ("lost", None)
    await track.over()


async def test_one_that_had_failed_has_not_lost() -> None:
    track = Track()
    await track.go(track.first, track.second)
    assert track.second.task is not None
    assert track.second.attempt is not None
    track.second.task.cancel()
    await turn()
    track.second.failure = UpstreamBroken("no")
    track.second.attempt.outcome = "upstream_invalid_response"
    track.first.claim()
    assert track.second.attempt.outcome == "upstream_invalid_response"
    assert (track.race.outcome(), track.race.loser) == ("failed", None)
    await track.over()


def test_what_nobody_else_could_cure_is_what_is_told() -> None:
    track = Track()
    refused, broken = UpstreamRefused("no"), UpstreamBroken("no")
    track.first.failure, track.second.failure = broken, refused
    assert track.race.failure() is refused
    track.first.failure, track.second.failure = refused, broken
    assert track.race.failure() is refused
    track.first.failure = UpstreamBroken("no")
    assert track.race.failure() is broken
    assert track.race.outcome() == "failed"
    track.second.failure = None
    assert track.race.outcome() == "left"


def test_a_request_is_hedged_once_and_within_its_attempts() -> None:
    track = Track(Rules(retry=Retry(attempts=3)))
    assert track.race.may_hedge()
    track.exchange.attempts.append(Attempt(FIRST.target, 1.0))
    assert track.race.may_hedge()
    track.exchange.attempts.append(Attempt(FIRST.target, 1.0))
    assert not track.race.may_hedge()
    track.exchange.attempts.clear()
    track.race.hedge(track.second)
    assert not track.race.may_hedge()
    assert (track.race.at, track.race.racers[-1]) == (1, track.second)


async def test_a_race_without_copies_calls_nobody() -> None:
    track = Track()
    track.race = Race(track.exchange, asks(), track.race.way, KeptReply(), track.clock.monotonic, None)
    track.first.race = track.race
    await track.go(track.first)
    track.first.claim()
    assert (track.answers, track.race.winner) == (0, track.first)
    track.first.failure = UpstreamBroken("later")
    assert track.race.failure() is track.first.failure
    await track.over()


def test_nobody_need_be_told() -> None:
    SILENT.raced("second", "won", None)
