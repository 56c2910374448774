"""How many cores a process may really use: its affinity, and the quota of its cgroup."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidemill.process import training_threads, usable_cores

_ASK = "from tidemill.process import limit_threads, usable_cores; print(usable_cores(), limit_threads())"


def asked(prefix: str = "", environment: dict[str, str] | None = None) -> tuple[int, int]:
    """What a fresh process answers; `prefix` is what it does first."""
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    said = subprocess.run(
        [sys.executable, "-c", prefix + _ASK],
        capture_output=True,
        text=True,
        check=True,
        env=clean | (environment or {}),
    )
    cores, threads = map(int, said.stdout.split())
    return cores, threads


def test_affinity_counts() -> None:
    one = min(os.sched_getaffinity(0))
    assert asked(f"import os; os.sched_setaffinity(0, {{{one}}});") == (1, 1)


def test_what_the_user_says_of_threads_stays() -> None:
    assert asked(environment={"OMP_NUM_THREADS": "1"})[1] == 1


@pytest.fixture
def quota() -> Iterator[Path]:
    """A CPU cgroup of its own with a quota of 1.5 cores, by either version."""
    root = Path("/sys/fs/cgroup")
    parent = root / "cpu" if (root / "cpu").is_dir() else root
    group = parent / f"tidemill-test-{uuid.uuid4().hex[:8]}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no cgroup can be made here")
    try:
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text("150000 100000")
        elif (group / "cpu.cfs_quota_us").exists():
            (group / "cpu.cfs_quota_us").write_text("150000")
        else:
            pytest.skip("cgroups here have no CPU quota")
        yield group
    finally:
        group.rmdir()


def test_a_quota_counts_rounded_down_also_from_above(quota: Path) -> None:
    enter = "open({!r}, 'w').write('0');"
    assert asked(enter.format(str(quota / "cgroup.procs")))[0] == 1
    below = quota / "below"
    below.mkdir()
    try:
        assert asked(enter.format(str(below / "cgroup.procs")))[0] == 1
    finally:
        below.rmdir()


def test_threads_and_workers_share_the_cores() -> None:
    cores = usable_cores()
    assert training_threads(1000) == cores
    assert training_threads(workers=cores) == 1
    for workers in range(cores):
        assert training_threads(1000, workers=workers) + workers <= cores
