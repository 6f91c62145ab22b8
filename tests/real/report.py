"""The last line of `make test-real`: what ran and what was seen, as one JSON object."""

import sys

import orjson
import pytest


class Report:
    """A plugin of pytest; tests add their figures to `figures`."""

    def __init__(self) -> None:
        self.cases = 0
        self.failed = 0
        self.figures: dict[str, object] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if "real" not in report.keywords:
            return
        self.cases += report.when == "call"
        self.failed += report.failed

    def pytest_unconfigure(self) -> None:
        if self.cases or self.failed:
            line = orjson.dumps({"cases": self.cases, "failed": self.failed, **self.figures}).decode()
            sys.stdout.write(f"{line}\n")
