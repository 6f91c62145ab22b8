import sys
from pathlib import Path

import pytest

from tests.clients.programs import run, surroundings


def test_a_program_gets_an_environment_of_its_own(tmp_path: Path) -> None:
    show = "import os; print(sorted(set(os.environ) - {'LC_CTYPE'}), os.environ['HOME'])"
    ended = run([sys.executable, "-c", show], surroundings(tmp_path, {"MORE": "1"}), within_s=30.0)
    names = ["HOME", "HTTPS_PROXY", "HTTP_PROXY", "LANG", "MORE", "NO_PROXY", "PATH"]
    assert (ended.code, ended.out.decode()) == (0, f"{names} {tmp_path}\n")


def test_one_that_fails_says_why(tmp_path: Path) -> None:
    ended = run([sys.executable, "-c", "import sys; sys.exit('no\\nway')"], surroundings(tmp_path, {}), within_s=30.0)
    assert ended.complaint() == "it ended with 1: no / way"


@pytest.mark.slow
def test_one_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    # Its child holds the same pipe, so only its end too lets this go on.
    pause = "import signal; signal.pause()"
    wait = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {pause!r}])"
    ended = run([sys.executable, "-c", wait], surroundings(tmp_path, {}), within_s=0.5)
    assert ended.code is None
    assert ended.complaint() == "it was ended, it took too long: "
