"""What tracking adds to a job: the same jobs bare, under `tidemill run` with all lineage, and under MLflow's autolog.

.venv/bin/python benchmarks/tracking.py [--long] [--beside] [--quick] [--rounds N] [--only JOB] [--json FILE]

The jobs (benchmarks/jobs: scikit-learn, Lightning, Hugging Face) run in turn, each round beginning with another,
each in a process of its own in one folder whose databases exist; medians of the differences to the bare run
of the same round.
The short form takes seconds a job, `--long` about three minutes. MLflow logs no models here (it takes half a minute to
find out their requirements), and in its form transformers' Trainer is told to report to it: mlflow.autolog does not
listen there. Bars: at most 1 s of wall time added to a short job, at most 0.5 % to a long one, no line added.

A machine may be a tenth faster or slower for minutes, which is more than what a long job is asked for. With `--beside`
a bare job runs at the same time as the other, each on half of the cores, and they change sides after each round.

Wall times of a busy machine are noise of several percent, so more figures are given: `least` is the least time under
tidemill less the least bare; `outside` is the wall time
that tidemill takes before the script starts and after it ended (its whole time less the script's own, as it clocked
it), and `cpu` is the processor time of the whole process tree that is added. Both hardly depend on who else is at work;
`bound` is outside plus added cpu spread over the cores: what it costs a job that leaves no core idle.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

JOBS = {"sklearn": (2, 800), "lightning": (2, 850), "huggingface": (4, 320)}  # size of the short and of the long form
MLFLOW_LINES = 'import mlflow\nmlflow.set_tracking_uri("sqlite:///mlflow.db")\nmlflow.autolog(log_models=False)\n'
SECONDS_SHORT, PERCENT_LONG = 1.0, 0.5
HERE = Path(__file__).parent / "jobs"


@dataclass(frozen=True)
class Cost:
    """Of one run: wall and processor seconds, and for tidemill the wall time outside of the script."""

    wall: float
    cpu: float
    outside: float = 0.0


@dataclass(frozen=True)
class Row:
    """Medians of one job. Seconds, except where a name says percent."""

    job: str
    bare: float
    tidemill_added: float
    tidemill_percent: float
    least: float
    outside: float
    tidemill_cpu: float
    bound: float
    bound_percent: float
    mlflow_added: float
    mlflow_cpu: float


def clock(command: list[str], folder: Path) -> Cost:
    """Run once; the processor time is that of the command and all it waited for."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment()
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{said.decode(errors='replace')[-2000:]}")
    return Cost(wall, used.ru_utime + used.ru_stime)


def environment() -> dict[str, str]:
    """The same two threads for all, which do not spin while they wait: on a busy machine that is half of the noise."""
    threads = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}
    return {**threads, **os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}


def tidemill(job: list[str], folder: Path) -> Cost:
    at = job.index(sys.executable)  # before it stands on which cores
    cost = clock([*job[:at], sys.executable, "-m", "tidemill", "run", "--", *job[at:]], folder)
    show = [sys.executable, "-m", "tidemill", "run", "--show", "last", "--json"]
    shown = json.loads(subprocess.run(show, cwd=folder, check=True, capture_output=True, env=environment()).stdout)
    return Cost(cost.wall, cost.cpu, cost.wall - shown["captured"]["seconds"])


Run = Callable[[list[str], Path], Cost]
Pair = tuple[Cost, Cost]
"""A bare run, and the other that it is compared with."""


def measure(job: str, size: int, rounds: int, folder: Path, *, beside: bool) -> Row:
    bare, mlflow = written(job, folder)
    for first in (bare, mlflow):  # files in the page cache, databases made
        clock([*first, "1"], folder)
    tidemill([*bare, "1"], folder)
    alone = Path(shutil.copytree(folder, folder / "alone")) if beside else folder
    bare, mlflow = [*bare, str(size)], [*mlflow, str(size)]
    ours: list[Pair] = []
    theirs: list[Pair] = []
    for number in range(rounds):
        if beside:
            ours.append(at_once((clock, bare, alone), (tidemill, bare, folder), swapped=bool(number % 2)))
            theirs.append(at_once((clock, bare, alone), (clock, mlflow, folder), swapped=bool(number % 2)))
        else:
            one, two, three = in_turn([(clock, bare), (tidemill, bare), (clock, mlflow)], number, folder)
            ours.append((one, two))
            theirs.append((one, three))
        told = [each.wall for each in (*ours[-1], *theirs[-1])]
        print(f"  {job} round {number + 1} of {rounds}: " + ", ".join(f"{each:.2f}" for each in told), file=sys.stderr)
    return row_of(job, ours, theirs)


def written(job: str, folder: Path) -> tuple[list[str], list[str]]:
    """The job's script in `folder`, bare and with MLflow's lines: the commands, but for the size."""
    script, with_lines = f"{job}_job.py", f"{job}_mlflow.py"
    shutil.copy(HERE / script, folder)
    text = (HERE / script).read_text()
    head = text.index("import argparse")
    told = text[head:].replace('report_to="none"', 'report_to="mlflow"')  # transformers' Trainer logs where it is told
    (folder / with_lines).write_text(text[:head] + MLFLOW_LINES + told)
    return [sys.executable, script, "--size"], [sys.executable, with_lines, "--size"]


def in_turn(turns: list[tuple[Run, list[str]]], number: int, folder: Path) -> list[Cost]:
    """Each once; which is the first changes with the round: a machine that grows slower is no one's fault."""
    done: dict[int, Cost] = {}
    for place in range(number, number + len(turns)):
        at = place % len(turns)
        run, command = turns[at]
        done[at] = run(command, folder)
    return [done[at] for at in range(len(turns))]


def at_once(one: tuple[Run, list[str], Path], two: tuple[Run, list[str], Path], *, swapped: bool) -> Pair:
    """Both at the same time, each on half of the cores."""
    cores = sorted(os.sched_getaffinity(0))
    halves = [cores[: len(cores) // 2], cores[len(cores) // 2 :]]
    if swapped:
        halves.reverse()
    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(run, ["taskset", "-c", ",".join(map(str, half)), *command], folder)
            for half, (run, command, folder) in zip(halves, (one, two), strict=True)
        ]
        return runs[0].result(), runs[1].result()


def row_of(job: str, ours: list[Pair], theirs: list[Pair]) -> Row:
    """The medians."""
    middle = statistics.median
    wall = middle(bare.wall for bare, _ in ours)
    added = middle(run.wall - bare.wall for bare, run in ours)
    cpu = middle(run.cpu - bare.cpu for bare, run in ours)
    outside = middle(run.outside for _, run in ours)
    least = min(run.wall for _, run in ours) - min(bare.wall for bare, _ in ours)
    bound = outside + max(0.0, cpu) / len(os.sched_getaffinity(0))
    return Row(
        job, wall, added, 100 * added / wall, least, outside, cpu, bound, 100 * bound / wall,
        middle(run.wall - bare.wall for bare, run in theirs),
        middle(run.cpu - bare.cpu for bare, run in theirs),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--long", action="store_true", help="jobs of about three minutes")
    parser.add_argument("--beside", action="store_true", help="at the same time as a bare run, not in turn")
    parser.add_argument("--quick", action="store_true", help="two rounds of the short form")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--only", choices=sorted(JOBS))
    parser.add_argument("--data", help="not needed: the jobs bring their data")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rounds = given.rounds or (2 if given.quick else 3 if given.long else 7)
    names = ("mlflow", "scikit-learn", "lightning", "transformers", "accelerate")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    form = f"{'long' if given.long else 'short'} form, {'beside' if given.beside else 'in turn'}, {rounds} rounds"
    print(f"{len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}, {versions}; {form}")
    rows = []
    for job, sizes in JOBS.items():
        if given.only in (None, job):
            with tempfile.TemporaryDirectory() as folder:
                rows.append(measure(job, sizes[given.long], rounds, Path(folder), beside=given.beside))
    head = ("bare", "tidemill", "", "least", "outside", "cpu", "bound", "", "| mlflow", "cpu")
    print(f"\n{'':<12}" + "".join(f"{word:>10}" for word in head))
    for row in rows:
        figures = (
            f"{row.bare:.2f}s", f"{row.tidemill_added:+.2f}s", f"{row.tidemill_percent:+.2f}%",
            f"{row.least:+.2f}s", f"{row.outside:.2f}s",
            f"{row.tidemill_cpu:+.2f}s", f"{row.bound:.2f}s", f"{row.bound_percent:.2f}%",
            f"| {row.mlflow_added:+.2f}s", f"{row.mlflow_cpu:+.2f}s",
        )  # fmt: skip
        print(f"{row.job:<12}" + "".join(f"{figure:>10}" for figure in figures))
    print(f"lines added  tidemill 0, mlflow {MLFLOW_LINES.count(chr(10))}")
    held = [row.tidemill_percent <= PERCENT_LONG if given.long else row.tidemill_added <= SECONDS_SHORT for row in rows]
    bar = f"at most {PERCENT_LONG} %" if given.long else f"at most {SECONDS_SHORT} s"
    print(f"bar: {bar} added by tidemill: {'held' if all(held) else 'NOT held'}")
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))


if __name__ == "__main__":
    main()
