"""Calls with official clients, in their own environment: jobs come as JSON lines, what was heard goes out as such.

    .venv-clients/bin/python -m tests.conformance.recorded.calling <jobs >heard

`jobs.py` starts it.
"""

import json
import sys
import traceback
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.conformance.recorded.callers import Caller, Question, caller
from tests.conformance.recorded.claims import Heard

THREADS = 6


class Calls:
    """Every client that is needed, each made once, but for calls that want one alone."""

    def __init__(self) -> None:
        self._callers: dict[tuple[str, str, str, str], Caller] = {}

    def heard(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """What came of a job, beside its id."""
        try:
            heard = self.make(job).ask(Question(**job["question"]))
        except Exception as error:  # noqa: BLE001  (whatever a client raises is what a caller would see)
            heard = Heard(trouble=_short(error))
        return {"id": job["id"], "heard": heard.written()}

    def make(self, job: Mapping[str, Any]) -> Caller:
        """The client of a job. Ask for all of them before threads begin: two imports of one client clash."""
        name, url, key = job["caller"], job["url"], job["key"]
        whose = job["id"] if job["alone"] else ""
        known = self._callers.get((name, url, key, whose))
        if known is None:
            known = self._callers[name, url, key, whose] = caller(name, url, key)
        return known


def _short(error: Exception) -> str:
    """An exception in a line, with the last two places it came through."""
    places = traceback.extract_tb(error.__traceback__)[-2:]
    where = " < ".join(f"{place.filename.rpartition('site-packages/')[2]}:{place.lineno}" for place in reversed(places))
    return f"{type(error).__name__}: {str(error)[:300]} ({where})"


def main(lines: Iterable[str]) -> None:
    calls = Calls()
    jobs = [json.loads(line) for line in lines]
    for job in jobs:
        calls.make(job)
    with ThreadPoolExecutor(THREADS) as pool:
        for heard in pool.map(calls.heard, jobs):
            sys.stdout.write(json.dumps(heard) + "\n")


if __name__ == "__main__":
    main(sys.stdin)
