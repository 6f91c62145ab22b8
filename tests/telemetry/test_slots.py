import subprocess
import sys
from pathlib import Path

import pytest

from gateway.telemetry.slots import REFUSED, Family, SlotReader, SlotWriter, Totals, create, names_path

SEEN = Family("seen_total", "counter", "Seen.", ("place",))
LEVEL = Family("level", "gauge", "Level.")
TOOK = Family("took_seconds", "histogram", "Took.", ("place",), (0.1, 1.0))
FAMILIES = {family.name: family for family in (SEEN, LEVEL, TOOK, REFUSED)}


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "worker")


def test_a_reader_sees_what_a_writer_counted(path: str) -> None:
    writer = SlotWriter(path)
    writer.counter(SEEN, "fra").add(2.0)
    writer.counter(SEEN, "fra").add(0.5)
    writer.gauge(LEVEL).set(7.0)
    reader = SlotReader(path, FAMILIES)
    assert reader.samples() == {(REFUSED.name, ()): [0.0], ("seen_total", ("fra",)): [2.5], ("level", ()): [7.0]}
    writer.counter(SEEN, "iad").add(1.0)
    assert reader.samples()["seen_total", ("iad",)] == [1.0]
    reader.close()
    writer.close()


def test_a_value_on_a_bound_falls_into_that_bounds_bucket(path: str) -> None:
    writer = SlotWriter(path)
    took = writer.histogram(TOOK, "fra")
    for seconds in (0.05, 0.1, 0.5, 1.0, 3.0):
        took.observe(seconds)
    reader = SlotReader(path, FAMILIES)
    *buckets, total = reader.samples()["took_seconds", ("fra",)]
    assert buckets == [2.0, 2.0, 1.0]
    assert total == pytest.approx(4.65)
    reader.close()
    writer.close()


def test_a_series_bound_twice_counts_in_the_same_slot(path: str) -> None:
    writer = SlotWriter(path)
    assert writer.slot(SEEN, "fra") == writer.slot(SEEN, "fra")
    assert writer.slot(SEEN, "fra") != writer.slot(SEEN, "iad")
    writer.close()


def test_labels_must_be_as_many_as_the_family_has(path: str) -> None:
    writer = SlotWriter(path)
    with pytest.raises(ValueError, match="seen_total has the labels"):
        writer.slot(SEEN)
    writer.close()


def test_a_full_file_costs_series_and_says_how_many(path: str) -> None:
    writer = SlotWriter(path, capacity=256 + 4)
    for place in range(10):
        writer.counter(SEEN, str(place)).add(1.0)
    reader = SlotReader(path, FAMILIES)
    samples = reader.samples()
    assert samples[REFUSED.name, ()] == [7.0]
    assert len(samples) == 4
    assert all(values == [1.0] for series, values in samples.items() if series[0] == "seen_total")
    reader.close()
    writer.close()


def test_a_name_that_is_still_being_written_waits_for_the_next_look(path: str) -> None:
    create(path)
    reader = SlotReader(path, FAMILIES)
    names = Path(names_path(path))
    names.write_bytes(b'[0,"seen_total",["fra"]]\n[1,"see')
    assert list(reader.samples()) == [("seen_total", ("fra",))]
    with names.open("ab") as file:
        file.write(b'n_total",["iad"]]\n')
    assert list(reader.samples()) == [("seen_total", ("fra",)), ("seen_total", ("iad",))]
    reader.close()


def test_files_may_be_unlinked_while_both_sides_hold_them(path: str) -> None:
    create(path)
    reader = SlotReader(path, FAMILIES)
    writer = SlotWriter(path)
    Path(path).unlink()
    Path(names_path(path)).unlink()
    writer.counter(SEEN, "fra").add(1.0)
    assert reader.samples()["seen_total", ("fra",)] == [1.0]
    reader.close()
    writer.close()


def test_a_slots_file_is_ours_alone_and_takes_no_room_until_counted_in(path: str) -> None:
    create(path)
    seen = Path(path).stat()
    assert seen.st_mode & 0o777 == 0o600
    assert seen.st_size == 65_536 * 8
    assert seen.st_blocks * 512 < seen.st_size


def test_totals_sum_the_workers(tmp_path: Path) -> None:
    totals = Totals(FAMILIES.values())
    writers = [SlotWriter(str(tmp_path / name)) for name in ("a", "b")]
    for number, writer in enumerate(writers, 1):
        totals.watch(str(tmp_path / "ab"[number - 1]))
        writer.counter(SEEN, "fra").add(number)
        writer.gauge(LEVEL).set(number)
        writer.histogram(TOOK, "fra").observe(number)
    samples = totals.samples()
    assert samples["seen_total", ("fra",)] == [3.0]
    assert samples["level", ()] == [3.0]
    assert samples["took_seconds", ("fra",)] == [0.0, 1.0, 1.0, 3.0]
    totals.close()
    for writer in writers:
        writer.close()


def test_a_dead_workers_counts_stay_and_its_gauges_end(tmp_path: Path) -> None:
    totals = Totals(FAMILIES.values())
    first = SlotWriter(str(tmp_path / "a"))
    reader = totals.watch(str(tmp_path / "a"))
    first.counter(SEEN, "fra").add(5.0)
    first.gauge(LEVEL).set(1.0)
    first.histogram(TOOK, "fra").observe(0.5)
    first.close()
    totals.retire(reader)
    second = SlotWriter(str(tmp_path / "b"))
    totals.watch(str(tmp_path / "b"))
    second.counter(SEEN, "fra").add(1.0)
    samples = totals.samples()
    assert samples["seen_total", ("fra",)] == [6.0]
    assert samples["took_seconds", ("fra",)] == [0.0, 1.0, 0.0, 0.5]
    assert ("level", ()) not in samples
    totals.close()
    second.close()


def test_what_a_killed_process_counted_is_there(path: str) -> None:
    create(path)
    totals = Totals(FAMILIES.values())
    reader = totals.watch(path)
    program = (
        "import os, sys\n"
        "from gateway.telemetry.slots import Family, SlotWriter\n"
        "seen = SlotWriter(sys.argv[1]).counter(Family('seen_total', 'counter', '', ('place',)), 'fra')\n"
        "seen.add(41.0); seen.add(1.0); os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, path], check=False)
    assert ended.returncode == -9
    totals.retire(reader)
    assert totals.samples()["seen_total", ("fra",)] == [42.0]
