"""Times the whole demo, several times, each in a fresh process and a fresh folder, and prints the table.

.venv/bin/python benchmarks/demo.py [RUNS]          # or: make benchmark
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 90.0


def once(folder: Path) -> tuple[float, dict[str, float]]:
    """Seconds of the whole command, and of each step as the demo itself clocked them."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "tidemill", "demo", "--dir", str(folder / "demo"), "--json"],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return time.perf_counter() - began, json.loads(done.stdout)["seconds"]


def main(runs: int) -> None:
    walls: list[float] = []
    steps: list[dict[str, float]] = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            wall, seconds = once(Path(folder))
        walls.append(wall)
        steps.append(seconds)
    cores = len(os.sched_getaffinity(0))
    print(f"tidemill demo, {runs} runs, {cores} cores, Python {platform.python_version()}, {platform.machine()}")
    print(f"{'step':<10} {'median s':>9} {'min':>7} {'max':>7}")
    for name in steps[0]:
        values = [seconds[name] for seconds in steps]
        print(f"{name:<10} {statistics.median(values):>9.1f} {min(values):>7.1f} {max(values):>7.1f}")
    print(f"{'whole':<10} {statistics.median(walls):>9.1f} {min(walls):>7.1f} {max(walls):>7.1f}   limit {LIMIT:.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
