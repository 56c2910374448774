"""Steps that are done when what they are made of has changed, and only then."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tidemill.errors import ConfigError, NotFoundError, StateError
from tidemill.project import pipeline
from tidemill.project.configuration import config
from tidemill.project.database import ensure_database
from tidemill.project.layout import Layout
from tidemill.project.models import state
from tidemill.stages.pipeline import changes, read_receipt, write_receipt

from .conftest import SETTINGS

ALL = ["data", "train", "evaluate", "export", "register"]


def redone(layout: Layout, *settings: str, force: str = "", anyway: bool = False) -> list[str]:
    done = pipeline.run(layout, [*SETTINGS, *settings], force=force, anyway=anyway)
    assert [each.step for each in done] == ALL
    return [each.step for each in done if not each.cached]


def test_only_what_changed_is_done_again(project: Layout) -> None:
    assert redone(project) == ALL
    assert redone(project) == []
    assert redone(project, "export.tolerance=0.002") == ["export", "register"]
    assert redone(project, "export.tolerance=0.002", force="register") == ["register"]
    assert redone(project, "export.tolerance=0.002", "seed=7") == ALL[1:]
    (project.root / "src").mkdir()
    (project.root / "src" / "mine.py").write_text("A = 1\n")
    settings = config(project, [*SETTINGS, "export.tolerance=0.002", "seed=7"])
    shown = {each.step: each for each in pipeline.states(project, settings)}
    assert [name for name, each in shown.items() if each.stale] == ALL[1:]
    assert "src/" in shown["train"].reasons[0]
    assert shown["export"].reasons == ("train comes first", "evaluate comes first")


def test_one_run_has_it_all(project: Layout) -> None:
    redone(project)
    client = MlflowClient(tracking_uri=ensure_database(project))
    (run,) = client.search_runs([each.experiment_id for each in client.search_experiments()])
    assert run.info.status == "FINISHED"
    assert 0.9 < run.data.metrics["test_accuracy"] <= 1
    assert "val_accuracy" in run.data.metrics
    kept = {each.path for each in client.list_artifacts(run.info.run_id)}
    assert {"lineage", "source", "evaluation"} <= kept
    version = state(project, "cancer").versions[1]
    assert version.run == run.info.run_id
    assert project.bundle(version.bundle).is_dir()


def test_what_was_altered_is_done_again(project: Layout) -> None:
    redone(project)
    file = project.state / "pipeline" / "evaluate" / "evaluation.json"
    file.write_text(file.read_text().replace("accuracy", "acuracy"))
    found = pipeline.states(project, config(project, SETTINGS))
    assert [each.reasons for each in found][2] == ("evaluation.json was altered",)
    assert "evaluate" in redone(project)
    assert redone(project) == []


def test_a_step_says_what_must_come_first(project: Layout) -> None:
    settings = config(project, SETTINGS)
    with pytest.raises(StateError, match="data has to come first"):
        pipeline.do(project, settings, "train")
    with pytest.raises(NotFoundError, match="evaluate"):
        pipeline.do(project, settings, "evalute")


def test_steps_may_lie_anywhere(project: Layout, tmp_path: Path) -> None:
    settings = config(project, SETTINGS)
    pipeline.do(project, settings, "data", out=tmp_path / "a")
    done = pipeline.do(project, settings, "train", out=tmp_path / "b" / "train", given={"data": tmp_path / "a"})
    assert not done.cached
    assert (tmp_path / "b" / "train" / "source").is_dir()
    assert not (project.state / "pipeline").exists()


def test_another_environment_alone_may_be_let_pass() -> None:
    was, now = {"seed": "1", "package a": "1"}, {"seed": "1", "package a": "2", "package b": "1"}
    assert changes(was, now) == ["package a 1 -> 2", "package b none -> 1"]
    assert changes(was, now, anyway=True) == []
    assert changes(was, {**now, "seed": "2"}, anyway=True) == ["seed 1 -> 2"]


def test_a_receipt_holds_what_lies_beside_it(tmp_path: Path) -> None:
    assert read_receipt(tmp_path / "none") == (None, "never done")
    (tmp_path / "a").write_text("1")
    made = write_receipt(tmp_path, "data", {"x": "1"}, {"rows": 3})
    assert read_receipt(tmp_path) == (made, "")
    (tmp_path / "b").write_text("2")
    assert read_receipt(tmp_path) == (None, "b was added")
    (tmp_path / "b").unlink()
    (tmp_path / "a").unlink()
    assert read_receipt(tmp_path) == (None, "a is gone")


def test_params_that_are_none(project: Layout, tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    for content, word in (("[1]", "holds no settings"), ("a: [", "cannot be read"), ("task: image\nnme: x\n", "nme")):
        file.write_text(content)
        with pytest.raises(ConfigError, match=word):
            pipeline.from_params(project, file)


@pytest.mark.slow
def test_a_killed_step_is_gone_on_with(project: Layout) -> None:
    settings = [
        "model=xgboost",
        "model.params.trees=4000",
        "callbacks.early_stopping.enabled=false",
        "trainer.digest_every=5",
    ]
    command = [sys.executable, "-m", "tidemill", "pipeline", "run", *settings]
    process = subprocess.Popen(command, cwd=project.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size for path in project.runs.glob("*/weights.jsonl")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = subprocess.run([*command, "--json"], cwd=project.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [each["cached"] for each in json.loads(done.stdout)] == [True, False, False, False, False]
    client = MlflowClient(tracking_uri=ensure_database(project))
    (run,) = client.search_runs([each.experiment_id for each in client.search_experiments()])
    assert run.data.tags["tidemill.resumed"] == "1"


def test_an_outcome_of_an_unknown_step_is_refused(project: Layout, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no step 'dta'") as caught:
        pipeline.do(project, config(project, SETTINGS), "train", given={"dta": tmp_path})
    assert "data" in caught.value.remedy
