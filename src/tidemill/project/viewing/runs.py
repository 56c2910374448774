"""The newest training run, as the tracker knows it: a quick look at its tables, without importing it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from tidemill.backends.trackers._owner import owner_is_dead
from tidemill.project.viewing.records import RunView

_STATUS: dict[str, Literal["running", "finished", "failed", "killed"]] = {
    "RUNNING": "running",
    "SCHEDULED": "running",
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "killed",
}
_NEWEST = """
    SELECT runs.run_uuid, runs.status, runs.start_time, runs.end_time
    FROM runs JOIN experiments ON runs.experiment_id = experiments.experiment_id
    WHERE experiments.name = ? AND runs.lifecycle_stage = 'active'
    ORDER BY runs.start_time DESC LIMIT 1
"""
_TAGS = "SELECT key, value FROM tags WHERE run_uuid = ? AND key LIKE 'tidemill.%'"
_EPOCH = "SELECT step FROM latest_metrics WHERE run_uuid = ? AND key = 'epoch_seconds'"


def newest_run(database: Path, experiment: str) -> RunView | None:
    """The newest run of the experiment in MLflow's SQLite tables; None when there is none, or no such table yet.

    A run whose process is gone counts as killed, though nobody has said so.
    """
    if not database.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=2)) as connection:
            row = connection.execute(_NEWEST, (experiment,)).fetchone()
            tags = dict(connection.execute(_TAGS, (row[0],))) if row else {}
            reached = connection.execute(_EPOCH, (row[0],)).fetchone() if row else None
    except sqlite3.Error:
        return None  # nobody has made MLflow's tables yet, or somebody holds the database: the page goes on without
    if row is None:
        return None
    id, status, started, ended = row
    if ended is None and owner_is_dead(tags):
        status = "KILLED"
    seconds = None if ended is None else (ended - started) / 1000
    epoch = None if reached is None else int(reached[0])
    return RunView(id, _STATUS.get(status, "failed"), datetime.fromtimestamp(started / 1000, UTC), seconds, epoch)
