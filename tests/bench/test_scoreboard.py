import msgspec
import pytest

from tests.bench.bodies import JSON_ANSWER
from tests.bench.lineup import Upstream
from tests.bench.loads import Saturating
from tests.bench.scoreboard import Sample, remarks, rows, table
from tests.bench.works import Goal, Work

WORK = Work(
    name="json_400b",
    upstream=Upstream.CHAT,
    body=b"{}",
    answer=JSON_ANSWER,
    answer_bytes=767,
    load=Saturating(connections=1),
    goals=(Goal("ratio_to_nginx", must=4.5, aim=3.2),),
)
LATENCY = msgspec.structs.replace(
    WORK,
    name="lat_500",
    goals=(Goal("over_nginx_p50_us", must=100), Goal("over_nginx_p99_us", must=1500)),
    contenders=("direct", "nginx", "gateway"),
)


def sample(contender: str, turn: int, *, work: str = "json_400b", bad: int = 0, **figures: float) -> Sample:
    flaws = ["wrong"] if bad else []
    return Sample(work, contender, turn, requests=100, bad=bad, flaws=flaws, figures=figures)


def test_the_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    # The machine was twice as slow in round 1; the ratio of medians would be off.
    samples = [sample("nginx", 0, cpu_us=10), sample("gateway", 0, cpu_us=30)]
    samples += [sample("nginx", 1, cpu_us=20), sample("gateway", 1, cpu_us=80)]
    samples += [sample("nginx", 2, cpu_us=10), sample("gateway", 2, cpu_us=31)]
    nginx, gateway = rows([WORK], samples)
    assert nginx.flat()["ratio_to_nginx"] == 1.0
    assert gateway.flat()["ratio_to_nginx"] == pytest.approx(3.1)
    assert gateway.figures["ratio_to_nginx"].least == 3.0
    assert gateway.figures["ratio_to_nginx"].greatest == 4.0


@pytest.mark.parametrize(("cpu_us", "reached"), [(32.0, "aim"), (32.1, "must"), (45.0, "must"), (45.1, "no")])
def test_a_goal_is_reached_up_to_its_bound(cpu_us: float, reached: str) -> None:
    (_, gateway) = rows([WORK], [sample("nginx", 0, cpu_us=10), sample("gateway", 0, cpu_us=cpu_us)])
    assert gateway.goals[0].reached == reached


def test_one_bad_answer_makes_a_row_invalid_and_is_remarked() -> None:
    samples = [sample("gateway", 0, cpu_us=1), sample("gateway", 1, bad=1, cpu_us=1)]
    board = rows([WORK], samples)
    assert not board[0].valid
    assert "INVALID" in table(board)
    assert "json_400b gateway: wrong" in remarks(board)


def test_without_a_reference_the_goal_is_not_measured_rather_than_reached() -> None:
    (gateway,) = rows([WORK], [sample("gateway", 0, cpu_us=1)])
    assert gateway.goals[0].reached is None
    assert "not measured" in table([gateway])


def test_latency_is_compared_with_direct_and_with_nginx_of_the_same_round() -> None:
    samples = []
    for turn, slow in enumerate((0, 1000, 0)):
        samples += [
            sample("direct", turn, work="lat_500", p50_us=200 + slow, p99_us=900),
            sample("nginx", turn, work="lat_500", p50_us=400 + slow, p99_us=1200),
            sample("gateway", turn, work="lat_500", p50_us=480 + slow, p99_us=3000),
        ]
    direct, nginx, gateway = rows([LATENCY], samples)
    assert "added_p50_us" not in direct.figures
    assert nginx.figures["added_p50_us"].median == 200
    assert gateway.figures["added_p50_us"].median == 280
    assert gateway.figures["over_nginx_p50_us"].median == 80
    assert [goal.reached for goal in gateway.goals] == ["must", "no"]


def test_a_row_shows_its_medians_by_name_for_those_who_read_json() -> None:
    (row,) = rows([WORK], [sample("gateway", 0, cpu_us=41.04)])
    flat = msgspec.json.decode(msgspec.json.encode(row.flat()), type=dict[str, object])
    assert (flat["work"], flat["contender"], flat["cpu_us"], flat["bad"]) == ("json_400b", "gateway", 41.04, 0)


def test_a_core_that_others_used_is_remarked() -> None:
    busy = rows([WORK], [sample("gateway", 0, cpu_us=1, others_share=0.08, stolen_share=0.04)])
    quiet = rows([WORK], [sample("gateway", 0, cpu_us=1, others_share=0.05, stolen_share=0.04)])
    assert remarks(busy) == ["json_400b gateway: disturbed, others had 12% of the proxy's core"]
    assert remarks(quiet) == []
