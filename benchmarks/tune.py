"""What a search costs, what it finds, and what pruning saves.

    .venv/bin/python benchmarks/tune.py --data FOLDER [--quick] [--json FILE]      # or TIDEMILL_DATA

FOLDER holds taxi_green/green_tripdata_2021-0{1,2,3}.parquet: 2021-01 to train, 2021-02 to validate, 2021-03 to test;
trips of 1 to 60 minutes; PULocationID, DOLocationID and trip distance. Without it only the first and the last part run,
on a table that scikit-learn carries.

- overhead: seconds of a trial beyond its training: a search of short trials against bare xgboost.train with the same
  settings on matrices that are ready, in the same process order; bar 0.3 s. Workers are up before the clock starts.
- best: trials until the validation RMSE is below 6.30, the best that the source found by hyperopt, and copied by hand,
  with early stopping on the same month; bar 50. The source judges on the month that it tunes on, and so does this
  part; beside it stands the error of the same model on 2021-03, which nothing has seen.
- pruned: training time until the search with asha has a value as good as the best that the same search without pruning
  finds, against all of the training time of that one; bar 0.5; median over seeds. Both draw the same settings,
  so that only pruning differs. The learning rate is the same for all: pruning compares trials at the same tree, and
  where the rate is swept a slow one that would have won in the end is behind there (then the best is often pruned).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import xgboost

from tidemill.process import limit_threads, usable_cores
from tidemill.project import data
from tidemill.project.layout import Layout
from tidemill.project.scaffold import init
from tidemill.project.searching.tune import Begun, tune
from tidemill.stages.search.loop import Ended, Training

MONTHS = {"train": "2021-01", "val": "2021-02", "test": "2021-03"}
SOURCE = 6.30
FIXED = ("search.register=false", "search.workers=1")


@dataclass
class Clock:
    """A watcher that notes when the first trial began and when each ended."""

    began_at: float = 0.0
    ends: list[tuple[float, Ended]] = field(default_factory=list)

    def __call__(self, begun: Begun) -> Clock:
        return self

    def began(self, training: Training) -> None:
        self.began_at = self.began_at or time.monotonic()

    def measured(self, training: Training, metrics: Mapping[str, float], step: int) -> None: ...

    def ended(self, ended: Ended) -> None:
        self.ends.append((time.monotonic(), ended))


def taxi(source: Path, folder: Path, rows: int | None = None) -> Layout:
    """A project with the three months as one data version; at most `rows` rows of each."""
    raw = folder / "raw"
    raw.mkdir(parents=True)
    for split, month in MONTHS.items():
        table = pd.read_parquet(source / f"green_tripdata_{month}.parquet")
        minutes = (table.lpep_dropoff_datetime - table.lpep_pickup_datetime).dt.total_seconds() / 60
        kept = pd.DataFrame({
            "PULocationID": table.PULocationID.astype(str), "DOLocationID": table.DOLocationID.astype(str),
            "trip_distance": table.trip_distance.astype(float), "duration": minutes,
        })[(minutes >= 1) & (minutes <= 60)]  # fmt: skip
        kept = kept if rows is None else kept.sample(min(rows, len(kept)), random_state=0)
        kept.to_parquet(raw / f"{split}.parquet")
    layout = init(folder / "project", name="taxi", task="tabular", sample=None)
    data.add(layout, raw, name="taxi", target="duration", kind="regression")
    return layout


def overhead(layout: Layout, trials: int) -> dict[str, Any]:
    """Searches of short trials, each followed by the same trainings bare: twice, for the machine may be busy."""
    trees = 40
    # The pruner is asked at every report, but ends nothing: what is trained is the same on both sides.
    arguments = [f"model.params.trees={trees}", "model.params.patience=0", "search.pruner=median",
                 "search.min_steps=99", f"search.trials={trials}", "model.params.depth=range(3,9)",
                 "model.params.learning_rate=interval(0.05,0.5)", *FIXED]  # fmt: skip
    searched = fitted = bare = around = 0.0
    for seed in range(2):
        clock, began = Clock(), time.monotonic()
        tuned = tune(layout, [*arguments, f"search.seed={seed}"], watch=clock, study=f"overhead-{seed}")
        whole, took = time.monotonic() - began, clock.ends[-1][0] - clock.began_at
        assert {each.state for each in tuned.found.trials} == {"complete"}
        searched, around = searched + took, around + whole - took
        fitted += sum(each.seconds or 0.0 for each in tuned.found.trials)
        bare += _bare(layout, [each.settings for each in tuned.found.trials], trees)
    between, beyond = (searched - fitted) / (2 * trials), (searched - bare) / (2 * trials)
    return {"trials": 2 * trials, "searched_s": searched, "fitted_s": fitted, "bare_s": bare, "between_s": between,
            "overhead_s": beyond, "held": max(between, beyond) <= 0.3, "bar_s": 0.3,
            "around_s": around / 2}  # fmt: skip


def _bare(layout: Layout, runs: list[dict[str, Any]], trees: int) -> float:
    from tidemill.backends.families.tables.ready import make_ready
    from tidemill.project.configuration import config
    from tidemill.project.data import open_for_task

    settings = config(layout)
    parts = make_ready(open_for_task(layout, settings.data.name, "latest", "tabular"), {}).parts
    params = settings.model.params
    began = time.monotonic()
    for tried in runs:
        booster = {
            "objective": "reg:squarederror", "eval_metric": "rmse", "max_depth": tried["model.params.depth"],
            "eta": tried["model.params.learning_rate"], "subsample": params["subsample"],
            "colsample_bytree": params["column_sample"], "min_child_weight": params["min_child_weight"],
            "lambda": params["l2"], "seed": 42, "nthread": limit_threads(), "tree_method": "hist", "verbosity": 0,
        }  # fmt: skip
        evals = [(parts["train"].matrix, "train"), (parts["val"].matrix, "val")]
        xgboost.train(booster, parts["train"].matrix, trees, evals=evals, verbose_eval=False)
    return time.monotonic() - began


def best(layout: Layout, seed: int, trials: int, *, until: bool) -> dict[str, Any]:
    """The search in the space of conf/search/xgboost.yaml; the best model's error on a month that nothing has seen."""
    arguments = ["search=xgboost", "model.params.trees=1000", "model.params.patience=50", "search.pruner=asha",
                 f"search.trials={trials}", f"search.seed={seed}", "search.workers=1"]  # fmt: skip
    arguments += [f"search.target={SOURCE - 0.005}"] if until else []
    began = time.monotonic()
    tuned = tune(layout, arguments, study=f"best-{seed}-{until}")
    found = [each for each in tuned.found.trials if each.state == "complete"]
    first = next((each.number + 1 for each in found if each.values[0] < SOURCE), None)
    assert tuned.trained is not None
    value = tuned.found.best[0].values[0]
    return {"seed": seed, "trials": len(tuned.found.trials), "first_below": first, "best_val_rmse": value,
            "test_rmse": tuned.trained.evaluation.metrics["rmse"], "seconds": time.monotonic() - began,
            "held": first is not None and first <= 50}  # fmt: skip


def pruned(layout: Layout, seed: int, trials: int) -> dict[str, Any]:
    """Training time of the pruned search until it is as good, over that of the whole unpruned one."""
    space = [
        "search=xgboost",
        "model.params.learning_rate=0.1",
        "search.sampler=random",
        "model.params.trees=200",
        "model.params.patience=0",
        f"search.seed={seed}",
        *FIXED,
    ]
    full = tune(layout, [*space, f"search.trials={trials}", "search.pruner=none"], study=f"full-{seed}").found
    goal = full.best[0].values[0]
    metric = full.metrics[0]
    quick = tune(
        layout, [*space, f"search.trials={6 * trials}", "search.pruner=asha", f"search.target={goal!r}"],
        study=f"pruned-{seed}",
    )  # fmt: skip
    spent, whole = (sum(each.seconds or 0.0 for each in found.trials) for found in (quick.found, full))
    reached = quick.ended == "target"
    return {"seed": seed, "metric": metric, "goal": goal, "unpruned_s": whole, "pruned_s": spent, "trials": trials,
            "pruned_trials": len(quick.found.trials), "ratio": spent / whole if reached else float("inf")}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TIDEMILL_DATA"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer trials and seeds")
    parser.add_argument("--only", choices=("overhead", "best", "pruned"))
    given = parser.parse_args()
    limit_threads()
    source = Path(given.data) / "taxi_green" if given.data else None
    files = [source / f"green_tripdata_{each}.parquet" for each in MONTHS.values()] if source else []
    there = bool(files) and all(each.is_file() for each in files)
    versions = f"xgboost {xgboost.__version__}, optuna {optuna.__version__}, numpy {np.__version__}"
    print(f"{usable_cores()} cores, Python {platform.python_version()}, {platform.machine()}, {versions}")
    answer: dict[str, Any] = {}
    parts = (given.only,) if given.only else ("overhead", "best", "pruned")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if there:
            assert source is not None
            small = taxi(source, folder / "small", 4_000)
        else:
            print("no taxi months: give --data FOLDER; only overhead and pruned run, on scikit-learn's diabetes")
            small = init(folder / "diabetes", name="diabetes", task="tabular", sample="diabetes")
        if "overhead" in parts:
            answer["overhead"] = _print_overhead(overhead(small, 10 if given.quick else 25))
        if "best" in parts and there:
            assert source is not None
            answer["best"] = _print_best(taxi(source, folder / "whole"), quick=given.quick)
        if "pruned" in parts:
            runs = [pruned(small, seed, 15 if given.quick else 40) for seed in range(1 if given.quick else 3)]
            answer["pruned"] = _print_pruned(runs)
    if given.json:
        given.json.write_text(json.dumps(answer, indent=2))


def _print_overhead(found: dict[str, Any]) -> dict[str, Any]:
    print(f"\noverhead of a trial beyond its training, {found['trials']} trials of 40 trees")
    fitted, bare = found["fitted_s"], found["bare_s"]
    print(f"  searching {found['searched_s']:.1f} s; training in it {fitted:.1f} s, the same bare {bare:.1f} s")
    print(f"  a trial: {found['between_s']:.3f} s beyond its own training, {found['overhead_s']:.3f} s beyond the bare")
    print(f"  bar 0.3   {'held' if found['held'] else 'NOT HELD'}")
    print(f"  once, beside: {found['around_s']:.1f} s to compose, start a worker, and write the page")
    return found


def _print_best(layout: Layout, *, quick: bool) -> list[dict[str, Any]]:
    print("\nXGBoost on taxi, validated on 2021-02 as the source does; bar: below 6.30 within 50 trials")
    print(f"{'seed':>6} {'trials':>7} {'first below':>12} {'best val':>9} {'2021-03':>8} {'s':>6}")
    runs = []
    plans = [(seed, 50, True) for seed in range(1 if quick else 3)] + ([] if quick else [(0, 50, False)])
    for seed, trials, until in plans:
        each = best(layout, seed, trials, until=until)
        runs.append(each)
        print(f"{seed:>6} {each['trials']:>7} {each['first_below']!s:>12} {each['best_val_rmse']:>9.4f} "
              f"{each['test_rmse']:>8.4f} {each['seconds']:>6.0f}   {'held' if each['held'] else 'NOT HELD'}"
              f"{'' if until else ', all 50 trials'}")  # fmt: skip
    return runs


def _print_pruned(runs: list[dict[str, Any]]) -> dict[str, Any]:
    print(f"\ntraining time until as good as the unpruned search's best ({runs[0]['metric']}, asha)")
    print(f"{'seed':>6} {'goal':>8} {'unpruned':>15} {'pruned':>15} {'ratio':>6}")
    for each in runs:
        print(f"{each['seed']:>6} {each['goal']:>8.4f} {each['unpruned_s']:>7.1f} s in {each['trials']:<3} "
              f"{each['pruned_s']:>7.1f} s in {each['pruned_trials']:<3} {each['ratio']:>6.2f}")  # fmt: skip
    ratio = statistics.median(each["ratio"] for each in runs)
    print(f"  median {ratio:.2f}   bar 0.5   {'held' if ratio <= 0.5 else 'NOT HELD'}")
    return {"runs": runs, "median": ratio, "bar": 0.5, "held": ratio <= 0.5}


if __name__ == "__main__":
    main()
