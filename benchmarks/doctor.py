"""Is the advice of `tidemill doctor train` as good as trying everything?

.venv/bin/python benchmarks/doctor.py [--quick] [--json FILE]

Projects that are bound by one thing are made of generated pictures. The doctor gives verdict and advice; then every
setting (all numbers of workers with all numbers of threads, streamed and cached) is clocked in interleaved rounds, the
advised one and the present one among them. The advised setting must be within 10 % of the best of all.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tidemill.process import limit_threads, usable_cores, wait_without_spinning

wait_without_spinning()
limit_threads()

# ruff: noqa: E402 - threads are limited before numeric libraries are imported
import numpy as np
from PIL import Image

from tidemill.project import data
from tidemill.project.data import open_for_task
from tidemill.project.layout import Layout
from tidemill.project.profiling import Session, profile_training, thrown_away
from tidemill.project.scaffold import init
from tidemill.stages.profile import Setting, rate

BAR = 0.9


class Case(NamedTuple):
    name: str
    verdict: str
    side: int  # of the pictures as files
    rows: int
    overrides: tuple[str, ...]


CASES = (
    Case(
        "large JPEGs, tiny network", "data-bound", 1000, 96,
        ("model.params.channels=4", "data.image.height=16", "data.image.width=16", "trainer.batch_size=8",
         "data.cache_gb=0", "data.workers=1"),
    ),
    Case(
        "small pictures, large network", "compute-bound", 32, 512,
        ("model.params.channels=64", "trainer.batch_size=32", "trainer.threads=1"),
    ),
)  # fmt: skip


class Quiet:
    def metrics(self, values: Mapping[str, float], step: int) -> None: ...

    def progress(self, done: int, total: int, note: str) -> None: ...


def project(case: Case, folder: Path) -> Layout:
    generator = np.random.default_rng(0)
    for split, rows in (("train", case.rows), ("val", 8), ("test", 8)):
        for row in range(rows):
            place = folder / "pictures" / split / ("a", "b")[row % 2]
            place.mkdir(parents=True, exist_ok=True)
            coarse = generator.integers(0, 256, (max(8, case.side // 8),) * 2 + (3,), np.uint8)
            file = io.BytesIO()
            Image.fromarray(coarse).resize((case.side, case.side)).save(file, "JPEG", quality=90)
            (place / f"{row:04}.jpg").write_bytes(file.getvalue())
    layout = init(folder / "project", name="bench", task="image", sample=None)
    data.add(layout, folder / "pictures", name="bench")
    return layout


def everything(streams: bool) -> list[Setting]:
    """All numbers of threads; where pictures are streamed with all numbers of workers, and with the cache."""
    cores = usable_cores()
    threads = [f"trainer.threads={number}" for number in range(1, cores + 1)]
    if not streams:
        return [Setting((each,), each) for each in threads]
    pairs = [
        (f"data.workers={workers}", each)
        for workers in range(cores + 1)
        for each in threads[: max(1, cores - workers)]
    ]  # fmt: skip
    cached = [("data.cache_gb=-1", each) for each in threads]
    return [Setting(each, " ".join(each)) for each in (*pairs, *cached)]


def clocked(
    case: Case, layout: Layout, settings: Sequence[Setting], *, rounds: int, seconds: float
) -> dict[Setting, list[float]]:
    """Steps per second of each setting in each of the interleaved rounds."""
    found = open_for_task(layout, "bench", "latest", "image")
    rates: dict[Setting, list[float]] = {each: [] for each in settings}
    with thrown_away(layout) as place:
        session = Session(layout, case.overrides, found, place, Quiet())
        try:
            for _ in range(rounds):
                for each in settings:
                    rates[each].append(rate(session.clocked(each, seconds)[1]))
        finally:
            session.close()
    return rates


def measure(case: Case, *, quick: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="tidemill-doctor-") as folder:
        layout = project(case, Path(folder))
        began = time.perf_counter()
        diagnosis = profile_training(layout, case.overrides, seconds=15 if quick else 30, report=Quiet())
        took = time.perf_counter() - began
        advised = diagnosis.best.setting if diagnosis.best else Setting((), "as it is")
        settings = everything("data.cache_gb=0" in case.overrides)
        same = [each for each in settings if set(each.overrides) == set(advised.overrides)]
        every = settings if same else [advised, *settings]
        rates = clocked(case, layout, every, rounds=2 if quick else 3, seconds=0.5 if quick else 1.5)
        mean = {each: statistics.median(seen) for each, seen in rates.items()}
        near = sorted(mean, key=lambda each: mean[each], reverse=True)[:3]  # what is close is clocked again, together
        mine = same[0] if same else advised
        finalists = list(dict.fromkeys([mine, *near]))
        final = clocked(case, layout, finalists, rounds=5 if quick else 9, seconds=0.8 if quick else 2.0)
    ratios = {
        each: statistics.median(one / other for one, other in zip(final[mine], seen, strict=True))
        for each, seen in final.items()
    }  # round by round: the machine is not always as busy
    best = min(ratios, key=lambda each: ratios[each])
    return {
        "verdict": diagnosis.verdict, "shares": diagnosis.shares, "seconds": took, "advice": list(advised.overrides),
        "advised": statistics.median(final[mine]), "best": statistics.median(final[best]),
        "best setting": list(best.overrides), "ratio": ratios[best],
        "tried": {each.what: rate for each, rate in mean.items()},
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="not used: the pictures are made here")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", help="part of a case's name")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"{usable_cores()} cores usable, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}")
    print(f"{'case':<30} {'verdict':<14} {'took':>6} {'advised':>8} {'best':>8} {'ratio':>6}  advice | best of all")
    results: dict[str, Any] = {}
    for case in CASES:
        if options.only not in case.name:
            continue
        found = results[case.name] = measure(case, quick=options.quick)
        good = found["verdict"] == case.verdict and found["ratio"] >= BAR
        print(
            f"{case.name:<30} {found['verdict']:<14} {found['seconds']:>5.0f}s {found['advised']:>8.2f} "
            f"{found['best']:>8.2f} {found['ratio']:>6.2f}  {' '.join(found['advice']) or 'none'} | "
            f"{' '.join(found['best setting'])}{'' if good else '  MISSED'}", flush=True,
        )  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))
    wanted = {case.name: case.verdict for case in CASES}
    return 0 if all(each["verdict"] == wanted[name] and each["ratio"] >= BAR for name, each in results.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
