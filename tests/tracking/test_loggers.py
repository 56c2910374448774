"""Loggers beside MLflow: found by key, several at once, and read back by each one's own reader."""

from __future__ import annotations

import io
import json
import os
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import precision_recall_curve

from tests.training.samples import settings
from tidemill.backends.trackers import _gpu, tensorboard, wandb
from tidemill.backends.trackers.csv import CsvTracker
from tidemill.dataset.read import Examples
from tidemill.domain.bundle import Signature
from tidemill.errors import ConfigError, MissingExtraError
from tidemill.ports import Scored, Tracker
from tidemill.project import loggers
from tidemill.project.layout import Layout
from tidemill.stages.details import write_details
from tidemill.stages.evaluate import evaluate, write_evaluation

from .wandb_files import config, history

_LABELS = ("cat", "dog", "eel")


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of an evaluation of 90 pictures."""
    folder = tmp_path_factory.mktemp("evaluation")
    generator = np.random.default_rng(5)
    truth = np.arange(90) % 3
    raw = generator.dirichlet(np.ones(3), 90) + np.eye(3)[truth] / 2
    scores = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
    pictures = [_picture(generator) for _ in range(90)]
    examples = Examples(
        tuple(f"{number}.png" for number in range(90)), pictures,
        tuple(_LABELS[number] for number in truth), None,
    )  # fmt: skip
    signature = Signature("image", "classification", (), (), _LABELS)
    scored = Scored(scores, np.zeros((90, 1), np.float32))
    write_evaluation(evaluate(signature, scored, examples), folder)
    write_details(signature, scored, examples, folder)
    np.savez(folder.parent / "scored.npz", scores=scores, truth=truth)
    return folder


def _picture(generator: np.random.Generator) -> bytes:
    file = io.BytesIO()
    Image.fromarray(generator.integers(0, 255, (20, 30, 3), np.uint8)).save(file, format="png")
    return file.getvalue()


def _run(tracker: Tracker, evaluation: Path) -> str:
    run = tracker.start("digits cnn", {"optimizer.lr": 0.001, "model.kind": "small_cnn"}, {"tidemill.model": "digits"})
    for step in (1, 2):
        tracker.log(run, {"loss": 1 / step, "val_loss": 2 / step}, step)
    tracker.log(run, {"test_accuracy": 0.9}, 0)
    tracker.keep(run, evaluation, "evaluation")
    tracker.finish(run, "finished")
    return run


def test_tensorboard_shows_scalars_settings_curves_and_samples(evaluation: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = tensorboard.open_tracker(tmp_path, "digits")
    run = _run(tracker, evaluation)
    read = EventAccumulator(str(tmp_path / "digits" / run), size_guidance={"tensors": 0})
    read.Reload()
    assert [(each.step, each.value) for each in read.Scalars("loss")] == [(1, 1.0), (2, 0.5)]
    assert [each.value for each in read.Scalars("test_accuracy")] == [pytest.approx(0.9)]
    tags = read.Tags()
    assert {"evaluation/confusion", "evaluation/samples"} <= set(tags["images"])
    curves = {f"evaluation/precision_recall/{label}" for label in _LABELS}
    assert curves < set(tags["tensors"])
    params = read.Tensors("params/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| optimizer.lr | 0.001 |" in params


def test_wandb_keeps_plots_and_a_table_offline(
    evaluation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    tracker = wandb.open_tracker(tmp_path, "digits")
    run = _run(tracker, evaluation)
    (folder,) = tmp_path.glob(f"wandb/offline-run-*-{run}")
    (file,) = folder.glob("*.wandb")
    rows = history(file)
    assert [(row["step"], row["loss"]) for row in rows if "loss" in row] == [(1, 1.0), (2, 0.5)]
    assert config(file)["optimizer.lr"] == 0.001
    assert config(file)["tags"] == {"tidemill.model": "digits"}
    (shown,) = [row for row in rows if any(key.startswith("evaluation/") for key in row)]
    counts = json.loads((folder / "files" / shown["evaluation/confusion_matrix_table.path"]).read_text())
    assert sum(count for *_, count in counts["data"]) == 90
    points = json.loads((folder / "files" / shown["evaluation/precision_recall_table.path"]).read_text())
    assert {label for label, *_ in points["data"]} == set(_LABELS)
    samples = json.loads((folder / "files" / shown["evaluation/samples.path"]).read_text())
    assert samples["columns"] == ["name", "input", "picture", "label", "prediction", "score"]
    assert len(samples["data"]) == 32
    assert (
        len(list((folder / "files/media/images/evaluation").glob("pictures_*.png")))
        == shown["evaluation/pictures.count"]
    )
    assert (tracker.fetch(run, "evaluation", tmp_path / "back") / "confusion.csv").is_file()
    assert capsys.readouterr() == ("", "")


def test_wandb_gets_what_a_kill_kept_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    tracker = wandb.open_tracker(tmp_path, "digits")
    run = tracker.start("one", {}, {})
    tracker.log(run, {"loss": 0.5}, 1)
    tracker.finish(run, "killed")
    told = [({"loss": 0.5}, 1), ({"lr": 0.1}, 1), ({"loss": 0.25, "val_loss": 0.75}, 2)]  # the last was under way
    assert tracker.resume(run, {}, told) == run
    tracker.finish(run, "finished")
    rows = [row for file in sorted(tmp_path.glob(f"wandb/*-{run}*/*.wandb")) for row in history(file)]
    points = {(row["step"], name, value) for row in rows for name, value in row.items() if name in ("loss", "val_loss")}
    assert points == {(1, "loss", 0.5), (2, "loss", 0.25), (2, "val_loss", 0.75)}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({}, "offline"), ({"WANDB_API_KEY": "k"}, "online"), ({"WANDB_MODE": "online"}, "online"),
        ({"WANDB_MODE": "offline", "WANDB_API_KEY": "k"}, "offline"), ({"WANDB_MODE": "disabled"}, "disabled"),
        ({"WANDB_MODE": "dryrun", "WANDB_API_KEY": "k"}, "offline"),
    ],
)  # fmt: skip
def test_wandb_is_offline_unless_it_is_asked_for(
    said: dict[str, str], meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert wandb.mode() == meant


def test_the_curves_are_those_of_scikit_learn(evaluation: Path) -> None:
    from tidemill.backends.trackers._evaluation import read_curves

    kept = np.load(evaluation.parent / "scored.npz")
    for index, curve in enumerate(read_curves(evaluation)):
        precision, recall, thresholds = precision_recall_curve(kept["truth"] == index, kept["scores"][:, index])
        ours = np.array(curve.thresholds)
        at = np.searchsorted(thresholds, ours.astype(np.float32))
        assert len(ours) > 50
        np.testing.assert_allclose(curve.precision, precision[at])
        np.testing.assert_allclose(curve.recall, recall[at])
        assert {sum(each) for each in zip(*curve.counts.values(), strict=True)} == {90}


def test_samples_of_a_regression_show_the_largest_errors_first(tmp_path: Path) -> None:
    values = np.arange(100, dtype=np.float64)
    answers = values.copy()
    answers[[7, 70]] += (5.0, -9.0)
    examples = Examples(tuple(map(str, range(100))), [{"x": value} for value in values], (), values)
    scored = Scored(answers[:, None].astype(np.float32), np.zeros((100, 1), np.float32))
    write_details(Signature("tabular", "regression", (), (), ()), scored, examples, tmp_path)
    first, second, *others = json.loads((tmp_path / "samples.json").read_text())
    assert (first["name"], first["label"], first["prediction"], first["score"]) == ("70", "70", "61", -9.0)
    assert (second["name"], second["input"], second["score"]) == ("7", '{"x": 7.0}', 5.0)
    assert len(others) == 30
    assert not (tmp_path / "pr_curves.csv").exists()


def test_several_loggers_at_once(tmp_path: Path) -> None:
    chosen = settings("image", "logger=csv", "logger.beside=[tensorboard,csv,mlflow]")
    opened = loggers.open_beside(Layout(tmp_path), chosen)
    assert [type(each).__name__ for each in opened] == ["CsvTracker", "TensorboardTracker"]
    everything = settings("image", "logger=all")
    assert (everything.logger.name, everything.logger.beside) == ("mlflow", ["csv", "tensorboard", "wandb"])
    assert loggers.open_beside(Layout(tmp_path), settings("image")) == []


def test_a_typo_lists_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no 'tensorbord'(.|\n)*did you mean tensorboard"):
        loggers.open_beside(Layout(tmp_path), settings("image", "logger.beside=[tensorbord]"))


def _theirs(folder: Path, experiment: str) -> CsvTracker:
    return CsvTracker(folder / experiment / "theirs")


def test_a_third_party_enters_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("neptune", f"{__name__}:_theirs", loggers.ENTRY_POINTS)
    monkeypatch.setattr(loggers, "entry_points", lambda group: [point] if group == loggers.ENTRY_POINTS else [])
    assert loggers.logger_keys() == ["csv", "neptune", "tensorboard", "wandb"]
    (opened,) = loggers.open_beside(Layout(tmp_path), settings("image", "logger.beside=[neptune]"))
    run = opened.start("one", {}, {})
    assert list((tmp_path / ".tidemill" / "neptune").glob(f"*/theirs/{run}"))


@pytest.mark.parametrize("key", ["tensorboard", "wandb"])
def test_what_is_not_installed_says_how_to_install_it(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, key, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'tidemill\[{key}\]'"):
        loggers.open_beside(Layout(tmp_path), settings("image", f"logger={key}"))


_SMI = """#!/bin/sh
case "$1" in
  --list-gpus) echo "GPU 0: NVIDIA H200 (UUID: GPU-1)" ;;
  --query-gpu*) printf '0, 37, 1000, 4000, 210.5\\n1, 0, 10, 4000, [N/A]\\n' ;;
  *) echo "NVIDIA-SMI 570.1   Driver Version: 570.1" ;;
esac
"""


def test_gpus_are_told_of_where_there_are_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (_gpu.gpu_text(), _gpu.has_gpu(), _gpu.gpu_sample()) == ("no GPU\n", False, {})
    (tmp_path / "nvidia-smi").write_text(_SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert _gpu.has_gpu()
    assert "Driver Version" in _gpu.gpu_text()
    found: dict[str, Any] = _gpu.gpu_sample()
    assert found["gpu_0_utilization_percentage"] == 37
    assert found["gpu_0_memory_usage_megabytes"] == pytest.approx(1048.576)
    assert (found["gpu_0_memory_usage_percentage"], found["gpu_0_power_usage_watts"]) == (25, 210.5)
    assert "gpu_1_power_usage_watts" not in found
