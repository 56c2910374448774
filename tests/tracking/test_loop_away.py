"""A project whose tracking server is away when it trains, and whose training is killed meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tidemill.project.layout import Layout
from tidemill.project.registry import ledger, state
from tidemill.project.runs import run_files

from .servers import MlflowServer

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowServer]:
    """Not started yet."""
    found = MlflowServer(tmp_path / "server")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", found.uri)
    yield found
    found.kill()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    _tidemill(tmp_path, "init", "digits", "--task", "image")
    return tmp_path / "digits"


def _tidemill(cwd: Path, *args: str) -> str:
    command = [sys.executable, "-m", "tidemill", *args]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_training_killed_while_the_server_is_away_is_sent_and_goes_on(server: MlflowServer, project: Path) -> None:
    layout = Layout(project)
    command = [sys.executable, "-m", "tidemill", "train", "trainer.max_epochs=6", "logger.system_metrics=false"]
    training = subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    entries: list[Path] = []
    while not (entries and b'"metrics"' in entries[0].read_bytes()):
        assert training.poll() is None, "it does not wait for the server"
        entries = list(layout.spool.glob("*/entries"))
        time.sleep(0.05)
    training.kill()
    training.wait()
    local = entries[0].parent.name

    refused = subprocess.run([sys.executable, "-m", "tidemill", "sync"], cwd=project, capture_output=True, text=True)
    assert (refused.returncode, "still away" in refused.stderr) == (1, True)
    server.start()
    ((sent),) = json.loads(_tidemill(project, "sync", "--json"))
    assert sent["run"] == local
    assert _tidemill(project, "sync") == "nothing waits\n"
    assert not os.listdir(layout.spool)
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED"
    assert run.data.params["model.kind"] == "small_cnn"
    assert "val_loss" in run.data.metrics

    _tidemill(project, "train", "--resume")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert [each.step for each in client.get_metric_history(run.info.run_id, "val_loss")] == list(range(1, 7))
    assert state(layout, "digits").versions[1].run == run.info.run_id
    assert set(run_files(layout, run.info.run_id)) >= {"spec.json"}, "its lineage comes from the server"


def test_each_server_counts_its_own_versions(
    server: MlflowServer, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.start()
    layout, quick = Layout(project), ("train", "trainer.max_epochs=1", "experiment=quick")
    _tidemill(project, *quick)
    _tidemill(project, *quick, "seed=2")
    assert sorted(state(layout, "digits").versions) == [1, 2]
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    _tidemill(project, *quick)
    assert sorted(state(layout, "digits").versions) == [1]
    assert [event.payload["version"] for event in ledger(layout).events("digits")] == [1]
