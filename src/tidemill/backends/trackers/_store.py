"""MLflow's tracking store through its client alone, each verb safe to repeat: what is there already is not made twice.

Metrics are keyed by name, time, step and value, parameters and tags by name, artefacts by path; runs, to which MLflow
gives the id, are found again by the tag `tidemill.id`.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tidemill.backends.trackers._owner import HOST, author, owner_is_dead, owner_tags
from tidemill.backends.trackers._schema import prepare_schema
from tidemill.domain.address import bare_address
from tidemill.errors import NotFoundError, StorageError, first_line

T = TypeVar("T")
STATUS = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
LOCAL_ID = "tidemill.id"
SAMPLED = "system/cpu_utilization_percentage"
_LONGEST_PARAM, _LONGEST_TAG = 6000, 5000
_BATCH = 100  # of parameters and tags; metrics
_METRICS = 500
_REACH_SECONDS = 3.0
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}


class Value(NamedTuple):
    """One value of one metric; `at` in milliseconds since 1970."""

    name: str
    value: float
    at: int
    step: int


class MlflowStore:
    """The experiment `experiment` at `uri`; a new one keeps its artefacts at `artifacts`, or where the server says.

    Nothing is asked of the server before the first verb. `address` is how what waits for it knows it again: without a
    word its URI, without secrets.
    """

    def __init__(self, uri: str, *, experiment: str, artifacts: str | None, address: str | None = None) -> None:
        self.address = bare_address(uri) if address is None else address
        self.uri, self.served = uri, uri.startswith(("http://", "https://"))
        self._name, self._artifacts = experiment, artifacts
        self._lock = threading.Lock()
        self._opened: MlflowClient | None = None
        self._experiment_id: str | None = None

    @property
    def client(self) -> MlflowClient:
        """Made when first used: for a database, MLflow connects and migrates at once."""
        with self._lock:
            if self._opened is None:
                prepare_schema(self.uri)
                self._opened = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
            return self._opened

    def reach(self) -> None:
        """Raises OSError at once where nobody listens: MLflow would try for minutes."""
        parts = urlsplit(self.uri)
        port = parts.port or _PORTS.get(parts.scheme.partition("+")[0])
        if parts.hostname and port:
            socket.create_connection((parts.hostname, port), timeout=_REACH_SECONDS).close()

    def create(self, name: str, tags: Mapping[str, str], *, parent: str = "", at: int | None = None) -> str:
        """A new run's id; `at` is when it began, in milliseconds since 1970."""
        about = {"mlflow.source.name": "tidemill", "mlflow.source.type": "LOCAL"}
        about |= {"mlflow.parentRunId": parent} if parent else {}
        short = {key: value[:_LONGEST_TAG] for key, value in {**about, **tags}.items()}
        made = self.client.create_run(self.experiment(), start_time=at, tags=short, run_name=name)
        return str(made.info.run_id)

    def find(self, local: str, *, ours: str | None = None) -> str | None:
        """The id of the run that bears the tag `tidemill.id`, `ours` where it is known.

        A request to make a run that was answered too late, and was repeated, made more of them: those are deleted.
        """
        found = self.client.search_runs([self.experiment()], f"tags.`{LOCAL_ID}` = '{local}'")
        runs = sorted(str(run.info.run_id) for run in found)
        stays = ours if ours in runs else next(iter(runs), None)
        for extra in runs:
            if extra != stays:
                self.client.delete_run(extra)
        return stays

    def params(self, run: str, params: Mapping[str, Any]) -> None:
        values = [Param(key, str(value)[:_LONGEST_PARAM]) for key, value in params.items()]
        for part in _parts(values, _BATCH):
            self.client.log_batch(run, params=part, synchronous=True)

    def tags(self, run: str, tags: Mapping[str, str]) -> None:
        values = [RunTag(key, value[:_LONGEST_TAG]) for key, value in tags.items()]
        for part in _parts(values, _BATCH):
            self.client.log_batch(run, tags=part, synchronous=True)

    def metrics(self, run: str, values: Sequence[Value]) -> None:
        metrics = [Metric(each.name, each.value, each.at, each.step) for each in values]
        for part in _parts(metrics, _METRICS):
            self.client.log_batch(run, metrics=part, synchronous=True)

    def keep(self, run: str, path: Path, folder: str) -> None:
        """A file, or all files under a directory."""
        if path.is_dir():
            self.client.log_artifacts(run, str(path), folder or None)
        else:
            self.client.log_artifact(run, str(path), folder or None)

    def finish(self, run: str, status: str, *, at: int | None = None) -> None:
        self.client.set_terminated(run, STATUS[status], end_time=at)

    def held(self, run: str) -> set[tuple[str, int]]:
        """The metrics of a run, by name and step. Raises NotFoundError."""
        try:
            found = self.client.get_run(run)
        except MlflowException as error:
            raise NotFoundError(f"MLflow has no run {run}: {first_line(error)}", "train anew") from None
        return {(name, each.step) for name in found.data.metrics for each in self.client.get_metric_history(run, name)}

    def next_sample(self, run: str) -> int:
        """The step after the last sample of the machine's load; 0 where the server cannot say."""
        try:
            self.reach()
            return 1 + max((each.step for each in self.client.get_metric_history(run, SAMPLED)), default=-1)
        except (MlflowException, OSError):
            return 0

    def reopen(self, run: str, tags: Mapping[str, str]) -> None:
        """Set an ended run running again."""
        self.tags(run, tags)
        self.client.update_run(run, status="RUNNING")

    def fetch(self, run: str, folder: str, into: Path) -> Path:
        into.mkdir(parents=True, exist_ok=True)
        try:
            return Path(self.client.download_artifacts(run, folder, str(into)))
        except (MlflowException, OSError) as error:
            raise NotFoundError(
                f"run {run} has no {folder}: {first_line(error)}", "tidemill ui  shows what there is"
            ) from None

    def experiment(self) -> str:
        """The experiment's id; whoever makes it first wins."""
        if self._experiment_id is None:
            self._experiment_id = self._find_experiment()
        return self._experiment_id

    def _find_experiment(self) -> str:
        found = self.client.get_experiment_by_name(self._name)
        if found is None:
            try:
                return str(self.client.create_experiment(self._name, artifact_location=self._artifacts))
            except MlflowException:
                found = self.client.get_experiment_by_name(self._name)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise StorageError(
                f"the MLflow experiment {self._name!r} is deleted",
                "restore it in the UI, or name another:  logger.experiment=NAME",
            )
        return str(found.experiment_id)

    def end_dead(self, spare: Sequence[str] = ()) -> None:
        """End this host's runs whose process is gone, those with a local id in `spare` aside."""
        where = f"attributes.status = 'RUNNING' and tags.`{HOST}` = '{owner_tags()[HOST]}'"
        running: Sequence[Run] = self.client.search_runs([self.experiment()], where)
        for run in running:
            if owner_is_dead(run.data.tags) and run.data.tags.get(LOCAL_ID) not in spare:
                self.tags(run.info.run_id, {"tidemill.ended": "its process was gone"})
                self.finish(run.info.run_id, "killed")


def run_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """`tags`, and what is told of every run: who made it, and which process."""
    user, written_by = author()
    return {"mlflow.user": user, "tidemill.author": written_by, **owner_tags(), **tags}


def quiet() -> None:
    """A server that is away is no news for the terminal: MLflow and urllib3 would print each of their attempts, and
    MLflow an address for each run that ends, where the command's answer belongs."""
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    logging.getLogger("mlflow.store.model_registry.abstract_store").setLevel(logging.WARNING)
    for name in ("mlflow.store.db.utils", "urllib3.connectionpool", "mlflow.utils.rest_utils"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _parts(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
