"""How long answers are."""

from itertools import count

from gateway.exchange import Exchange
from gateway.features import Usage
from gateway.routing.estimate import LENGTH_FIRST, Lengths
from gateway.stages.lengths import Learner
from tests.doubles.inside import CALLER
from tests.stages.kept import call

MOMENTS = count(101)


def settled(usage: Usage | None, *, complete: bool = True, known: bool = True, ended: float = 0.0) -> Exchange:
    told = call()
    told.caller = CALLER if known else None
    return Exchange(told, 100.0, model="m", usage=usage, complete=complete, ended=ended or next(MOMENTS))


def test_how_long_answers_are_is_learned_of_each_caller_and_model() -> None:
    learner = Learner(Lengths())
    learner.settle(settled(Usage(10, 700)))
    learner.settle(settled(Usage(10, 900), known=False))
    assert learner.lengths.expected(CALLER.name, "m") == 700.0
    assert learner.lengths.expected("", "m") == 900.0


def test_what_broke_or_was_only_guessed_teaches_nothing() -> None:
    learner = Learner(Lengths())
    for told in (
        settled(None),
        settled(Usage(10, 0)),
        settled(Usage(10, 700), complete=False),
        settled(Usage(10, 700, estimated=True)),
    ):
        learner.settle(told)
    assert learner.lengths.expected(CALLER.name, "m") == LENGTH_FIRST


def test_of_answers_that_come_thick_one_in_a_millisecond_is_learned_from() -> None:
    learner = Learner(Lengths())
    for at, tokens in ((500.0, 700), (500.0005, 9), (500.0015, 700)):
        learner.settle(settled(Usage(10, tokens), ended=at))
    assert learner.lengths.expected(CALLER.name, "m") == 700.0
    # What is settled long after it ended is learned from, too.
    learner.settle(settled(Usage(10, 100), known=False, ended=300.0))
    assert learner.lengths.expected("", "m") == 100.0
