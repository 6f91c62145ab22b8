"""Calls handed to the clients' own environment, to as many processes as there are cores here."""

import json
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.conformance.recorded.claims import Heard
from tests.conformance.recorded.corpus import ROOT
from tests.real.processes import surroundings

CLIENTS = ROOT / ".venv-clients/bin/python"
PROCESSES = 2
# A user's own AWS settings are nobody's here.
_QUIET = {
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}

Job = dict[str, Any]


def job(name: str, caller: str, url: str, key: str, *, alone: bool = False, **question: object) -> Job:
    """A call of this client at this address; `question` as callers/__init__.py has it.

    `alone`: by a client of its own, whose connections nobody uses after it.
    """
    return {"id": name, "caller": caller, "url": url, "key": key, "alone": alone, "question": question}


def heard(jobs: Iterable[Job]) -> dict[str, Heard]:
    """What came of the jobs, by their names."""
    given = list(jobs)
    shares = [given[at::PROCESSES] for at in range(PROCESSES)]
    with ThreadPoolExecutor(PROCESSES) as pool:
        return {name: one for share in pool.map(_done, shares) for name, one in share}


def _done(jobs: Sequence[Job]) -> Sequence[tuple[str, Heard]]:
    if not jobs:
        return []
    done = subprocess.run(
        [str(CLIENTS), "-W", "ignore", "-m", "tests.conformance.recorded.calling"],
        input="".join(json.dumps(one) + "\n" for one in jobs).encode(),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=surroundings(_QUIET),
        check=True,
    )
    told = map(json.loads, done.stdout.splitlines())
    return [(one["id"], Heard.read(one["heard"])) for one in told]
