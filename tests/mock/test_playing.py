import asyncio
from collections.abc import Iterator

from gateway.clock import HandClock, RealClock
from gateway.mock.ledger import Entry, Ledger
from gateway.mock.metrics import Meters
from gateway.mock.options import MockOptions
from gateway.mock.playing import Play, Stage
from gateway.mock.script import Step, Then
from gateway.mock.slots import Slots
from tests.doubles.mock_transport import KeepingTransport, turn

WORDS = [Step(0.0, b"a", 1), Step(0.0, b"b", 1), Step(0.0, b"c", 1), Step(0.0, b"", 0, Then.END)]


class House:
    """A stage with one slot and a clock moved by hand."""

    def __init__(self, slots: int = 1) -> None:
        self.clock = HandClock()
        self.ledger = Ledger()
        self.meters = Meters(MockOptions())
        self.slots = Slots(slots)
        self.stage = Stage(asyncio.get_running_loop(), self.clock, self.ledger, self.meters, self.slots)
        self.ends: list[Then] = []

    def play(self, steps: list[Step] | Iterator[Step]) -> tuple[Play, KeepingTransport, Entry]:
        transport = KeepingTransport()
        entry = self.ledger.open("/v1/chat/completions", self.clock.monotonic())
        entry.prompt_tokens = 5
        play = Play(self.stage, transport, entry, iter(steps), reason="stop", done=self.ends.append)
        play.start(in_slot=True)
        return play, transport, entry


async def test_every_step_is_a_write_of_its_own() -> None:
    house = House()
    _, transport, entry = house.play(WORDS)
    await turn()
    assert transport.written == [b"a", b"b", b"c"]
    assert (entry.tokens_sent, entry.bytes_sent, entry.finished) == (3, 3, True)
    assert house.ends == [Then.END]


async def test_times_are_the_clocks() -> None:
    house = House()
    _, _, entry = house.play([Step(0.0, b"head"), *WORDS[:1], Step(0.0, b"", 0, Then.STALL)])
    house.clock.advance(3.0)
    await turn()
    assert (entry.started_at, entry.begun_at, entry.first_at) == (1000.0, 1000.0, 1003.0)
    assert house.meters.ttft.total == 3.0


async def test_a_paused_answer_writes_nothing_until_it_is_resumed() -> None:
    house = House()
    play, transport, _ = house.play(WORDS)
    play.pause()
    await turn()
    assert transport.written == []
    play.resume()
    await turn()
    assert transport.written == [b"a", b"b", b"c"]


async def test_a_resume_without_a_step_owed_writes_nothing_twice() -> None:
    house = House()
    play, transport, _ = house.play(WORDS)
    play.pause()
    play.resume()
    await turn()
    assert transport.written == [b"a", b"b", b"c"]


async def test_a_stalled_answer_keeps_its_slot_until_the_caller_leaves() -> None:
    house = House()
    play, _, entry = house.play([Step(0.0, b"", 0, Then.STALL)])
    await turn()
    assert (house.slots.running, entry.ended_at, house.ends) == (1, None, [])
    house.clock.advance(2.0)
    play.leave()
    assert (house.slots.running, entry.left_at, house.meters.success["abort"]) == (0, 1002.0, 1)


async def test_a_caller_who_leaves_stops_the_answer_at_once() -> None:
    house = House()
    play, transport, entry = house.play([Step(0.0, b"a", 1)] * 10_000)
    await turn(5)
    play.leave()
    written = len(transport.written)
    await turn()
    assert len(transport.written) == written == entry.tokens_sent
    assert not entry.finished


async def test_leaving_the_queue_lets_the_next_one_keep_its_place() -> None:
    house = House()
    first, _, _ = house.play([Step(0.0, b"", 0, Then.STALL)])
    second, _, gone = house.play(WORDS)
    _, transport, _ = house.play(WORDS)
    second.leave()
    assert gone.left_at == 1000.0
    assert gone.begun_at is None
    first.leave()
    await turn()
    assert transport.written == [b"a", b"b", b"c"]


async def test_a_break_of_our_own_is_no_leaving() -> None:
    house = House()
    play, _, entry = house.play([Step(0.0, b"", 0, Then.STALL)])
    play.abandon()
    assert (entry.left_at, entry.ended_at, house.meters.success["error"]) == (None, 1000.0, 1)
    play.leave()
    assert entry.left_at is None


async def test_an_answer_broken_by_a_fault_has_not_finished() -> None:
    house = House()
    _, _, entry = house.play([Step(0.0, b"a", 1), Step(0.0, b"", 0, Then.RESET)])
    await turn()
    assert (entry.finished, house.ends, house.meters.success["error"]) == (False, [Then.RESET], 1)


async def test_a_queue_of_answers_without_waits_does_not_grow_the_call_stack() -> None:
    house = House()
    for _ in range(5000):
        house.play([Step(0.0, b"a", 1, Then.END)])
    await house.ledger.until(lambda ledger: ledger.finished == 5000)
    assert house.slots.running == house.slots.waiting == 0


async def test_the_pace_is_kept_over_the_whole_answer() -> None:
    ledger, meters = Ledger(), Meters(MockOptions())
    stage = Stage(asyncio.get_running_loop(), RealClock(), ledger, meters, Slots(1))
    entry = ledger.open("/", stage.clock.monotonic())
    steps = iter([Step(0.02, b"a", 1)] * 5 + [Step(0.0, b"", 0, Then.END)])
    Play(stage, KeepingTransport(), entry, steps, reason="stop", done=lambda _: None).start(in_slot=True)
    await ledger.until(lambda seen: seen.finished == 1)
    assert entry.ended_at is not None
    assert entry.ended_at - entry.started_at >= 0.099
    assert sum(meters.inter_token.counts) == 4
    assert 0 < meters.inter_token.total <= entry.ended_at - entry.started_at - meters.ttft.total + 1e-6
