"""What the prediction log costs: the same server with it and with a sink that forgets, in pairs."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.serving.bench import Bench, verdict
from benchmarks.serving.machine import sum_of
from benchmarks.serving.models import rows_as_json
from benchmarks.serving.servers import logging_or_not
from benchmarks.serving.wrk import Load, show


def section_log(bench: Bench) -> dict[str, Any]:
    """At least eight pairs, each of two new servers; which is first changes from pair to pair."""
    print("\nlog: the same server with its prediction log, and with a sink that forgets")
    pairs = [pair(bench, first=number % 2 == 0) for number in range(2 if bench.quick else max(8, bench.rounds))]
    for name in ("on", "off"):
        show(f"{name} (median)", sorted((each[name] for each in pairs), key=lambda load: load.rate)[len(pairs) // 2])
    ratios = sorted(each["on"].rate / each["off"].rate for each in pairs)
    on, off = (statistics.median(cpu_of_one(each[name]) for each in pairs) for name in ("on", "off"))
    cost = 100 * (1 - statistics.median(ratios))
    quarters = statistics.quantiles(ratios, method="inclusive")
    print(
        f"  on / off, {len(pairs)} pairs: median {statistics.median(ratios):.3f}, "
        f"middle half {quarters[0]:.3f} to {quarters[2]:.3f}, all {ratios[0]:.3f} to {ratios[-1]:.3f}"
    )
    print(f"  the serving process used {on:.1f} µs of CPU for a request with it, {off:.1f} without")
    verdict(f"the log costs {cost:.1f} % (bar 5)", cost <= 5)
    return {"pairs": pairs, "ratios": ratios}


def cpu_of_one(load: Load) -> float:
    """Microseconds of the serving process's CPU for one request; it is more where batches are smaller."""
    return 1e6 * sum(map(sum_of, load.servers[:1])) / load.rate


def pair(bench: Bench, *, first: bool) -> dict[str, Load]:
    """With the log on first, or last."""
    found = {}
    for log in (first, not first):
        with logging_or_not(bench.bundle("table"), bench.place, log=log) as (url, pid):
            load = bench.load(url, rows_as_json(), "application/json", rounds=1, server=pid)
            found["on" if log else "off"] = load
    return found
