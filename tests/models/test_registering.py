"""A whole training of a model that cannot be exported: kept, evaluated, and not registered, if that was asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tidemill.errors import ConfigError, GateError, NotFoundError
from tidemill.project import training
from tidemill.project.layout import Layout
from tidemill.project.registry import state
from tidemill.project.runs import open_tracker
from tidemill.project.scaffold import init

GIVEN = ["model=sklearn", "model.params.estimator=NearestCentroid", "logger.system_metrics=false"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return init(tmp_path_factory.mktemp("project") / "cancer", name="cancer", task="tabular")


def test_it_is_refused_before_a_run_begins(project: Layout) -> None:
    with pytest.raises(ConfigError, match="NearestCentroid cannot be written as ONNX"):
        training.train(project, GIVEN)
    with pytest.raises(ConfigError, match="NearestCentroids"):
        training.train(project, ["model=sklearn", "model.params.estimator=NearestCentroids"])
    assert not list(project.runs.glob("*"))


def test_it_is_trained_where_no_version_is_asked_for(project: Layout, tmp_path: Path) -> None:
    trained = training.train(project, [*GIVEN, "export.required=false"])
    assert trained.registered is None
    assert "NearestCentroid cannot be written as ONNX" in trained.refusal
    assert trained.evaluation.metrics["accuracy"] > 0.85
    with pytest.raises(NotFoundError):
        state(project, "cancer")
    with pytest.raises(GateError, match="registered no version"):
        _ = trained.version
    from tidemill.project.configuration import config

    tracker = open_tracker(project, config(project))
    assert (tracker.fetch(trained.run.id, "source", tmp_path / "source") / "pipeline.skops").is_file()
    assert (
        "NearestCentroid" in (tracker.fetch(trained.run.id, "export", tmp_path / "export") / "refused.txt").read_text()
    )


@pytest.mark.slow
def test_the_command_says_so(project: Layout) -> None:
    for more in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "tidemill", "train", *GIVEN, "export.required=false", *more],
            cwd=project.root, check=True, capture_output=True, text=True,
        )  # fmt: skip
        if more:
            answer = json.loads(done.stdout)
            assert (answer["version"], answer["bundle"]) == (None, None)
            assert "NearestCentroid" in answer["not_registered"]
        else:
            assert "not registered: NearestCentroid cannot be written as ONNX" in done.stdout
