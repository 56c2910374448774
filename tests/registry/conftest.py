"""A project with three versions of one model: a poor one, a good one, and the good one again. Trained once."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tidemill.project import models, scaffold, training
from tidemill.project.database import ensure_database
from tidemill.project.layout import Layout

NAME = "cancer"
POOR, GOOD, AGAIN = 1, 2, 3
_SETTINGS = {
    POOR: ("model=linear", "model.params.l2=1e6"),
    GOOD: ("model=linear",),
    AGAIN: ("model=linear", "seed=7"),
}


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layout = scaffold.init(tmp_path_factory.mktemp("registry") / NAME, name=NAME, task="tabular")
    for number, settings in _SETTINGS.items():
        trained = training.train(layout, (*settings, "logger.system_metrics=false"))
        assert trained.version.number == number
    return layout.root


@pytest.fixture
def project(_trained: Path, tmp_path: Path) -> Layout:
    """A fresh copy, without a champion."""
    layout = Layout(tmp_path.resolve() / NAME)
    shutil.copytree(_trained, layout.root, symlinks=True)
    with closing(sqlite3.connect(layout.database)) as database:  # MLflow keeps places as whole paths
        database.execute("UPDATE experiments SET artifact_location = ?", (str(layout.artifacts),))
        database.execute(
            "UPDATE runs SET artifact_uri = replace(artifact_uri, ?, ?)", (str(_trained), str(layout.root))
        )
        database.commit()
    return layout


@pytest.fixture
def client(project: Layout) -> Any:
    """MLflow's, of a project whose champion is GOOD and was POOR."""
    from mlflow import MlflowClient

    models.promote(project, NAME, POOR)
    models.promote(project, NAME, GOOD)
    uri = ensure_database(project)
    return MlflowClient(uri, uri)
