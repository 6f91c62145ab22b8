from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.call_ids import CallIds
from gateway.wire.ir import Text, ToolCall, Turn

IDS = st.lists(st.sampled_from(["call_0", "call_1", "call_0_1", "call_0_2", "a"]), max_size=6)


def settled(before: list[str], answer: list[str]) -> list[str]:
    turns = [Turn("assistant", [Text("x"), ToolCall(id_, "f")]) for id_ in before]
    ids = CallIds([Turn("user", [Text("q")]), *turns])
    calls = [ToolCall(id_, "f") for id_ in answer]
    for call in calls:
        ids.settle(call)
    return [call.id for call in calls]


def test_an_id_that_nobody_has_stays() -> None:
    assert settled(["call_0"], ["call_1", "a"]) == ["call_1", "a"]


def test_an_id_of_an_earlier_answer_gets_a_number() -> None:
    assert settled(["call_0"], ["call_0"]) == ["call_0_1"]
    assert settled(["call_0", "call_0_1"], ["call_0", "call_1"]) == ["call_0_2", "call_1"]
    assert settled(["call_0", "call_0_2"], ["call_0"]) == ["call_0_3"]


def test_a_call_without_any_gets_one() -> None:
    assert settled(["call"], ["", ""]) == ["call_1", "call_2"]


def test_two_calls_of_one_answer_are_told_apart() -> None:
    assert settled([], ["a", "a", "a"]) == ["a", "a_1", "a_2"]


@given(IDS, IDS)
def test_none_comes_twice_and_reading_again_gives_the_same(before: list[str], answer: list[str]) -> None:
    ids = settled(before, answer)
    assert len({*before, *ids}) == len(set(before)) + len(ids)
    assert settled(before, answer) == ids
