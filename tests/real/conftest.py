"""What `make test-real` stands on: real model servers, a real gateway process, and the line that sums it up."""

from collections.abc import Iterator

import pytest

from tests.real.gateways import Gateway, backend
from tests.real.llamas import MODEL, Llama
from tests.real.report import Report

_REPORT = pytest.StashKey[Report]()
SMOLLM = "smollm2"


def pytest_configure(config: pytest.Config) -> None:
    report = Report()
    config.stash[_REPORT] = report
    config.pluginmanager.register(report, "real-report")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """A run that wants none of these tests doesn't pay for importing the clients either."""
    return True if config.option.markexpr == "not real" else None


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> dict[str, object]:
    """What the last line of the run will show."""
    return request.config.stash[_REPORT].figures


@pytest.fixture(scope="session")
def _pair() -> Iterator[tuple[Llama, Llama]]:
    first, second = Llama(), Llama()
    yield first, second
    first.close()
    second.close()


@pytest.fixture
def llamas(_pair: tuple[Llama, Llama]) -> tuple[Llama, Llama]:
    """Two llama.cpp servers, loaded."""
    dead = [llama for llama in _pair if not llama.alive]
    for llama in dead:
        llama.start()
    for llama in dead:
        llama.ready()
    return _pair


@pytest.fixture
def gateway(_gateway: Gateway, llamas: tuple[Llama, Llama]) -> Gateway:
    """A gateway that serves `smollm2` from the first of them, then from the second."""
    del llamas  # alive
    _gateway.forget()
    return _gateway


@pytest.fixture(scope="session")
def _gateway(_pair: tuple[Llama, Llama], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    first, second = _pair
    running = Gateway(
        tmp_path_factory.mktemp("gateway"),
        {"first": backend("llamacpp", first.url), "second": backend("llamacpp", second.url)},
        {SMOLLM: [{"backend": name, "model": MODEL, "order": order} for order, name in enumerate(("first", "second"))]},
    )
    yield running
    running.close()
