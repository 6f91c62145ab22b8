from pathlib import Path

import pytest

from gateway.telemetry.failing import Failing
from gateway.telemetry.families import EJECTIONS, RETRY_BUDGET, WORKER
from gateway.telemetry.slots import SlotWriter, Totals


class Page:
    """Two workers' notes, and both together as a scrape sees them."""

    def __init__(self, path: Path) -> None:
        self._totals = Totals(WORKER)
        self.workers = []
        for name in ("one", "two"):
            self.workers.append(Failing(SlotWriter(str(path / name))))
            self._totals.watch(str(path / name))

    def shows(self, family: str, *labels: str) -> float | None:
        found = self._totals.samples().get((family, labels))
        return found[0] if found is not None else None


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path)


def test_ejections_are_counted_by_backend_and_reason(page: Page) -> None:
    one, two = page.workers
    for count in (0, 1, 1, 2):
        one.ejected("a", "consecutive_failures", count)
    two.ejected("a", "consecutive_failures", 1)
    one.ejected("a", "half_open", 3)
    assert page.shows(EJECTIONS.name, "a", "consecutive_failures") == 3.0
    assert page.shows(EJECTIONS.name, "a", "half_open") == 1.0
    assert page.shows(EJECTIONS.name, "b", "") is None


def test_a_backend_that_comes_back_by_a_reload_is_counted_on(page: Page) -> None:
    one, _ = page.workers
    for count in (2, 0, 1):
        one.ejected("a", "failure_rate", count)
    assert page.shows(EJECTIONS.name, "a", "failure_rate") == 3.0


def test_the_share_of_retries_is_the_workers_mean(page: Page) -> None:
    one, two = page.workers
    one.retried(0.5, 2)
    one.retried(0.1, 2)
    two.retried(0.02, 2)
    assert page.shows(RETRY_BUDGET.name) == pytest.approx(0.06)
