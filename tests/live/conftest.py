"""What `make test-live` stands on: one world for all of its tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.world import World, lacking
from tests.real.report import Report

# Where the run is kept; tests/live/drawing.py draws it.
KEPT = Path(__file__).parent.parent.parent / "build" / "routing-live.json"
_REPORT = pytest.StashKey[Report]()


def pytest_configure(config: pytest.Config) -> None:
    if not config.pluginmanager.has_plugin("live-report"):
        report = Report()
        config.stash[_REPORT] = report
        config.pluginmanager.register(report, "live-report")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """A run that wants none of these tests leaves them alone."""
    return True if config.option.markexpr == "not real" else None


@pytest.fixture
def figures_of_run(request: pytest.FixtureRequest) -> dict[str, object]:
    """What the last line of the run will show."""
    return request.config.stash[_REPORT].figures


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    why = lacking()
    if why:
        pytest.skip(why)
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.close()
