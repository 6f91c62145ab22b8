"""The small costs can be measured: every work runs, and does what its name says."""

import json

import pytest

from tests.bench import micro


def test_every_work_runs() -> None:
    for work in micro.works().values():
        work()


def test_the_event_that_is_measured_crosses_whole() -> None:
    assert micro.works()["event_feed"]() == b"data: %b\n\n" % micro.EVENT


def test_it_prints_one_json_object_last(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(micro, "CALLS", 10)
    assert micro.main(["parser_new"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["work"] for row in said["rows"]] == ["parser_new"]
    assert said["calibration_us"] > 0


def test_an_unknown_work_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert micro.main(["nothing"]) == 2
    assert "unknown: nothing" in capsys.readouterr().err
