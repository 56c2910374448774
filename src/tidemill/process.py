"""What this process may use, and what it must not do: cores, and no telemetry from any dependency."""

from __future__ import annotations

import functools
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
TELEMETRY_OFF = {
    "DO_NOT_TRACK": "true",
    "ORT_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def import_path() -> str:
    """PYTHONPATH for a process of our own that is to find Tidemill as this one does, wherever it was started."""
    return os.pathsep.join(each for each in sys.path if os.path.isabs(each))


def switch_off_telemetry() -> None:
    """Tell every dependency not to phone home; what the user has set stays."""
    for name, value in TELEMETRY_OFF.items():
        os.environ.setdefault(name, value)


def contain_caches(folder: Path) -> None:
    """Keep the caches of dependencies in `folder` rather than in the user's home; what the user has set stays."""
    os.environ.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))
    os.environ.setdefault("DVC_SITE_CACHE_DIR", str(folder / "dvc"))
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder / "torchinductor"))


def bound_decoders() -> None:
    """Let libjpeg refuse a picture whose passes take more than 100 MB before they are pixels; the user's limit stays.

    It reads the variable for each picture (jmemmgr.c); a JPEG of several passes is kept whole until the last one.
    """
    os.environ.setdefault("JPEGMEM", "100M")


def usable_cores() -> int:
    """Cores this process may really use: its affinity, and the quota of its cgroup where there is one, rounded down."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, int(min(cores, _quota() + 1e-6)))


@functools.cache
def _quota() -> float:
    """The least CPU quota, in cores, of this process's cgroup and those above it; infinite without one.

    Version 2 says "QUOTA PERIOD" or "max PERIOD" in cpu.max; version 1 has a file for each, and -1 for no limit.
    """
    quotas = [math.inf]
    for folder in _cgroups():
        try:
            if (both := folder / "cpu.max").is_file():
                quota, period = both.read_text().split()
            else:
                quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            quotas.append(float(quota) / float(period) if quota != "max" and float(quota) > 0 else math.inf)
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return min(quotas)


def _cgroups() -> Iterator[Path]:
    """The folders of this process's CPU cgroup and of those above it, as far as they can be seen from here."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = _CGROUPS / controllers if controllers else _CGROUPS
        own = root / path.strip("/")
        yield from (folder for folder in (own, *own.parents) if folder == root or root in folder.parents)


def training_threads(asked: int = 0, *, workers: int = 0) -> int:
    """Threads that compute beside `workers` processes: `asked`, or as many as there are; never more than the cores."""
    return max(1, min(asked or limit_threads(), usable_cores() - workers))


def wait_without_spinning() -> None:
    """Let OpenMP's threads sleep while they wait for each other; must come before the first numeric library.

    By default they spin for milliseconds: a little quicker on an idle machine, and up to a hundred times slower on one
    where somebody else holds a core, for every barrier then waits for a time slice. Here they spin for microseconds.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def limit_threads() -> int:
    """Set the thread variables that numeric libraries read at import, unless the user did; returns the number."""
    number = str(usable_cores())
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        number = os.environ.setdefault(name, number)
    return int(number) if number.isdigit() else usable_cores()
