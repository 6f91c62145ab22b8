"""How long answers are."""

from gateway.exchange import Exchange
from gateway.features import Usage
from gateway.routing.estimate import LENGTH_FIRST, Lengths
from gateway.stages.lengths import Learner
from tests.doubles.inside import CALLER
from tests.stages.kept import call


def settled(usage: Usage | None, *, complete: bool = True, known: bool = True) -> Exchange:
    told = call()
    told.caller = CALLER if known else None
    return Exchange(told, 100.0, model="m", usage=usage, complete=complete)


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
