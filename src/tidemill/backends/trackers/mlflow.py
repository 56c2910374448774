"""Runs in MLflow, through its client alone: no global state, explicit tracking URI, metrics in batches."""

from __future__ import annotations

import getpass
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tidemill.backends.trackers._owner import HOST, owner_is_dead, owner_tags
from tidemill.backends.trackers._system import SystemSampler
from tidemill.errors import NotFoundError, StorageError

if TYPE_CHECKING:
    from tidemill.ports import Tracker

_STATUS = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
_EVERY = 1.0  # seconds that metrics are held back, to be written together
_LONGEST_PARAM, _LONGEST_TAG = 6000, 5000
_BATCH = 100


class MlflowTracker:
    """Keeps runs in the experiment `experiment` at `uri`; `artifacts` is where the artefacts of a local store lie.

    `parent` is the run under which new ones are shown. With `system_metrics` the machine's load is tracked.
    """

    def __init__(
        self,
        uri: str,
        *,
        experiment: str,
        artifacts: Path | None = None,
        parent: str = "",
        system_metrics: bool = False,
    ) -> None:
        self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self._experiment_name, self._artifacts = experiment, artifacts
        self._parent, self._system_metrics = parent, system_metrics
        self._pending: dict[str, list[Metric]] = {}
        self._written = time.monotonic()
        self._lock = threading.Lock()
        self._samplers: dict[str, SystemSampler] = {}

    def start(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Runs of this host whose process is dead are ended first."""
        experiment = self._experiment()
        self._end_dead(experiment)
        about = {"mlflow.user": _user(), "mlflow.source.name": "tidemill", "mlflow.source.type": "LOCAL"}
        about |= {"mlflow.parentRunId": self._parent} if self._parent else {}
        everything = {key: value[:_LONGEST_TAG] for key, value in {**about, **owner_tags(), **tags}.items()}
        run = str(self._client.create_run(experiment, tags=everything, run_name=name).info.run_id)
        values = [Param(key, str(value)[:_LONGEST_PARAM]) for key, value in params.items()]
        for start in range(0, len(values), _BATCH):
            self._client.log_batch(run, params=values[start : start + _BATCH], synchronous=True)
        if self._system_metrics:
            self._samplers[run] = SystemSampler(lambda metrics, step: self.log(run, metrics, step))
        return run

    def log(self, run: str, metrics: Mapping[str, float], step: int) -> None:
        """Written at once when the last writing is a second ago, and at the latest with `keep` or `finish`."""
        at = int(time.time() * 1000)
        with self._lock:
            self._pending.setdefault(run, []).extend(Metric(key, value, at, step) for key, value in metrics.items())
            if time.monotonic() - self._written > _EVERY:
                self._flush()

    def keep(self, run: str, path: Path, folder: str) -> None:
        """A file, or all files under a directory."""
        with self._lock:
            self._flush()
        if path.is_dir():
            self._client.log_artifacts(run, str(path), folder or None)
        else:
            self._client.log_artifact(run, str(path), folder or None)

    def finish(self, run: str, status: Literal["finished", "failed", "killed"]) -> None:
        """Write what is held back and end the run."""
        sampler = self._samplers.pop(run, None)
        if sampler is not None:
            sampler.stop()
        with self._lock:
            self._flush()
        self._client.set_terminated(run, _STATUS[status])

    def fetch(self, run: str, folder: str, into: Path) -> Path:
        """The artefacts under `folder`, copied below `into`."""
        into.mkdir(parents=True, exist_ok=True)
        try:
            return Path(self._client.download_artifacts(run, folder, str(into)))
        except (MlflowException, OSError) as error:
            first = str(error).splitlines()[0]
            raise NotFoundError(f"run {run} has no {folder}: {first}", "tidemill ui  shows what there is") from None

    def _flush(self) -> None:
        self._written = time.monotonic()
        for run, metrics in self._pending.items():
            for start in range(0, len(metrics), _BATCH):
                self._client.log_batch(run, metrics=metrics[start : start + _BATCH], synchronous=True)
        self._pending.clear()

    def _experiment(self) -> str:
        """The experiment's id; whoever makes it first wins."""
        found = self._client.get_experiment_by_name(self._experiment_name)
        if found is None:
            place = str(self._artifacts) if self._artifacts is not None else None
            try:
                return str(self._client.create_experiment(self._experiment_name, artifact_location=place))
            except MlflowException:
                found = self._client.get_experiment_by_name(self._experiment_name)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise StorageError(
                f"the MLflow experiment {self._experiment_name!r} is deleted",
                "restore it in the UI, or name another:  logger.experiment=NAME",
            )
        return str(found.experiment_id)

    def _end_dead(self, experiment: str) -> None:
        where = f"attributes.status = 'RUNNING' and tags.`{HOST}` = '{owner_tags()[HOST]}'"
        running: Sequence[Run] = self._client.search_runs([experiment], where)
        for run in running:
            if owner_is_dead(run.data.tags):
                self._client.log_batch(run.info.run_id, tags=[RunTag("tidemill.ended", "its process was gone")])
                self._client.set_terminated(run.info.run_id, _STATUS["killed"])


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for its user
        return "unknown"


if TYPE_CHECKING:
    _fits: type[Tracker] = MlflowTracker
