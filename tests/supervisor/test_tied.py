import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.supervisor import tied

TIED = str(Path(tied.__file__))
SLEEPER = "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"


def test_it_becomes_the_program() -> None:
    said = subprocess.run(
        [sys.executable, "-I", TIED, str(os.getpid()), sys.executable, "-c", "print('it is me')"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "it is me\n"


def test_the_program_ends_when_its_parent_is_killed() -> None:
    parent = (
        "import os, subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-I', {TIED!r}, str(os.getpid()), sys.executable, '-c', {SLEEPER!r}],\n"
        "                 start_new_session=True).wait()\n"
    )
    running = subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    pid = int(running.stdout.readline())
    os.kill(pid, 0)
    running.kill()
    running.wait()
    # The pipe ends when nobody is left to write: neither the parent nor the program behind it.
    assert running.stdout.read() == ""
    running.stdout.close()
    assert running.stdin is not None
    running.stdin.close()


def test_where_the_parent_is_gone_already_nothing_is_started() -> None:
    said = subprocess.run(
        [sys.executable, "-I", TIED, "1" if os.getpid() != 1 else "2", sys.executable, "-c", "print('orphan')"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == ""


def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run(
            [sys.executable, "-I", TIED, str(os.getpid()), "/nowhere/program"], check=True, capture_output=True
        )
