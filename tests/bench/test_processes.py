import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.accounting import lives, stat_of, tree
from tests.bench.processes import Company, StartError, end_below, free_ports

WORKER = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
SUPERVISOR = (
    f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {WORKER!r}], start_new_session=True).wait()"
)


def core() -> int:
    return min(os.sched_getaffinity(0))


def test_everyone_is_ended_also_a_worker_that_will_not_listen(tmp_path: Path) -> None:
    with Company(tmp_path) as company:
        running = company.start("stubborn", [sys.executable, "-c", SUPERVISOR], core())
        company.wait_until(running, lambda: None if "up" in running.log_tail() else "not up")
        started = {pid: stat.started_ticks for pid in tree(running.pid) if (stat := stat_of(pid))}
        assert len(started) == 2
        assert all(lives(pid, ticks) for pid, ticks in started.items())
    assert not any(lives(pid, ticks) for pid, ticks in started.items())


def test_descendants_nobody_holds_on_to_are_ended_and_their_root_is_not() -> None:
    with subprocess.Popen([sys.executable, "-c", SUPERVISOR], stdout=subprocess.PIPE, text=True) as root:
        assert root.stdout is not None
        assert root.stdout.readline() == "up\n"
        (worker,) = tree(root.pid)[1:]
        stat = stat_of(worker)
        assert stat is not None
        end_below(root.pid)
        assert not lives(worker, stat.started_ticks)
        assert root.wait(10) == 0


def test_a_process_that_ends_too_early_is_told_with_its_last_words(tmp_path: Path) -> None:
    with Company(tmp_path) as company:
        running = company.start("brief", [sys.executable, "-c", "print('no such file')"], core())
        with pytest.raises(StartError, match=r"(?s)brief ended with 0.*no such file"):
            company.wait_until(running, lambda: "not yet")


def test_a_log_that_has_grown_large_is_emptied(tmp_path: Path) -> None:
    with Company(tmp_path) as company:
        running = company.start("chatty", [sys.executable, "-c", "print('x' * 100)"], core())
        with pytest.raises(StartError):
            company.wait_until(running, lambda: "not yet")
        running.cap_log(cap_bytes=1000)
        assert running.log.stat().st_size == 101
        running.cap_log(cap_bytes=100)
        assert running.log.stat().st_size == 0


def test_free_ports_are_all_different() -> None:
    assert len(set(free_ports(20))) == 20
