"""While a tracking server is away, work goes on; what was logged arrives in order, nothing lost, nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from tidemill.backends.trackers.mlflow import Away, MlflowTracker
from tidemill.errors import NotFoundError, StorageError
from tidemill.testing.trackers import check_tracker

from .proxy import first, proxied
from .servers import MlflowServer


@pytest.fixture
def stopping(tmp_path: Path) -> Iterator[MlflowServer]:
    """A server that the test may kill and start again."""
    found = MlflowServer(tmp_path / "server")
    yield found
    found.kill()


def _tracker(uri: str, folder: Path, *, wait: float = 60, parent: str = "") -> MlflowTracker:
    return MlflowTracker(uri, experiment=folder.name, spool=folder / "spool", wait=wait, parent=parent)


def _steps(uri: str, run: str, metric: str = "loss") -> list[int]:
    return [each.step for each in MlflowClient(uri).get_metric_history(run, metric)]


def _waiting(folder: Path) -> list[str]:
    return [each.name for each in (folder / "spool").iterdir()]


def test_the_contract_holds_over_a_server(server: MlflowServer, tmp_path: Path) -> None:
    check_tracker(_tracker(server.uri, tmp_path), tmp_path / "work")
    assert not _waiting(tmp_path)


def test_a_server_killed_and_restarted_gets_everything_in_order_once(stopping: MlflowServer, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("kept while it was away")
    stopping.start()
    tracker = _tracker(stopping.uri, tmp_path)
    run = tracker.start("long", {"lr": 0.1}, {"tidemill.model": "digits"})
    for step in range(50):
        tracker.log(run, {"loss": 1 / (step + 1), "nan": float("nan")}, step)
        if step == 15:
            tracker.settle(run)
            stopping.kill()
        if step == 30:
            tracker.keep(run, tmp_path / "note.txt", "notes")
    stopping.start(wait=False)
    assert tracker.settle(run) == run
    tracker.finish(run, "finished")
    assert _steps(stopping.uri, run) == _steps(stopping.uri, run, "nan") == list(range(50))
    kept = MlflowClient(stopping.uri).get_run(run)
    assert (kept.info.status, kept.data.params, kept.data.tags["tidemill.model"]) == (
        "FINISHED", {"lr": "0.1"}, "digits",
    )  # fmt: skip
    assert kept.data.tags["tidemill.author"].startswith("tests <")
    assert (tracker.fetch(run, "notes", tmp_path / "back") / "note.txt").read_text() == "kept while it was away"
    assert not _waiting(tmp_path)


@pytest.mark.slow
def test_runs_that_begin_while_it_is_away_find_each_other(stopping: MlflowServer, tmp_path: Path) -> None:
    parent = _tracker(stopping.uri, tmp_path)
    above = parent.start("grid", {}, {})
    child = _tracker(stopping.uri, tmp_path, parent=above)
    below = child.start("one", {"lr": 1}, {})
    child.log(below, {"loss": 0.5}, 0)
    child.finish(below, "failed")
    stopping.start()
    found = parent.settle(above)
    assert found != above
    parent.finish(above, "finished")
    deadline = time.monotonic() + 30
    while not (runs := _children(stopping.uri, found)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [run.data.metrics for run in runs] == [{"loss": 0.5}]


def _children(uri: str, parent: str) -> list[Run]:
    client = MlflowClient(uri)
    experiment = client.get_run(parent).info.experiment_id
    where = f"tags.`mlflow.parentRunId` = '{parent}' and attributes.status = 'FAILED'"
    return list(client.search_runs([experiment], where))


_WRITES = """
import sys
from pathlib import Path
from tidemill.backends.trackers.mlflow import MlflowTracker
uri, folder = sys.argv[1], Path(sys.argv[2])
tracker = MlflowTracker(uri, experiment=folder.name, spool=folder / "spool", system_metrics=False)
run = tracker.start("killed", {"lr": 1}, {})
print(run, flush=True)
for step in range(1_000_000):
    tracker.log(run, {"loss": float(step)}, step)
    print(step, flush=True)
"""


def _killed_writer(uri: str, folder: Path, steps: int) -> tuple[str, int]:
    """The id of the run and the last step that was surely said, of a process that died by SIGKILL while it wrote."""
    writer = subprocess.Popen([sys.executable, "-c", _WRITES, uri, str(folder)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    run, said = writer.stdout.readline().strip(), -1
    while said < steps:
        said = int(writer.stdout.readline())
    writer.kill()
    rest = [line for line in writer.communicate()[0].splitlines(keepends=True) if line.endswith("\n")]
    return run, int(rest[-1]) if rest else said


@pytest.mark.slow
def test_what_a_killed_process_logged_is_sent_by_the_next(stopping: MlflowServer, tmp_path: Path) -> None:
    local, said = _killed_writer(stopping.uri, tmp_path, 300)
    next_command = _tracker(stopping.uri, tmp_path)
    with pytest.raises(Away):
        list(next_command.sync())
    stopping.start()
    ((sent, entries),) = next_command.sync()
    assert (sent, entries >= said + 3) == (local, True)
    client = MlflowClient(stopping.uri)
    experiment = client.get_experiment_by_name(tmp_path.name)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    steps = _steps(stopping.uri, run.info.run_id)
    assert steps == list(range(len(steps)))
    assert len(steps) > said
    assert run.info.status in ("KILLED", "RUNNING")
    assert client.get_run(run.info.run_id).info.status == "KILLED"
    assert list(next_command.sync()) == []
    assert not _waiting(tmp_path)


def test_a_process_killed_while_it_ships_leaves_nothing_twice(server: MlflowServer, tmp_path: Path) -> None:
    run, said = _killed_writer(server.uri, tmp_path, 2000)
    following = _tracker(server.uri, tmp_path)
    mine = following.start("next", {}, {})
    deadline = time.monotonic() + 60
    while MlflowClient(server.uri).get_run(run).info.status != "KILLED" and time.monotonic() < deadline:
        time.sleep(0.1)
    steps = _steps(server.uri, run)
    assert steps == list(range(len(steps)))
    assert len(steps) > said
    following.finish(mine, "finished")


def test_a_killed_run_goes_on_in_the_same_run(server: MlflowServer, tmp_path: Path) -> None:
    run, said = _killed_writer(server.uri, tmp_path, 50)
    tracker = _tracker(server.uri, tmp_path)
    told = [({"loss": float(step)}, step) for step in range(said + 500)]  # more than arrived
    assert tracker.resume(run, {"tidemill.resumed": "1"}, told) == run
    tracker.log(run, {"loss": -1.0}, 1_000_000)
    tracker.finish(run, "finished")
    kept = MlflowClient(server.uri).get_run(run)
    assert (kept.info.status, kept.data.tags["tidemill.resumed"]) == ("FINISHED", "1")
    steps = _steps(server.uri, run)
    assert steps == [*range(len(steps) - 1), 1_000_000]
    assert len(steps) > said + 500
    again = tracker.resume(run, {}, [])
    tracker.log(again, {"loss": -2.0}, 1_000_001)
    tracker.finish(again, "failed")
    assert (_steps(server.uri, run)[-1], MlflowClient(server.uri).get_run(run).info.status) == (1_000_001, "FAILED")
    assert not _waiting(tmp_path)


@pytest.mark.slow
def test_a_run_begun_and_killed_while_it_was_away_goes_on(stopping: MlflowServer, tmp_path: Path) -> None:
    local, said = _killed_writer(stopping.uri, tmp_path, 50)
    tracker = _tracker(stopping.uri, tmp_path)
    assert tracker.resume(local, {}, []) == local
    tracker.log(local, {"loss": -1.0}, 1_000_000)
    stopping.start()
    run = tracker.settle(local)
    assert run != local
    assert len(_steps(stopping.uri, run)) > said
    tracker.finish(local, "killed")
    again = tracker.resume(local, {}, [])  # whoever recorded the local id still finds the run
    tracker.finish(again, "finished")
    assert (again, MlflowClient(stopping.uri).get_run(run).info.status) == (run, "FINISHED")


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["runs/create", "runs/log-batch", "runs/update"])
def test_a_lost_answer_makes_nothing_twice(lost: str, server: MlflowServer, tmp_path: Path) -> None:
    with proxied("127.0.0.1", server.port, first(2, "lost", lambda _, path: path.endswith(lost))) as uri:
        tracker = _tracker(uri, tmp_path)
        run = tracker.start("one", {"lr": 1}, {})
        for step in range(5):
            tracker.log(run, {"loss": float(step)}, step)
        found = tracker.settle(run)
        tracker.finish(run, "finished")
    client = MlflowClient(server.uri)
    runs = client.search_runs([client.get_run(found).info.experiment_id])
    assert [(each.info.run_id, each.info.status) for each in runs] == [(found, "FINISHED")]
    assert _steps(server.uri, found) == list(range(5))


def test_what_the_server_refuses_is_set_aside_and_the_rest_arrives(
    server: MlflowServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = _tracker(server.uri, tmp_path)
    run = tracker.start("one", {}, {})
    tracker.log(run, {"fine": 1.0, "no\ttabs": 2.0, "fine too": 3.0}, 0)
    tracker.finish(run, "finished")
    assert MlflowClient(server.uri).get_run(run).data.metrics == {"fine": 1.0, "fine too": 3.0}
    (line,) = (tmp_path / "spool" / "refused.jsonl").read_text().splitlines()
    assert json.loads(line)["entry"]["values"][0][:2] == ["no\ttabs", 2.0]
    assert "refused 1 of what was logged" in capsys.readouterr().err


def test_what_needs_the_server_says_so(
    tmp_path: Path, stopping: MlflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = _tracker(stopping.uri, tmp_path, wait=0.5)
    run = tracker.start("one", {}, {})
    with pytest.raises(StorageError, match=r"has been away for 0 s(.|\n)*waits in .*train --resume"):
        tracker.settle(run)
    tracker.finish(run, "failed")
    said = capsys.readouterr().err
    assert "does not answer" in said
    assert f"3 entries of run {run} wait" in said
    with pytest.raises(NotFoundError):
        tracker.log(run, {"loss": 1.0}, 0)
