"""Where captured runs are written: straight into the project's database, or elsewhere by MLflow's client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from tidemill.project.layout import Layout

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from tidemill.backends.trackers.mlflow import MlflowTracker

Row = tuple[str, float, int, int]
"""A metric's name, value, time in ms, and step."""
_BATCH = 100


class Runbook(Protocol):
    """A tracker that also takes parameters and tags which are known only later."""

    def start(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> str: ...

    def add(self, run: str, *, metrics: Iterable[Row], params: Mapping[str, Any], tags: Mapping[str, str]) -> None: ...

    def keep(self, run: str, path: Path, folder: str) -> None: ...

    def finish(self, run: str, status: Literal["finished", "failed", "killed"]) -> None: ...


def open_runbook(layout: Layout, experiment: str) -> Runbook:
    """MLFLOW_TRACKING_URI's server or database if it is set, else the project's own, made if missing."""
    from tidemill.backends.trackers import _rows
    from tidemill.project.database import ensure_database, foreign_uri

    if not foreign_uri():
        ensure_database(layout)
        if _rows.fits(layout.database):
            return _rows.RowTracker(layout.database, experiment=experiment, artifacts=layout.artifacts)
    return _by_client(layout, experiment)


def _by_client(layout: Layout, experiment: str) -> Runbook:
    from mlflow.tracking import MlflowClient

    from tidemill.backends.trackers.mlflow import MlflowTracker
    from tidemill.project.database import ensure_database, foreign_uri, is_local

    uri = foreign_uri() or ensure_database(layout)
    served = uri.startswith(("http://", "https://"))  # then the server says where artefacts go
    tracker = MlflowTracker(
        uri, experiment=experiment, artifacts=None if served else layout.artifacts,
        spool=None if is_local(uri) else layout.spool,
    )  # fmt: skip
    return _ByClient(tracker, MlflowClient(tracking_uri=uri))


class _ByClient:
    """`MlflowTracker`, and what it has no verb for through the client."""

    def __init__(self, tracker: MlflowTracker, client: MlflowClient) -> None:
        self._tracker, self._client = tracker, client
        self.start, self.keep, self.finish = tracker.start, tracker.keep, tracker.finish

    def add(self, run: str, *, metrics: Iterable[Row], params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        rows = [Metric(key, value, at, step) for key, value, at, step in metrics]
        for start in range(0, len(rows), _BATCH):
            self._client.log_batch(run, metrics=rows[start : start + _BATCH])
        values = [Param(key, str(value)[:6000]) for key, value in params.items()]
        for start in range(0, len(values), _BATCH):
            self._client.log_batch(run, params=values[start : start + _BATCH])
        if tags:
            self._client.log_batch(run, tags=[RunTag(key, value[:5000]) for key, value in tags.items()])
