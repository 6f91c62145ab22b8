"""`make bench`: nginx and the gateway at the same works, in interleaved rounds on pinned cores.

    python -m tests.bench.run [--quick | --full] [--works json_400b,sse_64] [--contenders nginx,gateway]

README.md beside this file has the method, the options and how to profile. The last line printed is one JSON object.
Exit codes: 0 measured, 1 an answer was bad or a contender did not start, 2 wrong usage or something is not installed.
"""

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import msgspec

from tests.bench import deciding, lineup, machine, nginx
from tests.bench.bodies import JSON_ANSWER
from tests.bench.figures import spread
from tests.bench.lineup import CHAT_PATH, GATEWAY_COMMAND, Contender, Cores, Lineup
from tests.bench.loads import Job, Outcome, Pace
from tests.bench.processes import Company, StartError, end_below
from tests.bench.scoreboard import Row, Sample, remarks, rows, table
from tests.bench.works import DECISIONS, PLAN, WORKS, Decision, Work

_NORMAL = Pace(rounds=8, seconds=2, own_requests=100_000, idle_streams=5000)
_QUICK = Pace(rounds=2, seconds=1, own_requests=20_000, idle_streams=1000)
_CEILING_S, _QUICK_CEILING_S = 480, 90
_DESCRIPTORS = 11_000
# Contenders that a work may need to be compared with, whoever is wanted.
_ALWAYS = ("direct", "passthrough")


class Bench:
    """One run: works, contenders and samples so far."""

    def __init__(
        self,
        works: Sequence[Work],
        decisions: Sequence[Decision],
        pace: Pace,
        cores: Cores,
        folder: Path,
        ceiling_s: float | None,
    ) -> None:
        self.works = works
        self.decisions = decisions
        self.pace = pace
        self.samples: list[Sample] = []
        self._cores = cores
        self._folder = folder
        self._deadline_s = None if ceiling_s is None else time.monotonic() + ceiling_s

    def decide(self, told: Callable[[Sample], None]) -> None:
        """The routing decision alone, on the proxy's core, all rounds."""
        for turn in range(self.pace.rounds):
            for one in self.decisions:
                calibration_ms = machine.calibration_ms(self._cores.proxy)
                with machine.on_core(self._cores.proxy):
                    found = deciding.measure(one.places)
                flaws = ["a place was left out"] if found.bad else []
                figures = found.figures | {"calibration_ms": calibration_ms}
                sample = Sample(one.name, "gateway", turn, found.decisions, found.bad, flaws, figures)
                self.samples.append(sample)
                told(sample)

    def measure(self, line: Lineup, wanted: Sequence[str], told: Callable[[Sample], None]) -> None:
        """All works, all rounds; each round has every contender, in turns from the front and from the back."""
        for work in self.works:
            names = [name for name in work.contenders if name in wanted or name in _ALWAYS]
            for turn in range(1 if work.once else self.pace.rounds):
                if not self._time_for(work, len(names)):
                    print(f"{work.name}: no time for round {turn + 1} and later ones", flush=True)
                    break
                for name in names if turn % 2 == 0 else reversed(names):
                    calibration_ms = machine.calibration_ms(self._cores.proxy)
                    outcome = self._one(work, line.contenders[name], line.key)
                    figures = outcome.figures | {"calibration_ms": calibration_ms}
                    sample = Sample(work.name, name, turn, outcome.requests, outcome.bad, outcome.flaws, figures)
                    self.samples.append(sample)
                    told(sample)

    def estimate_s(self, wanted: Sequence[str]) -> float:
        """About how long the works take."""
        decisions_s = self.pace.rounds * deciding.ABOUT_S * len(self.decisions)
        return decisions_s + sum(
            work.load.seconds(self.pace)
            * len([name for name in work.contenders if name in wanted or name in _ALWAYS])
            * (1 if work.once else self.pace.rounds)
            for work in self.works
        )

    def _one(self, work: Work, contender: Contender, key: str) -> Outcome:
        if contender.running:
            contender.running.cap_log()
        plain = work.plain if contender.name == "passthrough" else None
        body_file = self._folder / f"{work.name}.{'plain' if plain else 'body'}"
        body_file.write_bytes(plain.body if plain else work.body)
        job = Job(
            contender=contender,
            upstream=work.upstream,
            path=CHAT_PATH if plain else work.path,
            body_file=body_file,
            answer=plain.answer if plain else work.answer or JSON_ANSWER,
            answer_bytes=plain.answer_bytes if plain else work.answer_bytes,
            key=key,
            cores=self._cores,
            pace=self.pace,
        )
        # Load generators look at each answer briefly; one before and one after are read and checked whole.
        flaws = [self._probe(work, job)]
        try:
            outcome = work.load.measure(job)
        except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
            outcome = Outcome(0, 1, [f"{type(error).__name__}: {error}"], {})
        flaws.append(self._probe(work, job))
        found = [flaw for flaw in flaws if flaw]
        if not found:
            return outcome
        return Outcome(outcome.requests, outcome.bad + len(found), found + outcome.flaws, outcome.figures)

    @staticmethod
    def _probe(work: Work, job: Job) -> str | None:
        return lineup.ask(job.port, job.path, job.key, job.body_file.read_bytes(), job.answer) if work.answer else None

    def _time_for(self, work: Work, contenders: int) -> bool:
        if self._deadline_s is None:
            return True
        return time.monotonic() + work.load.seconds(self.pace) * contenders < self._deadline_s


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code."""
    options = _parser().parse_args(arguments)
    if options.keep:
        options.keep.mkdir(parents=True)
    missing = _missing(options.works)
    if missing:
        print(missing, file=sys.stderr)
        return 2
    allowed = sorted(os.sched_getaffinity(0))
    cores = Cores(proxy=allowed[0], load=allowed[-1])
    signal.signal(signal.SIGTERM, _leave)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    facts = machine.facts()
    pace = _pace(options)
    unbounded = options.full or options.rounds is not None or options.seconds is not None
    ceiling_s = None if unbounded else (_QUICK_CEILING_S if options.quick else _CEILING_S)
    begun_s = time.monotonic()
    with ExitStack() as stack:
        stack.callback(end_below, os.getpid())
        folder = options.keep
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-bench-")))
        works = [work for work in WORKS if work.name in options.works]
        decisions = DECISIONS if PLAN in options.works and "gateway" in options.contenders else ()
        bench = Bench(works, decisions, pace, cores, folder, ceiling_s)
        print(", ".join(f"{name} {fact}" for name, fact in facts.items()))
        print(f"about {bench.estimate_s(options.contenders):.0f} s; proxy on core {cores.proxy}, load on {cores.load}")
        told = _teller(options.json, facts)
        bench.decide(told)
        if works:
            company = stack.enter_context(Company(folder))
            os.sched_setaffinity(0, {cores.load})
            try:
                line = lineup.start(company, cores, set(options.contenders), options.gateway_command, JSON_ANSWER)
            except StartError as error:
                print(error, file=sys.stderr)
                return 1
            bench.measure(line, options.contenders, told)
    board = rows([*decisions, *works], bench.samples)
    print()
    print(table(board))
    for remark in remarks(board):
        print(remark)
    print(msgspec.json.encode(_report(board, bench, facts, time.monotonic() - begun_s)).decode(), flush=True)
    return 0 if board and all(row.valid for row in board) else 1


def _report(board: Sequence[Row], bench: Bench, facts: dict[str, str], took_s: float) -> dict[str, object]:
    return {
        "rows": [row.flat() for row in board],
        "valid": all(row.valid for row in board),
        "calibration_ms": spread([sample.figures["calibration_ms"] for sample in bench.samples]),
        "machine": facts,
        "command": machine.command_line(),
        "took_s": round(took_s, 1),
    }


def _teller(path: Path | None, facts: dict[str, str]) -> Callable[[Sample], None]:
    if path:
        path.write_bytes(msgspec.json.encode({"machine": facts, "command": machine.command_line()}) + b"\n")

    def told(sample: Sample) -> None:
        if path:
            with path.open("ab") as sink:
                sink.write(msgspec.json.encode(sample) + b"\n")
        shown = " ".join(f"{name}={value:.4g}" for name, value in sample.figures.items())
        print(
            f"{sample.work:13} {sample.turn} {sample.contender:8} n={sample.requests} bad={sample.bad} {shown}",
            flush=True,
        )

    return told


def _pace(options: argparse.Namespace) -> Pace:
    pace = _QUICK if options.quick else _NORMAL
    return Pace(
        rounds=options.rounds or pace.rounds,
        seconds=options.seconds or pace.seconds,
        own_requests=1_000_000 if options.full else pace.own_requests,
        idle_streams=pace.idle_streams,
    )


def _missing(works: Sequence[str]) -> str | None:
    if [*works] == [PLAN]:
        return None
    if nginx.binary() is None or shutil.which("wrk") is None or shutil.which("taskset") is None:
        return "nginx, wrk and taskset are needed: apt-get install nginx-light wrk util-linux"
    if len(os.sched_getaffinity(0)) < 2:
        return "two cores are needed: one for the proxy, one for the load"
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if "idle_streams" in works and hard < _DESCRIPTORS:
        return (
            f"idle_streams needs {_DESCRIPTORS} open files, the hard limit is {hard}: raise it, or leave that work out"
        )
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.run", description="nginx and the gateway at the same works"
    )
    known = [PLAN, *(work.name for work in WORKS)]

    def several(choices: Sequence[str]) -> Callable[[str], list[str]]:
        def split(text: str) -> list[str]:
            names = text.split(",")
            for name in names:
                if name not in choices:
                    raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(choices)}")
            return names

        return split

    def positive(text: str) -> int:
        if not text.isdecimal() or int(text) < 1:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
        return int(text)

    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help=f"a look, at most {_QUICK_CEILING_S} s")
    size.add_argument("--full", action="store_true", help="a million requests for own_time_1m, however long it takes")
    parser.add_argument("--rounds", type=positive, help="interleaved rounds of each work")
    parser.add_argument("--seconds", type=positive, help="of load in each round, for each contender")
    parser.add_argument("--works", type=several(known), default=known, help=",".join(known))
    parser.add_argument("--contenders", type=several(["nginx", "gateway"]), default=["nginx", "gateway"])
    parser.add_argument("--json", type=Path, help="write every sample there, one JSON object a line")
    parser.add_argument("--keep", type=_new_folder, help="use this new folder for configuration and logs, and leave it")
    parser.add_argument("--gateway-command", default=GATEWAY_COMMAND, help="see README.md, Profiling")
    return parser


def _new_folder(text: str) -> Path:
    if Path(text).exists():
        raise argparse.ArgumentTypeError(f"{text} exists already")
    return Path(text).absolute()


def _leave(signum: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
