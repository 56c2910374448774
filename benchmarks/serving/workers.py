"""Two processes that answer beside one, in turns, and what each of them and wrk took of the CPU."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.serving.bench import Bench, verdict
from benchmarks.serving.machine import SERVER_CPUS, sum_of
from benchmarks.serving.models import rows_as_json
from benchmarks.serving.servers import ours
from benchmarks.serving.wrk import Load, show


def section_workers(bench: Bench) -> dict[str, Any]:
    """One, two, one, two …, each a new server; at least five pairs."""
    print("\nworkers: the table's model by one process and by two (CPU: user + system, of a core)")
    pairs = [(loaded(bench, 1), loaded(bench, 2)) for _ in range(1 if bench.quick else max(5, bench.rounds))]
    for one, two in pairs:
        for name, load in (("one", one), ("two", two)):
            show(name, load)
            print(f"  {'':<22}its CPU {', '.join(map(str, load.servers))}")
    ratios = sorted(two.rate / one.rate for one, two in pairs)
    ratio = statistics.median(ratios)
    busy = statistics.median(sum_of(two.client) for _, two in pairs)
    if busy >= 0.9:
        print(f"  with two, wrk used {100 * busy:.0f} % of a core: it may be wrk that cannot do more, not the workers")
    if len(SERVER_CPUS) < 3:
        print(f"  the workers had {len(SERVER_CPUS)} CPUs; the bar asks for three")
    verdict(f"two are {ratio:.2f} times one, {ratios[0]:.2f} to {ratios[-1]:.2f} (bar 1.6)", ratio >= 1.6)
    return {"pairs": pairs, "ratios": ratios}


def loaded(bench: Bench, workers: int) -> Load:
    with ours(bench.bundle("table"), bench.place, "--workers", str(workers)) as (base, name, pid):
        url = f"{base}/v1/models/{name}:predict"
        return bench.load(url, rows_as_json(), "application/json", rounds=1, server=pid)
