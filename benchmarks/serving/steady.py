"""Latency at half of the top load, against that of one request at a time, with the floor of client and machine.

The top is wrk's. The rest comes from servers/pace.c, in the same rounds: one connection that asks again as soon as it
has its answer; requests evenly spaced at half of the top over all connections, counted from when each was due; and the
same two against a server in C that does nothing. What is compared is the median back to back: at a low pace (100 a
second, shown too) a request also wakes a machine that sleeps, so its median is higher and the bar would be easier.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.serving.bench import CONNECTIONS, Bench, verdict
from benchmarks.serving.models import rows_as_json
from benchmarks.serving.pace import Paced, compiler, nothing, pace
from benchmarks.serving.servers import logging_or_not, ours, peer_server, python_of
from benchmarks.serving.wrk import Load

BEST_PEER = "fastapi"


@dataclass(frozen=True)
class Round:
    """One server, and the server that does nothing at the same rate."""

    single: Paced
    slow: Paced
    half: Paced
    floor_single: Paced
    floor: Paced


def section_steady(bench: Bench) -> dict[str, Any]:
    print("\nsteady: latency of the table's model at half of its top load, against that of one request at a time (ms)")
    if not compiler():
        print("  needs a C compiler for the load:  apt-get install gcc libc6-dev")
        return {}
    print(
        f"  {'':<18}{'':>8} | {'at half of the top':>39} | {'one at a time':>19} | {'p99 at':>9} | a server that does\n"
        f"  {'':<18}{'top /s':>8} | {'p50':>12}{'p99':>7}{'p99.9':>7}{'client late':>13} | {'p50':>8}{'at 100 /s':>11}"
        f" | {'half/one':>9} | nothing: one, p99 at half"
    )
    found: dict[str, Any] = {}
    for name in ("tidemill", "tidemill, no log", BEST_PEER):
        if name == BEST_PEER and (name not in bench.peers or python_of(name) is None):
            print(f"  {name} is left out", file=sys.stderr)
            continue
        with server(bench, name) as url:
            found[name] = measured(bench, name, url)
    ratio = found["tidemill"]["ratio"]
    if found["tidemill"]["floor"] > 1:
        print("  too noisy to judge: a server that does nothing has a p99 of more than one whole request of Tidemill's")
    beside = f", {BEST_PEER}'s {found[BEST_PEER]['ratio']:.1f}" if BEST_PEER in found else ""
    verdict(f"p99 {ratio:.1f} times the latency of one request{beside} (bar 3)", ratio <= 3)
    return found


@contextmanager
def server(bench: Bench, name: str) -> Iterator[str]:
    """Where its predictions are asked for."""
    bundle = bench.bundle("table")
    if name == "tidemill":
        with ours(bundle, bench.place) as (base, model, _):
            yield f"{base}/v1/models/{model}:predict"
    elif name == BEST_PEER:
        python = python_of(name)
        assert python
        with peer_server(name, python, bundle / "model.onnx", "table", bench.place) as url:
            yield url
    else:
        with logging_or_not(bundle, bench.place, log=False) as (url, _):
            yield url


def measured(bench: Bench, name: str, url: str) -> dict[str, Any]:
    bodies = rows_as_json()
    top = bench.load(url, bodies, "application/json")
    with nothing(bench.place) as floor:
        rounds = [one_round(bench, url, floor, bodies, top.rate / 2) for _ in range(bench.rounds)]
    ratio = statistics.median(each.half.p99 / each.single.p50 for each in rounds)
    floor_ratio = statistics.median(each.floor.p99 / each.single.p50 for each in rounds)
    show(name, top, rounds, ratio)
    return {"top": top, "rounds": rounds, "ratio": ratio, "floor": floor_ratio}


def one_round(bench: Bench, url: str, floor: str, bodies: list[bytes], rate: float) -> Round:
    brief = max(1.0, bench.seconds / 4)
    return Round(
        single=pace(bench.place, url, bodies, rate=0, seconds=brief, connections=1),
        slow=pace(bench.place, url, bodies, rate=100, seconds=brief, connections=1),
        half=pace(bench.place, url, bodies, rate=rate, seconds=bench.seconds, connections=CONNECTIONS),
        floor_single=pace(bench.place, floor, bodies, rate=0, seconds=brief, connections=1),
        floor=pace(bench.place, floor, bodies, rate=rate, seconds=bench.seconds, connections=CONNECTIONS),
    )


def show(name: str, top: Load, rounds: list[Round], ratio: float) -> None:
    def middle(part: str, what: str) -> float:
        values: list[float] = [getattr(getattr(each, part), what) for each in rounds]
        return statistics.median(values)

    failed = top.failed + sum(each.half.failed + each.single.failed for each in rounds)
    print(
        f"  {name:<18}{top.rate:>8,.0f} | {middle('half', 'p50'):>12.3f}{middle('half', 'p99'):>7.2f}"
        f"{middle('half', 'p999'):>7.2f}{middle('half', 'late'):>13.4f} | {middle('single', 'p50'):>8.3f}"
        f"{middle('slow', 'p50'):>11.3f} | {ratio:>9.1f} | "
        f"{middle('floor_single', 'p50'):>12.3f}{middle('floor', 'p99'):>13.3f}"
        f"{f'  {failed} FAILED' if failed else ''}",
        flush=True,
    )
