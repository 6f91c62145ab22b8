from tests.bench.lineup import Upstream
from tests.bench.loads import Pace
from tests.bench.works import WORKS

BY_NAME = {work.name: work for work in WORKS}


def test_names_of_works_are_all_different() -> None:
    assert len(BY_NAME) == len(WORKS)


def test_sizes_are_those_the_names_promise() -> None:
    assert len(BY_NAME["json_400b"].body) == 400
    assert len(BY_NAME["json_64k"].body) == 65536
    assert BY_NAME["sse_64"].answer_bytes == 64 * 250


def test_each_work_asks_for_the_model_its_upstream_serves() -> None:
    for work in WORKS:
        assert f'"model":"{work.upstream.model}"'.encode() in work.body


def test_only_streams_ask_for_a_stream() -> None:
    for work in WORKS:
        assert (b'"stream":true' in work.body) == (work.upstream is not Upstream.CHAT)


def test_every_work_estimates_a_time_above_nothing() -> None:
    pace = Pace(rounds=1, seconds=1, own_requests=1000, idle_streams=100)
    assert all(work.load.seconds(pace) > 0 for work in WORKS)
