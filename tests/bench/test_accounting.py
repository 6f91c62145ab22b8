import os
import subprocess
import sys
import time

import pytest

from tests.bench.accounting import (
    CpuTime,
    cpu_time,
    descendants,
    memory,
    parse_core,
    parse_schedstat,
    parse_smaps_rollup,
    parse_stat,
    stat_of,
)

STAT = (
    "4242 (a (very) odd name) S 17 4242 4242 0 -1 4194560 900 0 2 0 "
    "31 11 0 0 20 0 3 0 8675309 130000000 5000 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n"
)
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def test_a_stat_line_is_read_though_the_command_holds_parentheses_and_spaces() -> None:
    stat = parse_stat(STAT)
    assert (stat.state, stat.parent, stat.cpu_ticks, stat.started_ticks) == ("S", 17, 42, 8675309)


def test_schedstat_gives_the_time_on_a_core_not_the_time_waited_for_one() -> None:
    assert parse_schedstat("123456789 555 77\n") == 123456789


def test_smaps_rollup_gives_rss_and_pss_and_not_their_parts() -> None:
    text = "00400000-7fff ---p 00000000 00:00 0 [rollup]\nRss:    1672 kB\nPss:     291 kB\nPss_Anon:    112 kB\n"
    found = parse_smaps_rollup(text)
    assert (found.rss_kib, found.pss_kib) == (1672, 291)


def test_a_core_is_busy_with_all_but_idle_waiting_and_what_the_host_took() -> None:
    text = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 3 400 50 6 7 8 0 0\ncpu1 5 0 0 1 0 0 0 0 0 0\n"
    core = parse_core(text, 0)
    assert (core.busy_ns, core.stolen_ns) == ((1 + 2 + 3 + 6 + 7) * TICK_NS, 8 * TICK_NS)


def test_a_core_that_is_not_there_is_said() -> None:
    with pytest.raises(LookupError, match="no core 7"):
        parse_core("cpu0 1 2 3 4 5 6 7 8 0 0\n", 7)


def test_descendants_are_found_through_generations_and_nobody_else_is() -> None:
    parents = {2: 1, 3: 2, 4: 3, 5: 1, 6: 99}
    assert sorted(descendants(2, parents)) == [2, 3, 4]


def test_time_since_counts_a_new_thread_whole_and_forgets_one_that_ended() -> None:
    before = CpuTime(thread_ns={(1, 1): 100, (1, 2): 900}, process_ticks={1: 5})
    after = CpuTime(thread_ns={(1, 1): 130, (3, 3): 7}, process_ticks={1: 6, 3: 1})
    assert after.ns_since(before) == 37
    assert after.tick_ns_since(before) == 2 * TICK_NS


def test_cpu_time_of_a_real_process_grows_while_it_works_and_its_memory_is_counted() -> None:
    # A child below the child does the work, as a worker does below its supervisor.
    worker = "import sys\nprint('up', flush=True)\nwhile True: pass"
    supervisor = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {worker!r}])"
    with subprocess.Popen([sys.executable, "-c", supervisor], stdout=subprocess.PIPE, start_new_session=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"up\n"
            before = cpu_time(child.pid)
            deadline_s = time.monotonic() + 5
            while cpu_time(child.pid).ns_since(before) < 20_000_000:
                assert time.monotonic() < deadline_s, "20 ms of work are not seen"
            assert memory(child.pid).rss_kib > 1000
        finally:
            os.killpg(child.pid, 9)


def test_a_process_that_is_gone_has_no_stat() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert stat_of(child.pid) is None
