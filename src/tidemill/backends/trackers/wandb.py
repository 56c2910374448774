"""Runs in Weights & Biases: offline, unless WANDB_API_KEY or WANDB_MODE=online is set; `wandb login` does not count."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tidemill.backends.trackers._evaluation import read_confusion, read_curves, read_samples
from tidemill.backends.trackers._files import fetch_files, keep_files
from tidemill.errors import MissingExtraError, NotFoundError, StorageError, first_line

if TYPE_CHECKING:
    from types import ModuleType

    from tidemill.ports import Told, Tracker, TrackerFactory

_SAVED_MB = 10  # artefacts above it stay on disk here: MLflow keeps them
_EXIT = {"finished": 0, "failed": 1, "killed": 255}
_PLACES = {
    "WANDB_DATA_DIR": "data", "WANDB_CACHE_DIR": "cache", "WANDB_CONFIG_DIR": "config", "WANDB_ARTIFACT_DIR": "fetched",
}  # fmt: skip


class WandbTracker:
    """Runs of the project `project`; what W&B writes lies below `folder`, and `wandb sync` sends what was offline.

    Online only with WANDB_API_KEY or WANDB_MODE=online: nothing phones home by itself.
    """

    def __init__(self, folder: Path, project: str) -> None:
        self._wandb = _module()
        self._folder, self._project = folder, project
        self._runs: dict[str, Any] = {}

    def start(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """A new run; settings become its config, tags are kept there under `tags`."""
        return self._begin({"name": name, "config": {**params, "tags": dict(tags)}})

    def resume(self, run: str, tags: Mapping[str, str], told: Told) -> str:
        """Offline it goes on in a further folder with the same id, which `wandb sync` joins with the first.

        W&B's own process takes what is logged at once, so that of what was `told` the last row alone may be missing:
        what was told last of each metric is logged again, at the same step and value.
        """
        found = self._begin({"id": run, "resume": "allow" if mode() == "online" else None})
        for step, values in _latest(told).items():
            self.log(found, values, step)
        return found

    def _begin(self, about: dict[str, Any]) -> str:
        for variable, place in _PLACES.items():
            os.environ.setdefault(variable, str(self._folder / place))
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            run = self._wandb.init(
                project=self._project, dir=str(self._folder), mode=mode(), settings=self._settings(), **about
            )
        except self._wandb.Error as error:
            raise StorageError(
                f"W&B cannot start a run: {first_line(error)}", "WANDB_MODE=offline  keeps it on disk"
            ) from None
        run.define_metric("step", hidden=True)
        run.define_metric("*", step_metric="step")
        self._runs[run.id] = run
        return str(run.id)

    def log(self, run: str, metrics: Mapping[str, float], step: int) -> None:
        """One row; `step` is an axis of its own, so that rows may come in any order."""
        self._open(run).log({**metrics, "step": step})

    def keep(self, run: str, path: Path, folder: str) -> None:
        """Copied into the run's files; an evaluation also becomes W&B's own plots and table."""
        opened = self._open(run)
        root = Path(opened.dir)
        for file in keep_files(path, folder, below=root):
            if file.stat().st_size <= _SAVED_MB * 1e6:
                opened.save(str(file), base_path=str(root), policy="now")
        if path.is_dir() and (shown := self._shown(path, folder)):
            opened.log(shown)

    def finish(self, run: str, status: Literal["finished", "failed", "killed"]) -> None:
        """End the run; online, waits until everything is sent."""
        opened = self._open(run)
        opened.summary["status"] = status
        opened.finish(exit_code=_EXIT[status])
        del self._runs[run]

    def fetch(self, run: str, folder: str, into: Path) -> Path:
        """The artefacts under `folder`, copied below `into`, from the run's files on this machine."""
        found = sorted(self._folder.glob(f"wandb/*run-*-{run}*/files"))  # one more for each time it was taken up
        if not found:
            raise NotFoundError(f"W&B has no run {run} on this machine", f"look into {self._folder / 'wandb'}")
        holds = [each for each in found if (each / folder).exists()]
        return fetch_files(run, folder, into, below=(holds or found)[-1])

    def _open(self, run: str) -> Any:
        if run not in self._runs:
            raise NotFoundError(f"the W&B run {run} is not open in this process", "start it first")
        return self._runs[run]

    def _settings(self) -> Any:
        """Quiet, several runs at once, and nothing of this machine beyond what the run itself says."""
        return self._wandb.Settings(
            silent=True, console="off", reinit="create_new", disable_code=True, disable_git=True, save_code=False,
            disable_job_creation=True, x_disable_stats=True, x_disable_machine_info=True,
        )  # fmt: skip

    def _shown(self, path: Path, folder: str) -> dict[str, Any]:
        """Of an evaluation's files: confusion matrix, precision-recall curves, table of samples."""
        shown: dict[str, Any] = {}
        confusion = read_confusion(path)
        if confusion is not None:
            labels, counts = confusion
            cells = [(a, b, counts[i][j]) for i, a in enumerate(labels) for j, b in enumerate(labels)]
            shown[f"{folder}/confusion_matrix"] = self._plot(
                "wandb/confusion_matrix/v1", cells, {name: name for name in ("Actual", "Predicted", "nPredictions")},
                {"title": "confusion matrix"},
            )  # fmt: skip
        points = [(c.label, r, p) for c in read_curves(path) for r, p in zip(c.recall, c.precision, strict=True)]
        if points:
            titles = {"title": "precision and recall", "x-axis-title": "recall", "y-axis-title": "precision"}
            fields = {"class": "class", "x": "recall", "y": "precision"}
            shown[f"{folder}/precision_recall"] = self._plot("wandb/area-under-curve/v0", points, fields, titles)
        samples = read_samples(path)
        if samples:
            shown[f"{folder}/samples"] = self._samples(path, samples)
        pictured = [each for each in samples if each["picture"]]
        if pictured:
            shown[f"{folder}/pictures"] = [
                self._wandb.Image(str(path / each["picture"]), caption=f"{each['label']} → {each['prediction']}")
                for each in pictured
            ]
        return shown

    def _plot(self, kind: str, rows: list[tuple[Any, ...]], fields: dict[str, str], titles: dict[str, str]) -> Any:
        table = self._wandb.Table(columns=list(fields.values()), data=[list(row) for row in rows])
        return self._wandb.plot_table(data_table=table, vega_spec_name=kind, fields=fields, string_fields=titles)

    def _samples(self, path: Path, samples: list[Mapping[str, Any]]) -> Any:
        columns = ("name", "input", "picture", "label", "prediction", "score")
        table = self._wandb.Table(columns=list(columns))
        for each in samples:
            picture = self._wandb.Image(str(path / each["picture"])) if each["picture"] else None
            table.add_data(*({**each, "picture": picture}[name] for name in columns))
        return table


def _latest(told: Told) -> dict[int, dict[str, float]]:
    """What was told last of each metric, by step."""
    last = {name: (step, value) for values, step in told for name, value in values.items()}
    found: dict[int, dict[str, float]] = {}
    for name, (step, value) in last.items():
        found.setdefault(step, {})[name] = value
    return found


def mode() -> Literal["online", "offline", "disabled"]:
    """WANDB_MODE as the user set it; else online with WANDB_API_KEY, and offline without."""
    said = os.environ.get("WANDB_MODE", "")
    if said in ("online", "disabled"):
        return "online" if said == "online" else "disabled"
    return "online" if os.environ.get("WANDB_API_KEY") and not said else "offline"


def _module() -> ModuleType:
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    try:
        import wandb
    except ImportError:
        raise MissingExtraError("logger=wandb", "wandb") from None
    found: ModuleType = wandb
    return found


def open_tracker(folder: Path, experiment: str) -> WandbTracker:
    """Runs of W&B's project `experiment`. Raises MissingExtraError."""
    return WandbTracker(folder, experiment)


if TYPE_CHECKING:
    _opens: TrackerFactory = open_tracker
    _fits: type[Tracker] = WandbTracker
