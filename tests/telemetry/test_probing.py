from pathlib import Path

import pytest
from msgspec.json import decode

from gateway.clock import HandClock
from gateway.telemetry.families import PROBE_SECONDS, PROBE_UNMATCHED, PROBE_UP, WORKER
from gateway.telemetry.log import Log
from gateway.telemetry.probing import Probing
from gateway.telemetry.slots import SlotReader, SlotWriter

NOTHING: frozenset[str] = frozenset()


class Page:
    """Notes, the lines they made, and the gauges as a scrape sees them."""

    def __init__(self, path: Path) -> None:
        self.written: list[bytes] = []
        slots = SlotWriter(str(path / "worker"))
        self._reader = SlotReader(str(path / "worker"), {family.name: family for family in WORKER})
        self.notes = Probing(slots, Log(self, HandClock()))

    def put(self, line: bytes) -> None:
        self.written.append(line)

    @property
    def lines(self) -> list[dict[str, object]]:
        return [decode(line, type=dict[str, object]) for line in self.written]

    def shows(self, family: str, *labels: str) -> float:
        (value,) = self._reader.samples()[family, labels]
        return value


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path)


def test_the_last_look_is_shown(page: Page) -> None:
    page.notes.looked("b", up=True, took_s=0.02)
    page.notes.looked("b", up=False, took_s=1.0)
    assert (page.shows(PROBE_UP.name, "b"), page.shows(PROBE_SECONDS.name, "b")) == (0.0, 1.0)


def test_a_signal_nobody_knows_is_a_gauge_and_one_line(page: Page) -> None:
    page.notes.noted("b", frozenset({"waiting", "kv"}), NOTHING)
    assert page.shows(PROBE_UNMATCHED.name, "b", "kv") == 1.0
    (line,) = page.lines
    assert (line["level"], line["event"], line["backend"]) == ("warning", "probe signals unmatched", "b")
    assert line["signals"] == ["kv", "waiting"]


def test_that_it_is_known_again_is_shown_and_said(page: Page) -> None:
    page.notes.noted("b", frozenset({"waiting", "kv"}), NOTHING)
    page.notes.noted("b", frozenset({"kv"}), NOTHING)
    page.notes.noted("b", NOTHING, NOTHING)
    assert page.shows(PROBE_UNMATCHED.name, "b", "kv") == page.shows(PROBE_UNMATCHED.name, "b", "waiting") == 0.0
    assert [line["signals"] for line in page.lines] == [["kv", "waiting"], ["kv"], ["kv"]]
    assert page.lines[-1]["event"] == "probe signals matched"


def test_a_path_that_does_not_answer_is_a_line_and_so_is_its_coming_back(page: Page) -> None:
    page.notes.noted("b", NOTHING, frozenset({"/metrics 501"}))
    page.notes.noted("b", NOTHING, NOTHING)
    assert [(line["level"], line["event"], line["paths"]) for line in page.lines] == [
        ("warning", "probe paths missing", ["/metrics 501"]),
        ("info", "probe paths answer", ["/metrics 501"]),
    ]


def test_what_has_not_changed_is_not_said_again(page: Page) -> None:
    page.notes.noted("b", frozenset({"kv"}), frozenset({"/load 404"}))
    page.notes.noted("b", frozenset({"kv"}), frozenset({"/load 404"}))
    assert len(page.lines) == 2


def test_who_probes_no_more_shows_nothing(page: Page) -> None:
    page.notes.looked("b", up=True, took_s=0.02)
    page.notes.noted("b", frozenset({"kv"}), NOTHING)
    page.notes.left()
    assert page.shows(PROBE_UP.name, "b") == page.shows(PROBE_UNMATCHED.name, "b", "kv") == 0.0
