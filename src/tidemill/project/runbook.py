"""Where captured runs are written: straight into the project's database, or elsewhere by MLflow's client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from tidemill.project.layout import Layout

if TYPE_CHECKING:
    from tidemill.backends.trackers.mlflow import MlflowTracker

Row = tuple[str, float, int, int]
"""A metric's name, value, time in ms, and step."""


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
    from tidemill.backends.trackers.mlflow import MlflowTracker
    from tidemill.project.database import is_local, store_uri

    uri = store_uri(layout)
    served = uri.startswith(("http://", "https://"))  # then the server says where artefacts go
    return _ByClient(MlflowTracker(
        uri, experiment=experiment, artifacts=None if served else layout.artifacts,
        spool=None if is_local(uri) else layout.spool,
    ))  # fmt: skip


class _ByClient:
    """`MlflowTracker`, which writes to a server that may be away by its spool: no verb waits for it."""

    def __init__(self, tracker: MlflowTracker) -> None:
        self._tracker = tracker
        self.start, self.keep, self.finish = tracker.start, tracker.keep, tracker.finish

    def add(self, run: str, *, metrics: Iterable[Row], params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        from tidemill.backends.trackers._store import Value

        self._tracker.add(run, metrics=[Value(*row) for row in metrics], params=params, tags=tags)
