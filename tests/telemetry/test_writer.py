import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import orjson
import pytest

from gateway.clock import HandClock
from gateway.telemetry.writer import LogWriter, encode_event, stamp

CEILING_S = 20.0


class Tally:
    def __init__(self) -> None:
        self.value = 0.0
        self.some = threading.Event()

    def add(self, amount: float) -> None:
        self.value += amount
        self.some.set()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        try:
            os.close(end)
        except OSError:
            continue


def everything(reading: int) -> list[bytes]:
    """All lines until the last writer closes."""
    with open(reading, "rb", closefd=False) as file:
        return file.read().splitlines()


def test_lines_come_out_whole_and_in_order(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    dropped = Tally()
    writer = LogWriter(writing, dropped, gather_s=0.0)
    for number in range(500):
        writer.put(b"line %d\n" % number)
    writer.close(CEILING_S)
    os.close(writing)
    assert everything(reading) == [b"line %d" % number for number in range(500)]
    assert dropped.value == 0.0


def test_lines_put_after_a_pause_are_written_too(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    writer = LogWriter(writing, Tally(), gather_s=0.0)
    for word in (b"one\n", b"two\n", b"three\n"):
        writer.put(word)
        assert os.read(reading, 100) == word
    writer.close(CEILING_S)


def test_a_reader_who_stalls_costs_lines_and_never_time(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    dropped = Tally()
    writer = LogWriter(writing, dropped, clock=HandClock(), gather_s=0.0, most_lines=10)
    line = b"x" * 65_535 + b"\n"
    lines = 40
    for _ in range(lines):
        writer.put(line)
    # At most ten wait and ten are being written: nobody reads, so the rest is gone, and said so.
    assert lines - 20 <= dropped.value <= lines - 10
    lost = dropped.value
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.extend(everything(reading)))
    reader.start()
    # Reports of what was lost go out with the next lines that are written.
    writer.close(CEILING_S)
    os.close(writing)
    reader.join(CEILING_S)
    reports = [orjson.loads(each) for each in read if each.startswith(b"{")]
    assert sum(report["lines"] for report in reports) == lost
    assert {report["event"] for report in reports} == {"log lines dropped"}
    assert len(read) - len(reports) == lines - lost


def test_a_reader_who_is_gone_is_counted_and_survived() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    dropped = Tally()
    writer = LogWriter(writing, dropped, gather_s=0.0)
    writer.put(b"nobody hears\n")
    assert dropped.some.wait(CEILING_S)
    writer.put(b"still nobody\n")
    writer.close(CEILING_S)
    os.close(writing)
    assert dropped.value == 2.0


def test_processes_that_share_a_pipe_never_mix_their_lines(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    program = (
        "import sys\n"
        "from gateway.telemetry.writer import LogWriter\n"
        "class Tally:\n"
        "    def add(self, amount): raise SystemExit('dropped')\n"
        "writer = LogWriter(1, Tally(), gather_s=0.001)\n"
        "letter = sys.argv[1].encode()\n"
        "for _ in range(3000):\n"
        "    writer.put(letter * 997 + b'\\n')\n"
        "writer.close(20.0)\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, letter], stdout=writing) for letter in "abc"]
    os.close(writing)
    lines = everything(reading)
    assert [each.wait(CEILING_S) for each in writers] == [0, 0, 0]
    assert len(lines) == 9000
    assert {len(line) for line in lines} == {997}
    assert all(line == line[:1] * 997 for line in lines)


def test_an_event_is_one_line_of_json_whatever_its_text() -> None:
    line = encode_event(1_700_000_000.125, "error", "it broke", {"why": "a\nb\x1b[31m\x00", "count": 3})
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert b"\x1b" not in line
    assert orjson.loads(line) == {
        "time": "2023-11-14T22:13:20.125Z",
        "level": "error",
        "event": "it broke",
        "why": "a\nb\x1b[31m\x00",
        "count": 3,
    }


def test_times_are_utc_to_the_millisecond() -> None:
    assert stamp(0.0) == "1970-01-01T00:00:00.000Z"
    assert stamp(1_700_000_000.9994) == "2023-11-14T22:13:20.999Z"
