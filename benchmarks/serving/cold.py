"""From the command to ready, and what it takes in memory and on disk."""

from __future__ import annotations

import statistics
import time
from typing import Any

from benchmarks.serving.bench import Bench, verdict
from benchmarks.serving.machine import resident
from benchmarks.serving.servers import ours


def section_cold(bench: Bench) -> dict[str, Any]:
    print("\ncold: from the command to ready, and memory, with the image model")
    bundle = bench.bundle("image")
    seconds, memory = [], 0.0
    for _ in range(max(5, bench.rounds)):
        began = time.perf_counter()
        with ours(bundle, bench.place) as (_, _, pid):
            seconds.append(time.perf_counter() - began)
            memory = resident(pid)
    size = sum(path.stat().st_size for path in bundle.rglob("*")) / 1e6
    middle = statistics.median(seconds)
    print(f"  {middle:.2f} s to ready, {memory:.0f} MB resident, a bundle of {size:.1f} MB")
    verdict("at most 1.0 s and 200 MB", middle <= 1.0 and memory <= 200)
    return {"seconds": seconds, "resident_mb": memory}
