"""Who gets which CPU, and how much of it each process used."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

THREADS = 2
_USABLE = sorted(os.sched_getaffinity(0))
APART = len(_USABLE) >= 3
CLIENT_CPUS = frozenset(_USABLE[-1:] if APART else _USABLE)
SERVER_CPUS = frozenset(_USABLE[:-1] if APART else _USABLE)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Share:
    """Of one core, by a process, over a time: 1.0 is all of it."""

    user: float
    system: float

    def __str__(self) -> str:
        return f"{100 * self.user:.0f}+{100 * self.system:.0f} %"


def described() -> str:
    """The machine in one line, and who runs where."""
    apart = f"load from CPU {_listed(CLIENT_CPUS)}, servers on {_listed(SERVER_CPUS)}"
    mixed = "load and servers share the CPUs, so that each takes from the other (to part them takes three)"
    cores = f"{len(_USABLE)} cores, {platform.machine()}, Python {platform.python_version()}"
    return f"{cores}; {apart if APART else mixed}"


def _listed(cpus: frozenset[int]) -> str:
    return ",".join(map(str, sorted(cpus)))


@contextmanager
def confined(cpus: frozenset[int]) -> Iterator[None]:
    """Processes that are started in the block stay on these CPUs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": str(THREADS), "PYTHONWARNINGS": "ignore"}


def seconds_used(pid: int) -> dict[int, tuple[float, float]]:
    """User and system seconds so far, of a process and all below it, by process id."""
    parents, used = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
        used[int(path.parent.name)] = (int(fields[11]) / _TICKS, int(fields[12]) / _TICKS)
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return {member: used[member] for member in family & used.keys()}


def shares(
    before: dict[int, tuple[float, float]], after: dict[int, tuple[float, float]], seconds: float
) -> tuple[Share, ...]:
    """Of the processes that lived through it and used one hundredth of a core, the busiest first."""
    both = [
        Share((after[pid][0] - before[pid][0]) / seconds, (after[pid][1] - before[pid][1]) / seconds)
        for pid in before.keys() & after.keys()
    ]
    return tuple(sorted((each for each in both if sum_of(each) >= 0.01), key=sum_of, reverse=True))


def sum_of(share: Share) -> float:
    return share.user + share.system


def resident(pid: int) -> float:
    """Megabytes of the process and its children."""
    kilobytes = 0
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
        except OSError:
            continue
        if int(fields["Pid"]) == pid or int(fields["PPid"]) == pid:
            kilobytes += int(fields.get("VmRSS", "0 kB").split()[0])
    return kilobytes / 1000
