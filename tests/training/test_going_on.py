"""`resume` and what goes wrong: what a training has computed is never thrown away, and no tracker is left open."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from mlflow.tracking import MlflowClient

from tidemill.backends.families.networks.checkpoints import Checkpoints, State
from tidemill.backends.trackers._system import SystemSampler
from tidemill.backends.trackers.csv import CsvTracker
from tidemill.backends.trackers.mlflow import MlflowTracker
from tidemill.config.schema.trainer import ResumeConfig
from tidemill.domain.digest import Digest
from tidemill.domain.run import Code, Environment, RunSpec
from tidemill.errors import ConfigError, DataError, GateError, NotFoundError, StateError, StorageError, TidemillError
from tidemill.ports import StopTraining, Tracker
from tidemill.project import resuming, training
from tidemill.project.configuration import config
from tidemill.project.database import ensure_database, tracking_address
from tidemill.project.layout import Layout
from tidemill.project.scaffold import init
from tidemill.project.training import Silent
from tidemill.stages.runfolder import unfinished
from tidemill.stages.train import tracked_run

SETTINGS = ("trainer.max_epochs=2", "trainer.batch_size=200", "trainer.resume.every_steps=2",
            "model.params.channels=4", "logger.system_metrics=false")  # fmt: skip
SPEC = RunSpec(
    model="m", config={"model": {"kind": "linear"}}, seed=1, code=Code("0" * 40, None),
    environment=Environment("3.12", "linux", {}), dataset="d-v1.0.0", dataset_digest=Digest.of_bytes(b"data"),
)  # fmt: skip


class CutOff(Exception):
    """What a kill is to a training."""


class Cutting(Silent):
    """A Reporter that ends the training after its first epoch."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        raise CutOff


class CannotStart(CsvTracker):
    """A tracker as one of another package may be, whose service refuses."""

    def start(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        raise StorageError("the service refuses", "log in")


class CannotFinish(CsvTracker):
    """The same, when all is over."""

    def finish(self, run: str, status: Literal["finished", "failed", "killed"]) -> None:
        raise StorageError("the service went away", "nothing")


@pytest.fixture(scope="module")
def digits_project(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return init(tmp_path_factory.mktemp("digits") / "digits", name="digits", task="image")


def cut_off(project: Layout) -> tuple[Path, str]:
    """Folder and id of a run that was cut off after its first checkpoint."""
    with pytest.raises(CutOff):
        training.train(project, SETTINGS, report=Cutting())
    path, record = unfinished(project.runs)[0]
    return path, record.run


def test_a_damaged_checkpoint_costs_only_itself(digits_project: Layout) -> None:
    path, run = cut_off(digits_project)
    checkpoint = path / "checkpoints" / "resume.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(StateError, match="cannot be read") as refused:
        resuming.resume(digits_project)
    assert "remove it" in refused.value.remedy
    assert checkpoint.is_file()
    checkpoint.unlink()
    assert resuming.resume(digits_project).run.id == run
    assert not unfinished(digits_project.runs)


def test_a_run_is_gone_on_with_where_it_is_kept(
    digits_project: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, run = cut_off(digits_project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:secret@127.0.0.1:9/")
    assert tracking_address() == "http://someone:***@127.0.0.1:9"
    for anyway in (False, True):
        with pytest.raises(StateError, match="in the project's own database") as refused:
            resuming.resume(digits_project, anyway=anyway)
        assert "unset MLFLOW_TRACKING_URI" in refused.value.remedy
        assert "secret" not in str(refused.value)
    record = path / "run.json"
    text = record.read_text()
    record.write_text(text.replace('"tracker": ""', '"tracker": "http://127.0.0.1:8"'))
    with pytest.raises(StateError, match=r"at http://127\.0\.0\.1:8") as refused:
        resuming.resume(digits_project)
    assert "MLFLOW_TRACKING_URI=http://127.0.0.1:8 tidemill train --resume" in refused.value.remedy
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    record.write_text(text)
    assert resuming.resume(digits_project, run[:8]).run.id == run


def test_a_run_is_chosen_by_the_id_it_was_shown_with(digits_project: Layout) -> None:
    """When the server answers late the record gets its id, and the folder keeps the one that the user saw."""
    path, run = cut_off(digits_project)
    shown = path.rename(path.with_name("feedface" + "0" * 24))
    assert resuming.chosen(digits_project, "feedface").run == run
    path, other = cut_off(digits_project)
    with pytest.raises(NotFoundError, match="names no run that"):
        resuming.chosen(digits_project, "nothing")
    path = path.rename(path.with_name("feedfacf" + "0" * 24))
    with pytest.raises(NotFoundError, match="begins the ids of 2 unfinished runs") as refused:
        resuming.chosen(digits_project, "feedfac")
    assert run in refused.value.remedy
    assert other in refused.value.remedy
    for each in (shown, path):
        (each / "run.json").unlink()


def test_what_makes_room_is_named(digits_project: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    _, run = cut_off(digits_project)
    training.make_room(digits_project, config(digits_project, SETTINGS))
    assert capsys.readouterr().err == ""
    training.make_room(digits_project, config(digits_project, [*SETTINGS, "trainer.resume.keep=0"]))
    said = capsys.readouterr().err
    assert run in said
    assert "trainer.resume.keep=0" in said
    assert not unfinished(digits_project.runs)


@pytest.mark.parametrize(
    ("error", "computed", "stays"),
    [
        (ConfigError("a setting"), False, False), (ConfigError("a setting"), True, True),
        (DataError("a file"), True, True), (GateError("not good"), True, True), (GateError("not good"), False, False),
        (StateError("a repository"), True, True), (StopTraining(), True, False), (OSError(5, "io"), False, True),
    ],
)  # fmt: skip
def test_what_was_computed_outlives_an_error(error: Exception, computed: bool, stays: bool, tmp_path: Path) -> None:
    with pytest.raises(type(error)), _run(tmp_path, CsvTracker(tmp_path / "csv")) as opened:
        if computed:
            opened.folder.note_fitted({"loss": 1.0})
        raise error
    assert bool(unfinished(tmp_path / "runs")) == stays


def _run(folder: Path, *trackers: Tracker) -> Any:
    first, *beside = trackers
    return tracked_run(
        SPEC, difference=b"", tracker=first, folders=folder / "runs", report=Silent(), beside=beside
    )  # fmt: skip


def _statuses(folder: Path) -> Sequence[str]:
    client = MlflowClient(ensure_database(Layout(folder)))
    return [run.info.status for run in client.search_runs([each.experiment_id for each in client.search_experiments()])]


def _mlflow(folder: Path) -> MlflowTracker:
    return MlflowTracker(ensure_database(Layout(folder)), experiment="m", artifacts=folder / "artifacts")


def test_a_tracker_that_cannot_start_leaves_no_run_open(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match="the service refuses"),
        _run(tmp_path, _mlflow(tmp_path), CannotStart(tmp_path / "csv")),
    ):
        pytest.fail("the run began")
    assert _statuses(tmp_path) == ["FAILED"]
    assert not unfinished(tmp_path / "runs")


@pytest.mark.parametrize("error", [None, DataError("the first error", "")])
def test_a_tracker_that_cannot_finish_leaves_no_other_open(error: TidemillError | None, tmp_path: Path) -> None:
    expected = "the service went away" if error is None else "the first error"
    with (
        pytest.raises(TidemillError, match=expected),
        _run(tmp_path, CannotFinish(tmp_path / "csv"), _mlflow(tmp_path)),
    ):
        if error is not None:
            raise error
    assert _statuses(tmp_path) == ["FINISHED" if error is None else "FAILED"]
    assert unfinished(tmp_path / "runs")


def test_best_weights_of_a_checkpoint_that_was_not_written_are_written_again(tmp_path: Path) -> None:
    state, weights = State({"w": torch.ones(2)}, {"step": 1}), {"w": torch.zeros(2)}
    Checkpoints(tmp_path, ResumeConfig()).write(1, state, weights, 1)
    stale = tmp_path / "best-2.safetensors"
    stale.write_bytes(b"of an epoch that comes again")
    again = Checkpoints(tmp_path, ResumeConfig())
    assert again.read() is not None
    again.write(2, state, {"w": torch.ones(2)}, 2)
    found = Checkpoints(tmp_path, ResumeConfig()).read()
    assert found is not None
    assert found[1]["w"].tolist() == [1, 1]
    (tmp_path / "resume.safetensors").unlink()
    assert Checkpoints(tmp_path, ResumeConfig()).read() is None
    assert not stale.exists()


def test_the_machines_load_gives_up_with_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    """On a full disk: a run's own writing meets it too, and says what to do."""

    def record(values: Mapping[str, float], step: int) -> None:
        handle = os.open("/dev/full", os.O_WRONLY)
        try:
            os.write(handle, repr(values).encode())
        finally:
            os.close(handle)

    sampler = SystemSampler(record)
    sampler.stop()
    said = capfd.readouterr().err
    assert said.startswith("note: the machine's load is not tracked any more: ")
    assert "No space left on device" in said
    assert said.count("\n") == 1
