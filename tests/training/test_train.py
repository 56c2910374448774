"""`tidemill train` and `evaluate` in a real project: what is kept, what is said, what an interruption leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tidemill.domain.record import from_plain
from tidemill.domain.run import RunSpec
from tidemill.errors import ConfigError, DataError, NotFoundError
from tidemill.project import training
from tidemill.project.data import open_for_task
from tidemill.project.database import ensure_database
from tidemill.project.families import family_of
from tidemill.project.layout import Layout
from tidemill.project.scaffold import init
from tidemill.project.training import Trained


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return init(tmp_path_factory.mktemp("a space") / "cancer", name="cancer", task="tabular")


@pytest.fixture(scope="module")
def trained(project: Layout) -> Trained:
    (project.root / "notes.txt").write_text("not committed\n")
    return training.train(project, ["model=linear", "logger=csv"])


def client(project: Layout) -> MlflowClient:
    return MlflowClient(ensure_database(project))


def tidemill(project: Layout, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tidemill", *arguments]
    return subprocess.run(command, cwd=project.root, capture_output=True, text=True)


def test_a_run_keeps_its_lineage_model_and_evaluation(project: Layout, trained: Trained, tmp_path: Path) -> None:
    kept = client(project).get_run(trained.run.id)
    assert kept.info.status == "FINISHED"
    assert kept.data.params["model.kind"] == "linear"
    assert kept.data.tags["tidemill.dataset"] == "cancer-v1.0.0"
    assert kept.data.metrics["test_accuracy"] == trained.evaluation.metrics["accuracy"] > 0.9
    assert kept.data.metrics["trainable_params"] == 31
    folder = Path(client(project).download_artifacts(trained.run.id, "", str(tmp_path)))
    spec = from_plain(RunSpec, json.loads((folder / "lineage" / "spec.json").read_bytes()))
    assert (spec.digest, kept.data.tags["tidemill.spec"]) == (trained.run.spec.digest, spec.digest)
    assert b"not committed" in (folder / "lineage" / "dirty.diff").read_bytes()
    assert (folder / "evaluation" / "confusion.png").is_file()
    assert family_of("tabular").load(folder / "source").params == 31
    assert len(list((project.state / "csv" / "cancer").glob("*/metrics.csv"))) == 1
    assert len((folder / "lineage" / "weights.jsonl").read_bytes().splitlines()) == 1
    assert not list(project.runs.iterdir())


def test_a_registered_model_is_evaluated_as_it_serves(project: Layout, trained: Trained) -> None:
    evaluation = training.evaluate_model(project, str(trained.version))
    assert evaluation.metrics == pytest.approx(trained.evaluation.metrics, abs=1e-4)
    with pytest.raises(NotFoundError):
        training.evaluate_model(project, str(trained.version), version="9.9.9")


def test_wrong_input_is_refused_before_a_run_begins(project: Layout, trained: Trained) -> None:
    runs = len(client(project).search_runs(["1"]))
    for overrides, error in (
        (["trainer.max_epochs=ten"], ConfigError), (["name=a/b"], ConfigError), (["data=other"], NotFoundError),
        (["data.version=7.0.0"], NotFoundError),
    ):  # fmt: skip
        with pytest.raises(error):
            training.train(project, overrides)
    assert len(client(project).search_runs(["1"])) == runs


def test_data_of_another_task_is_refused(project: Layout) -> None:
    with pytest.raises(DataError, match="holds tabular data"):
        open_for_task(project, "cancer", "latest", "image")


def test_a_failure_marks_the_run_failed(project: Layout) -> None:
    given = ["model=sklearn", "model.params.estimator=LinearDiscriminantAnalysis"]
    with pytest.raises(ConfigError, match="LinearDiscriminantAnalysis refuses"):
        training.train(project, [*given, "model.params.settings={solver: svd, shrinkage: 0.5}"])
    newest = client(project).search_runs(["1"])[0]
    assert newest.info.status == "FAILED"


def test_a_grid_is_shown_under_one_parent(project: Layout, trained: Trained) -> None:
    done = tidemill(project, "train", "-m", "model=linear", "model.params.l2=0.5,5", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [each["settings"] for each in answer] == ["model.params.l2=0.5", "model.params.l2=5"]
    parents = {client(project).get_run(each["run"]).data.tags["mlflow.parentRunId"] for each in answer}
    assert [client(project).get_run(each).info.status for each in parents] == ["FINISHED"]


def test_the_command_says_what_comes_next(project: Layout) -> None:
    done = tidemill(project, "train", "model.params.trees=30")
    assert done.returncode == 0, done.stderr
    assert "next:  tidemill models promote cancer" in done.stdout
    assert "val loss" in done.stderr
    number = done.stdout.split("promote cancer ")[1].strip()
    told = tidemill(project, "evaluate", f"cancer/{number}")
    assert told.stdout.startswith("accuracy")
    assert "malignant\t" in told.stdout


def test_errors_have_their_exit_code(project: Layout) -> None:
    for arguments in (("model=xgbost",), ("--because",), ("--nothing",), ("--anyway",), ("model=linear,xgboost",)):
        done = tidemill(project, "train", *arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert done.stderr.startswith("error: ")


def test_ctrl_c_leaves_a_killed_run_and_no_version(project: Layout, trained: Trained) -> None:
    before = {run.info.run_id for run in client(project).search_runs(["1"])}
    process = subprocess.Popen(
        [sys.executable, "-m", "tidemill", "train", "model.params.trees=10000", "model.params.patience=0",
         "model.params.learning_rate=0.0001"],
        cwd=project.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    process.stderr.readline()  # the first trees are there
    os.kill(process.pid, signal.SIGINT)
    out, said = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, "")
    assert "interrupted" in said
    (run,) = [run for run in client(project).search_runs(["1"]) if run.info.run_id not in before]
    assert run.info.status == "KILLED"
    versions = client(project).search_model_versions("name='cancer'")
    assert run.info.run_id not in {version.run_id for version in versions}


@pytest.mark.slow
def test_ctrl_c_ends_a_network_too(tmp_path: Path) -> None:
    project = init(tmp_path / "digits", name="digits", task="image")
    process = subprocess.Popen(
        [sys.executable, "-m", "tidemill", "train", "trainer.max_epochs=500", "callbacks=none"],
        cwd=project.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    process.stderr.readline()
    os.kill(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, "")
    (run,) = client(project).search_runs(["1"])
    assert run.info.status == "KILLED"
    assert [each.name for each in project.runs.iterdir()] == [run.info.run_id]  # to be gone on with


@pytest.mark.slow
@pytest.mark.parametrize("after", [2.0, 5.0, 7.0, 9.0])
def test_the_next_training_works_after_a_kill(after: float, tmp_path: Path) -> None:
    project = init(tmp_path / "cancer", name="cancer", task="tabular")
    process = subprocess.Popen(
        [sys.executable, "-m", "tidemill", "train", "model=linear"], cwd=project.root, stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(after)
    process.kill()
    process.wait()
    done = tidemill(project, "train", "model=linear")
    assert done.returncode == 0, done.stderr
    assert "RUNNING" not in {run.info.status for run in client(project).search_runs(["1"])}
    assert len([each for each in project.runs.iterdir() if each.name[0] != "."]) <= 1  # what was killed
