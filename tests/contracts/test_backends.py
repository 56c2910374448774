"""Every backend file that is found keeps its port's contract; a new file without an entry here fails the first test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import tidemill.backends
from tidemill.backends.detectors.dependence import DependenceDetector
from tidemill.backends.detectors.mmd import MmdDetector
from tidemill.backends.detectors.univariate import UnivariateDetector
from tidemill.backends.ledgers.sql import SqlLedger
from tidemill.backends.logs.parquet import ParquetLog
from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.backends.trackers import tensorboard, wandb
from tidemill.backends.trackers.csv import CsvTracker
from tidemill.backends.trackers.mlflow import MlflowTracker
from tidemill.ports import Detector, Tracker
from tidemill.project.database import ensure_database
from tidemill.project.layout import Layout
from tidemill.testing.detectors import check_detector, sample
from tidemill.testing.ledgers import check_ledger
from tidemill.testing.logs import check_log
from tidemill.testing.trackers import check_tracker


def _mlflow(folder: Path) -> MlflowTracker:
    layout = Layout(folder)
    return MlflowTracker(
        ensure_database(layout), experiment="contract", artifacts=layout.artifacts, system_metrics=False
    )


TRACKERS: dict[str, Callable[[Path], Tracker]] = {
    "csv": lambda folder: CsvTracker(folder / "csv"),
    "mlflow": _mlflow,
    "tensorboard": lambda folder: tensorboard.open_tracker(folder / "tensorboard", "contract"),
    "wandb": lambda folder: wandb.open_tracker(folder / "wandb", "contract"),
}
DETECTORS: dict[str, Callable[[], Detector]] = {
    "dependence": DependenceDetector,
    "mmd": MmdDetector,
    "univariate": UnivariateDetector,
}


@pytest.mark.parametrize(
    ("port", "known"),
    [
        ("trackers", set(TRACKERS)),
        ("detectors", set(DETECTORS)),
        ("sinks", {"parquet"}),
        ("logs", {"parquet"}),
        ("ledgers", {"sql"}),
    ],
)
def test_every_file_of_a_port_is_held_to_its_contract(port: str, known: set[str]) -> None:
    folder = Path(tidemill.backends.__path__[0]) / port
    assert {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")} == known


@pytest.mark.parametrize("key", TRACKERS)
def test_trackers(key: str, tmp_path: Path) -> None:
    check_tracker(TRACKERS[key](tmp_path / "project"), tmp_path / "work")


@pytest.mark.parametrize("key", DETECTORS)
def test_detectors(key: str) -> None:
    check_detector(DETECTORS[key]())


def test_together_the_detectors_see_a_large_shift() -> None:
    found = [
        test.drifted
        for make in DETECTORS.values()
        for test in make().compare(sample(600, seed=1), sample(400, seed=2, shift=1.0), level=0.001, seed=3)
    ]
    assert any(found)


def test_sink_and_log(tmp_path: Path) -> None:
    check_log(lambda: ParquetSink(tmp_path / "log"), lambda: ParquetLog(tmp_path / "log"))


def test_ledger(tmp_path: Path) -> None:
    check_ledger(SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}"))
