"""A small project that really went round: data, training, promotion, traffic, labels. Built once a process."""

from __future__ import annotations

import atexit
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.bundle.preprocess import canonical_input
from tidemill.domain.digest import Digest
from tidemill.domain.prediction import Prediction, new_prediction_id
from tidemill.domain.record import now
from tidemill.domain.registry import ModelVersion
from tidemill.project import data, models, scaffold, serving, training
from tidemill.project.layout import Layout

NAME = "flowers"
CENTRES = {"aster": (0.0, 0.0), "beech": (4.0, 0.0), "cedar": (0.0, 4.0)}
SETTINGS = ("trainer.max_epochs=4", "logger.system_metrics=false")
Row = dict[str, float]


def rows(label: str, number: int, *, seed: int, shift: float = 0.0) -> list[Row]:
    drawn = np.random.default_rng([seed, *label.encode()]).normal(CENTRES[label], 0.8, (number, 2)) + shift
    return [{"x": float(x), "y": float(y)} for x, y in drawn.round(4)]


def write_table(folder: Path, *, trained: Sequence[str]) -> Path:
    """Train and val hold the classes `trained`, test holds all."""
    folder.mkdir()
    for seed, (split, number, classes) in enumerate(
        (("train", 150, trained), ("val", 40, trained), ("test", 80, list(CENTRES)))
    ):
        lines = [{**row, "kind": label} for label in classes for row in rows(label, number, seed=seed)]
        csv.write_csv(pa.Table.from_pylist(lines), folder / f"{split}.csv")
    return folder


def answer(layout: Layout, version: ModelVersion, requests: Sequence[Row]) -> list[str]:
    """Answer as the server does, and log it; the ids."""
    predictor = models.open_predictor(layout, version, threads=1)
    scored = predictor.score(requests)
    outputs = [each.output for each in predictor.answers(scored.scores)]
    made = [
        Prediction(
            id=new_prediction_id(),
            at=now(),
            model=version.name,
            version=version.number,
            bundle=version.bundle,
            input_digest=Digest.of_bytes(canonical_input(request)),
            input=canonical_input(request),
            scores=tuple(scored.scores[index].tolist()),
            output=outputs[index],
            embedding=tuple(scored.embedding[index].tolist()),
            latency_ms=0.1,
        )
        for index, request in enumerate(requests)
    ]
    sink = ParquetSink(layout.log)
    sink.append(made)
    sink.close()
    return [prediction.id for prediction in made]


@cache
def _built() -> tuple[Path, tuple[str, ...]]:
    """A champion that never saw cedars, and 60 answers to each kind, unlabelled."""
    folder = Path(tempfile.mkdtemp(prefix="tidemill-loop-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    layout = scaffold.init(folder / NAME, name=NAME, task="tabular", sample=None)
    data.add(layout, write_table(folder / "v1", trained=("aster", "beech")), name=NAME, target="kind")
    version = training.train(layout, SETTINGS).version
    models.promote(layout, NAME, version.number)
    ids = [each for label in CENTRES for each in answer(layout, version, rows(label, 60, seed=9))]
    return layout.root, tuple(ids)


def copied(into: Path) -> tuple[Layout, tuple[str, ...]]:
    """The project, in a folder of the test's own, and the ids of its answers: 60 asters, 60 beeches, 60 cedars."""
    root, ids = _built()
    layout = Layout((into / NAME).resolve())
    shutil.copytree(root, layout.root, symlinks=True)
    with closing(sqlite3.connect(layout.database)) as database:  # MLflow keeps the place of artefacts as a whole path
        database.execute("UPDATE experiments SET artifact_location = ?", (str(layout.artifacts),))
        database.commit()
    return layout, ids


def label_all(layout: Layout, ids: Sequence[str]) -> None:
    serving.feedback(layout, [(each, list(CENTRES)[index // 60]) for index, each in enumerate(ids)])
