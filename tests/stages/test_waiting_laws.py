"""Whatever happens in the room: no limit is exceeded, no place is lost, and nobody waits longer than he may."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.routing.policy import Priority, Rules
from tests.stages.room import NAMES, Ground, ground

PRIORITY: st.SearchStrategy[Priority] = st.sampled_from(("high", "normal", "low"))
BACKEND = st.sampled_from(NAMES)
COMES = st.tuples(
    *(st.just("comes"), st.sampled_from("abc"), PRIORITY, st.floats(0.1, 5.0)),
    st.sampled_from(("one", "two", "one two")),
)
EVENT = st.one_of(
    COMES,
    COMES,
    st.tuples(st.just("ends"), BACKEND),
    st.tuples(st.just("ends"), BACKEND),
    st.tuples(st.just("leaves"), st.integers(0)),
    st.tuples(st.just("passes"), st.floats(0.01, 1.0)),
    st.tuples(st.just("shuts"), BACKEND, st.floats(0.01, 3.0)),
)
Event = tuple[object, ...]


async def happens(on: Ground, event: Event) -> None:
    loads = on.backends.loads
    match event:
        case ("comes", str(name), ("high" | "normal" | "low") as priority, float(queue_s), str(to)):
            guest = await on.comes(name, rules=Rules(queue_s=queue_s, priority=priority), to=to)
            on.guests.append((guest, queue_s))
        case ("ends", str(name)) if loads[name].in_flight:
            await on.ends(name)
        case ("leaves", int(which)) if on.tasks:
            await on.leaves(which % len(on.tasks))
        case ("passes", float(seconds)):
            await on.passes(seconds)
        case ("shuts", str(name), float(seconds)):
            loads[name].shut, loads[name].shut_until = "cooling", on.clock.monotonic() + seconds


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 12), st.lists(EVENT, max_size=40))
def test_no_limit_is_exceeded_no_place_is_lost_and_no_wait_is_too_long(slots: int, events: list[Event]) -> None:
    async def told() -> None:
        async with ground(slots) as on:
            on.busy(slots, slots)
            for event in events:
                await happens(on, event)
                assert max(on.in_flight()) <= slots
            for guest, queue_s in on.guests:
                # A deadline is looked at once in a while, so a refusal may be late; a place never is.
                assert not guest.place or guest.exchange.waited_s <= queue_s
            # As places come free, everyone who still waits gets one, or is told that there is none.
            for _ in range(len(on.room) + 2 * slots):
                await on.passes(0.0)
                for name in NAMES:
                    if on.backends.loads[name].in_flight:
                        await on.ends(name)
            assert len(on.room) == 0
            assert on.in_flight() == (0, 0)

    asyncio.run(told())
