"""What this process may use, and what it must not do: cores, and no telemetry from any dependency."""

from __future__ import annotations

import os
from pathlib import Path

TELEMETRY_OFF = {
    "DO_NOT_TRACK": "true",
    "ORT_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def switch_off_telemetry() -> None:
    """Tell every dependency not to phone home; what the user has set stays."""
    for name, value in TELEMETRY_OFF.items():
        os.environ.setdefault(name, value)


def contain_caches(folder: Path) -> None:
    """Keep the caches of dependencies in `folder` rather than in the user's home; what the user has set stays."""
    os.environ.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))
    os.environ.setdefault("DVC_SITE_CACHE_DIR", str(folder / "dvc"))
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder / "torchinductor"))


def usable_cores() -> int:
    """Cores this process may really use: its affinity, and its cgroup's quota where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, round(int(quota) / int(period))))


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
