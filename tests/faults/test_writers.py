"""Sixteen processes write to one SQLite at once, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tidemill.project.database import ensure_database
from tidemill.project.layout import Layout

_WRITERS, _METRICS = 16, 100

_WRITES = """
import sys
from pathlib import Path
from tidemill.backends.trackers.mlflow import MlflowTracker
from tidemill.project.database import ensure_database
from tidemill.project.layout import Layout
layout, number, steps = Layout(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
tracker = MlflowTracker(ensure_database(layout), experiment="many", artifacts=layout.artifacts)
run = tracker.start(f"writer {number}", {"number": number, "steps": steps}, {"tidemill.writer": number})
print("ready", flush=True)
sys.stdin.readline()
for step in range(steps):
    tracker.log(run, {"loss": step / 10}, step)
    if step % 10 == 0:
        tracker.settle(run)
tracker.finish(run, "finished")
"""


@pytest.mark.slow
def test_sixteen_writers_lose_nothing(tmp_path: Path) -> None:
    """Each waits until all have begun, so that they do write at the same time."""
    layout = Layout(tmp_path)
    uri = ensure_database(layout)
    writers = []
    for number in range(_WRITERS):
        command = [sys.executable, "-c", _WRITES, str(tmp_path), str(number), str(_METRICS)]
        writers.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0] * _WRITERS
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("many")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(int(run.data.params["number"]) for run in runs) == list(range(_WRITERS))
    for run in runs:
        history = client.get_metric_history(run.info.run_id, "loss")
        assert [(each.step, each.value) for each in history] == [(step, step / 10) for step in range(_METRICS)]
        assert run.info.status == "FINISHED"
