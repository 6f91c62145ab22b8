"""The decision can be measured: each case is what its name says, and leaves nobody out."""

import json
import subprocess
import sys

import pytest

from gateway.routing.snapshot import Load
from tests.bench import deciding
from tests.bench.works import DECISIONS


@pytest.mark.parametrize("places", [one.places for one in DECISIONS])
def test_every_case_puts_all_places_in_an_order(places: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "RUNS", 1)
    found = deciding.measure(places)
    assert found.bad == 0
    assert found.decisions > 0
    assert found.figures.keys() == deciding.cases(places).keys()
    assert all(value > 0 for value in found.figures.values())


def test_the_cases_are_different_decisions() -> None:
    usual, loaded, sticky, promise = deciding.cases(12).values()
    assert usual.decide(0).reason == "nearest"
    assert usual.decide(0).order != loaded.decide(0).order
    assert sticky.decide(0).reason == "affinity"
    assert promise.way.rules.slo is not None


def test_a_place_that_is_left_out_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "RUNS", 1)
    monkeypatch.setattr(deciding, "Load", lambda **seen: Load(shut="drained", shut_until=2000.0, **seen))
    assert deciding.measure(1).bad > 0


@pytest.mark.slow
def test_the_decisions_are_a_work_that_needs_nothing_but_python() -> None:
    command = [sys.executable, "-m", "tests.bench.run", "--works", "plan", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env={"PATH": "/nowhere"})
    said = json.loads(done.stdout.splitlines()[-1])
    assert [row["work"] for row in said["rows"]] == [one.name for one in DECISIONS]
    assert all(row["valid"] and row["cpu_us"] > 0 and row["calibration_ms"] > 0 for row in said["rows"])
    assert [goal["must"] for row in said["rows"] for goal in row["goals"]] == [10, 10, 25, 150]
