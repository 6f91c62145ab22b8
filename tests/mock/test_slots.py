from gateway.mock.ledger import Entry
from gateway.mock.slots import Slots


class Worker:
    def __init__(self, sequence: int, begun: list[int]) -> None:
        self.entry = Entry(sequence, "/", 0.0)
        self._begun = begun

    def begin(self) -> None:
        self._begun.append(self.entry.sequence)


def three_in_one_slot() -> tuple[Slots, list[Worker], list[int]]:
    slots, begun = Slots(1), list[int]()
    workers = [Worker(sequence, begun) for sequence in (1, 2, 3)]
    for worker in workers:
        slots.enter(worker)
    return slots, workers, begun


def test_only_as_many_begin_as_there_are_slots() -> None:
    slots, _, begun = three_in_one_slot()
    assert (begun, slots.running, slots.waiting) == ([1], 1, 2)


def test_the_queue_is_first_come_first_served() -> None:
    slots, workers, begun = three_in_one_slot()
    slots.leave(workers[0])
    slots.leave(workers[1])
    assert (begun, slots.running, slots.waiting) == ([1, 2, 3], 1, 0)


def test_whoever_leaves_the_queue_is_not_begun() -> None:
    slots, workers, begun = three_in_one_slot()
    slots.leave(workers[1])
    assert slots.running == 1
    slots.leave(workers[0])
    assert begun == [1, 3]


def test_leaving_twice_frees_one_slot() -> None:
    slots, workers, begun = three_in_one_slot()
    slots.leave(workers[0])
    slots.leave(workers[0])
    assert (begun, slots.running, slots.waiting) == ([1, 2], 1, 1)


def test_who_runs_and_who_waits_can_be_seen() -> None:
    slots, _, _ = three_in_one_slot()
    assert [entry.sequence for entry in slots.running_entries()] == [1]
    assert [entry.sequence for entry in slots.waiting_entries()] == [2, 3]
