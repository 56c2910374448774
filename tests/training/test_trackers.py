"""Trackers: what is kept comes back; the database is made once; runs of dead processes are ended."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tidemill.backends.trackers.csv import CsvTracker
from tidemill.backends.trackers.mlflow import MlflowTracker
from tidemill.errors import NotFoundError
from tidemill.ports import Tracker
from tidemill.project.database import ensure_database
from tidemill.project.layout import Layout


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return ensure_database(Layout(tmp_path_factory.mktemp("with a space")))


@pytest.fixture
def mlflow(uri: str, tmp_path: Path) -> MlflowTracker:
    return MlflowTracker(uri, experiment=tmp_path.name, artifacts=tmp_path / "artifacts", system_metrics=True)


@pytest.fixture(params=["mlflow", "csv"])
def tracker(request: pytest.FixtureRequest, tmp_path: Path) -> Tracker:
    if request.param == "csv":
        return CsvTracker(tmp_path / "runs")
    found: Tracker = request.getfixturevalue("mlflow")
    return found


def test_artefacts_come_back(tracker: Tracker, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")
    run = tracker.start("one", {"seed": 1}, {})
    tracker.keep(run, folder, "kept")
    tracker.keep(run, tmp_path / "b.txt", "kept")
    tracker.finish(run, "finished")
    back = tracker.fetch(run, "kept", tmp_path / "back")
    assert (back / "inner" / "a.txt").read_text() == "a"
    assert (back / "b.txt").read_text() == "b"
    with pytest.raises(NotFoundError):
        tracker.fetch(run, "nothing", tmp_path / "back")


def test_mlflow_keeps_params_metrics_tags_and_status(mlflow: MlflowTracker, uri: str) -> None:
    run = mlflow.start("one", {"seed": 1, "long": "x" * 9000}, {"tidemill.dataset": "d-v1.0.0"})
    for step in range(3):
        mlflow.log(run, {"val_loss": 1.0 - step / 10}, step)
    mlflow.finish(run, "failed")
    kept = MlflowClient(uri).get_run(run)
    assert (kept.info.status, kept.data.params["seed"]) == ("FAILED", "1")
    assert kept.data.tags["tidemill.dataset"] == "d-v1.0.0"
    assert kept.data.metrics["system/process_memory_megabytes"] > 1
    assert [each.value for each in MlflowClient(uri).get_metric_history(run, "val_loss")] == [1.0, 0.9, 0.8]


def test_csv_is_plain_files(tmp_path: Path) -> None:
    tracker = CsvTracker(tmp_path)
    run = tracker.start("one", {"seed": 1}, {})
    tracker.log(run, {"loss": 0.5}, 1)
    tracker.finish(run, "killed")
    assert (tmp_path / run / "metrics.csv").read_text().splitlines()[1].startswith("1,loss,0.5,")
    assert '"status": "killed"' in (tmp_path / run / "run.json").read_text()


_STARTS = """
import os, sys
from pathlib import Path
from tidemill.backends.trackers.mlflow import MlflowTracker
run = MlflowTracker(sys.argv[1], experiment=sys.argv[2], artifacts=Path(sys.argv[3])).start("mine", {}, {})
print(run, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other_process(uri: str, tmp_path: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[str], str]]]:
    running: list[subprocess.Popen[str]] = []

    def start() -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-c", _STARTS, uri, tmp_path.name, str(tmp_path / "artifacts")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        running.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_runs_of_dead_processes_are_ended_and_those_of_living_ones_not(
    mlflow: MlflowTracker, uri: str, other_process: Callable[[], tuple[subprocess.Popen[str], str]]
) -> None:
    (killed, dead), (_, living) = other_process(), other_process()
    killed.kill()
    killed.wait()
    mine = mlflow.start("mine", {}, {})
    client = MlflowClient(uri)
    assert client.get_run(dead).info.status == "KILLED"
    assert client.get_run(living).info.status == "RUNNING"
    mlflow.finish(mine, "finished")


def test_the_database_is_made_once_and_waits_for_writers(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        uris = set(pool.map(lambda _: ensure_database(layout), range(4)))
    assert uris == {f"sqlite:///{layout.database}?timeout=60"}
    assert [path.name for path in layout.state.iterdir() if path.name.startswith("tidemill.db")] == ["tidemill.db"]
    assert not list(layout.staging.iterdir())
    with closing(sqlite3.connect(layout.database)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)


_MAKES = "import sys; from pathlib import Path; from tidemill.project.layout import Layout; " \
    "from tidemill.project.database import ensure_database; ensure_database(Layout(Path(sys.argv[1])))"  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.5, 1.5, 2.0, 2.5, 3.0])
def test_a_killed_first_run_leaves_nothing_bad(after: float, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", _MAKES, str(tmp_path)])
    time.sleep(after)
    process.kill()
    process.wait()
    layout = Layout(tmp_path)
    tracker = MlflowTracker(ensure_database(layout), experiment="x", artifacts=layout.artifacts)
    tracker.finish(tracker.start("one", {}, {}), "finished")
    assert not list(layout.staging.glob("*.db*"))


def test_the_users_tracking_server_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        uri = f"http://127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert ensure_database(Layout(tmp_path)) == uri
    assert not os.listdir(tmp_path)
