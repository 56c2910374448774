"""A tracking database on PostgreSQL: the contract, a stand-still, and the whole loop of a project."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tidemill.backends.trackers.mlflow import MlflowTracker
from tidemill.project.database import foreign_uri
from tidemill.testing.trackers import check_tracker

from .servers import Postgres, free_port, wait_for

_AWAY = float(os.environ.get("TIDEMILL_AWAY_SECONDS", "8"))  # 60 is the long form


@pytest.fixture
def uri(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the driver that is installed, and tables that the first to come has made."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres.uri)
    return foreign_uri()


def _tracker(uri: str, folder: Path) -> MlflowTracker:
    return MlflowTracker(
        uri, experiment=folder.name, artifacts=folder / "artifacts", spool=folder / "spool", wait=_AWAY + 60
    )


_FIRST = """
import sys
from pathlib import Path
from tidemill.backends.trackers.mlflow import MlflowTracker
folder = Path(sys.argv[2])
tracker = MlflowTracker(sys.argv[1], experiment="first", artifacts=folder / "artifacts", spool=folder / "spool")
run = tracker.start("one", {}, {})
tracker.log(run, {"loss": 1.0}, 0)
print(tracker.settle(run))
tracker.finish(run, "finished")
"""


@pytest.mark.slow
def test_four_first_runs_at_once_make_the_tables_once(uri: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _FIRST, uri, str(tmp_path)]
    firsts = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    told = [each.communicate() for each in firsts]
    assert [each.returncode for each in firsts] == [0] * 4, told
    runs = {out.strip() for out, _ in told}
    assert len(runs) == 4
    assert {MlflowClient(uri).get_run(run).info.status for run in runs} == {"FINISHED"}


def test_the_contract_holds_on_postgres(uri: str, tmp_path: Path) -> None:
    check_tracker(_tracker(uri, tmp_path), tmp_path / "work")


def test_a_database_that_stands_still_holds_nobody_up_and_misses_nothing(
    uri: str, postgres: Postgres, tmp_path: Path
) -> None:
    tracker = _tracker(uri, tmp_path)
    run = tracker.start("long", {"lr": 0.1}, {})
    tracker.log(run, {"loss": 0.0}, 0)
    number = tracker.settle(run)
    postgres.signal(signal.SIGSTOP)
    try:
        began, step = time.monotonic(), 0
        longest = 0.0
        while time.monotonic() - began < _AWAY:
            step += 1
            before = time.monotonic()
            tracker.log(run, {"loss": float(step)}, step)
            longest = max(longest, time.monotonic() - before)
            time.sleep(0.01)
        (tmp_path / "weights").write_bytes(b"w" * 1000)
        tracker.keep(run, tmp_path / "weights", "source")
        other = tracker.start("begun meanwhile", {}, {})
    finally:
        postgres.signal(signal.SIGCONT)
    assert longest < _AWAY / 2, "nobody waited for the database"
    assert tracker.settle(run) == number
    found = tracker.settle(other)
    tracker.finish(run, "finished")
    tracker.finish(other, "finished")
    client = MlflowClient(uri)
    assert [each.step for each in client.get_metric_history(number, "loss")] == list(range(step + 1))
    assert {client.get_run(each).info.status for each in (number, found)} == {"FINISHED"}
    assert len(client.search_runs([client.get_run(number).info.experiment_id])) == 2
    assert not list((tmp_path / "spool").iterdir())


@pytest.fixture
def project(tmp_path: Path, postgres: Postgres) -> Iterator[Path]:
    """A table project whose runs, versions and ledger are in PostgreSQL."""
    _tidemill(tmp_path, "init", "cancer", "--task", "tabular")
    yield tmp_path / "cancer"


def _tidemill(cwd: Path, *args: str) -> str:
    done = subprocess.run([sys.executable, "-m", "tidemill", *args], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _ask(port: int) -> str:
    body = (Path("examples") / "request.json").read_bytes()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/models/cancer:predict", body)
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the address of the server started here
        return str(json.load(answer)["predictions"][0]["id"])


@pytest.mark.slow
def test_the_whole_loop_runs_on_postgres_and_serving_does_not_need_it(
    uri: str, postgres: Postgres, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    _tidemill(project, "train", "model=linear")
    assert not (project / ".tidemill" / "tidemill.db").exists(), "nothing is kept beside"
    _tidemill(project, "models", "promote", "cancer", "1")
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "tidemill", "serve", "cancer@champion", "--port", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(port)
        postgres.signal(signal.SIGSTOP)
        training = subprocess.Popen(
            [sys.executable, "-m", "tidemill", "train", "model=linear", "seed=7"], stderr=subprocess.PIPE, text=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        began, answered = time.monotonic(), []
        while time.monotonic() - began < _AWAY:
            answered.append(_ask(port))
            time.sleep(0.05)
        postgres.signal(signal.SIGCONT)
        assert training.wait(120) == 0, training.communicate()[1]
        training.communicate()
    finally:
        postgres.signal(signal.SIGCONT)
        server.terminate()
        server.wait(30)
    told = _tidemill(project, "trace", answered[-1])
    assert re.search(r"cancer/1", told)
    assert re.search(r"cancer-v1.0.0", told)
    versions = json.loads(_tidemill(project, "models", "list", "--json"))
    assert "2" in json.dumps(versions)
    _tidemill(project, "models", "verify")
