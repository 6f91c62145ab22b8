"""CPU time and memory of a process and all its descendants, as the kernel counts them."""

import os
from pathlib import Path

import msgspec

_PROC = Path("/proc")
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class Stat(msgspec.Struct, frozen=True):
    """The fields of /proc/PID/stat that matter here."""

    state: str
    parent: int
    cpu_ticks: int
    started_ticks: int


class Memory(msgspec.Struct, frozen=True):
    """Resident memory; `pss` shares a page among the processes that map it."""

    rss_kib: int
    pss_kib: int


class CpuTime(msgspec.Struct, frozen=True):
    """CPU time by (process, thread), and in whole ticks by process."""

    thread_ns: dict[tuple[int, int], int]
    process_ticks: dict[int, int]

    def ns_since(self, before: "CpuTime") -> int:
        """Nanoseconds run since `before`; who is new counts whole, who is gone counts no more."""
        return sum(ns - before.thread_ns.get(key, 0) for key, ns in self.thread_ns.items())

    def tick_ns_since(self, before: "CpuTime") -> int:
        """The same by utime and stime: coarse (10 ms), but threads that ended are in it."""
        ticks = sum(ticks - before.process_ticks.get(pid, 0) for pid, ticks in self.process_ticks.items())
        return ticks * _TICK_NS


def parse_stat(text: str) -> Stat:
    """One line of /proc/PID/stat; the command in parentheses may hold anything, also parentheses."""
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(
        state=fields[0],
        parent=int(fields[1]),
        cpu_ticks=int(fields[11]) + int(fields[12]),
        started_ticks=int(fields[19]),
    )


def parse_schedstat(text: str) -> int:
    """Nanoseconds on a CPU: the first of the three numbers of /proc/PID/task/TID/schedstat."""
    return int(text.split(maxsplit=1)[0])


def parse_smaps_rollup(text: str) -> Memory:
    """Rss and Pss of /proc/PID/smaps_rollup."""
    kib = {
        name: int(value.split()[0])
        for name, _, value in (line.partition(":") for line in text.splitlines())
        if name in {"Rss", "Pss"}
    }
    return Memory(rss_kib=kib["Rss"], pss_kib=kib["Pss"])


class Core(msgspec.Struct, frozen=True):
    """Time since the machine started that a core was at work, and that the host gave to others meanwhile."""

    busy_ns: int
    stolen_ns: int


def parse_core(text: str, core: int) -> Core:
    """One core's line of /proc/stat."""
    for line in text.splitlines():
        name, *values = line.split()
        if name == f"cpu{core}":
            ticks = [int(value) for value in values[:8]]
            _, _, _, idle, iowait, _, _, stolen = ticks
            busy = sum(ticks) - idle - iowait - stolen
            return Core(busy_ns=busy * _TICK_NS, stolen_ns=stolen * _TICK_NS)
    raise LookupError(f"no core {core} in /proc/stat")


def descendants(root: int, parents: dict[int, int]) -> list[int]:
    """`root` and everyone below it, given each process's parent."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def stat_of(pid: int) -> Stat | None:
    """A process's stat, or None when it is gone."""
    try:
        return parse_stat((_PROC / str(pid) / "stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None


def lives(pid: int, started_ticks: int) -> bool:
    """Whether that very process still runs: its id was not taken by another, and it is not a body to be buried."""
    stat = stat_of(pid)
    return stat is not None and stat.started_ticks == started_ticks and stat.state not in {"Z", "X"}


def tree(root: int) -> list[int]:
    """`root` and its descendants that live now."""
    stats = {int(entry.name): stat_of(int(entry.name)) for entry in _PROC.iterdir() if entry.name.isdigit()}
    return descendants(root, {pid: stat.parent for pid, stat in stats.items() if stat})


def cpu_time(root: int) -> CpuTime:
    """CPU time of the tree under `root` up to now."""
    thread_ns: dict[tuple[int, int], int] = {}
    process_ticks: dict[int, int] = {}
    for pid in tree(root):
        stat = stat_of(pid)
        if stat is None:
            continue
        process_ticks[pid] = stat.cpu_ticks
        for task in (_PROC / str(pid) / "task").iterdir():
            try:
                thread_ns[pid, int(task.name)] = parse_schedstat((task / "schedstat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue
    return CpuTime(thread_ns=thread_ns, process_ticks=process_ticks)


def memory(root: int) -> Memory:
    """Resident memory of the tree under `root`."""
    parts = [parse_smaps_rollup((_PROC / str(pid) / "smaps_rollup").read_text()) for pid in tree(root)]
    return Memory(rss_kib=sum(part.rss_kib for part in parts), pss_kib=sum(part.pss_kib for part in parts))


def core(number: int) -> Core:
    """How a core has spent its time."""
    return parse_core((_PROC / "stat").read_text(), number)
