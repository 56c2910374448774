"""A project that knows three tiny models, one a task: in its ledger, and in MLflow, where they are champions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.serve.bundles import image_bundle, picture, reseal, tabular_bundle, text_bundle
from tidemill.bundle.read import open_bundle
from tidemill.project import models
from tidemill.project.database import ensure_database
from tidemill.project.layout import MARKER, Layout

MODELS = {"image": "digits", "text": "mood", "tabular": "sizes", "regression": "price"}


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    import mlflow

    layout = Layout(tmp_path_factory.mktemp("snippets").resolve())
    (layout.root / MARKER).write_text('[project]\nname = "all"\ntask = "image"\n')
    (layout.root / "examples").mkdir()
    (layout.root / "examples" / "zero.png").write_bytes(picture(0))
    client = mlflow.MlflowClient(ensure_database(layout))
    experiment = client.create_experiment("all", artifact_location=str(layout.artifacts))
    made = layout.root / "made"
    image_bundle(made / "image")
    text_bundle(made / "text")
    tabular_bundle(made / "tabular")
    tabular_bundle(made / "regression", regression=True, name="price")
    for task in MODELS:
        register(layout, made / task, client.create_run(experiment).info.run_id)
    return layout


def register(layout: Layout, made: Path, run: str) -> None:
    """The bundle as version 1 of its name, made by `run`."""
    bundle = open_bundle(made).bundle
    reseal(made, replace(bundle, lineage=replace(bundle.lineage, run=run)))
    opened = open_bundle(made)
    layout.bundles.mkdir(parents=True, exist_ok=True)
    made.rename(layout.bundle(opened.digest))
    models.register_bundle(layout, open_bundle(layout.bundle(opened.digest)))
