import msgspec
import pytest

from gateway.upstream.probes.reading import DEAD, UNKNOWN, Answer, Reading, not_serving, read_json, wrong
from tests.upstream.probes.looking import LOADING, named


@pytest.mark.parametrize(("status", "alive"), [(0, False), (200, True), (401, True), (404, True), (500, False)])
def test_what_answers_at_all_is_alive(status: int, alive: bool) -> None:
    assert Answer(status).alive is alive


def test_a_server_that_loads_is_neither_dead_nor_ready() -> None:
    loading = not_serving(LOADING, ["m"])
    assert loading == Reading(alive=True, loading=True, models=frozenset(), loadable=frozenset(named("m")))


def test_a_server_that_is_broken_is_dead_and_one_that_answers_is_looked_at_further() -> None:
    assert not_serving(Answer(503, b"engine died")) is DEAD
    assert not_serving(Answer(200)) is None


def test_what_nobody_told_is_not_zero() -> None:
    assert (UNKNOWN.alive, UNKNOWN.working, UNKNOWN.kv, UNKNOWN.models) == (None, None, None, None)


def test_work_is_what_runs_and_what_waits_as_far_as_it_is_told() -> None:
    assert Reading(running=3.0, waiting=2.0).working == 5.0
    assert Reading(running=3.0).working == 3.0
    assert Reading(waiting=2.0).working == 2.0


def test_a_part_of_a_reading_leaves_the_rest_as_it_was() -> None:
    older = Reading(alive=True, running=5.0, waiting=4.0, kv=0.5, models=frozenset({"m"}), loadable=frozenset({"n"}))
    part = Reading(alive=True, waiting=0.0, kv=0.25)
    newer = part.over(older)
    assert (newer.running, newer.waiting, newer.kv) == (5.0, 0.0, 0.25)
    assert (newer.models, newer.loadable) == (older.models, older.loadable)


def test_a_path_that_does_not_answer_is_named_with_what_it_said() -> None:
    assert wrong("/metrics", Answer(200)) == frozenset()
    assert wrong("/metrics", Answer(404)) == named("/metrics 404")
    assert wrong("/metrics", Answer()) == named("/metrics silent")


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": 1}', b"\xff", b"[" * 100_000])
def test_a_body_of_another_shape_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="not the JSON"):
        read_json(msgspec.json.Decoder(list[int]), body)
