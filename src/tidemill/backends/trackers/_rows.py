"""Runs written straight into MLflow's tables of a local SQLite database, without importing MLflow.

Importing MLflow takes longer than many a script does. Here a run costs milliseconds. It is done only where the schema
is the one this was written for (`fits`), otherwise MLflow's client does it; a test reads everything back through the
client.
"""

from __future__ import annotations

import math
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from tidemill.backends.trackers._owner import account, owner_is_dead, owner_tags
from tidemill.errors import NotFoundError, StorageError
from tidemill.files import link_or_copy

SCHEMAS = frozenset(("dc11669786a5",))  # of MLflow 3.17
_STATUS = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
_LONGEST_KEY, _LONGEST_VALUE = 250, 6000
_BUSY = 60.0
Row = tuple[str, float, int, int]
"""A metric's name, value, time in ms, and step."""


def fits(database: Path) -> bool:
    """Whether `database` has the schema that is written here."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=_BUSY)) as connection:
            versions = {str(row[0]) for row in connection.execute("SELECT version_num FROM alembic_version")}
    except sqlite3.Error:
        return False
    return bool(versions) and versions <= SCHEMAS


class RowTracker:
    """Keeps runs in the experiment `experiment` of `database`; their artefacts lie under `artifacts`."""

    def __init__(self, database: Path, *, experiment: str, artifacts: Path) -> None:
        self._database, self._experiment, self._artifacts = database, experiment, artifacts

    def start(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Runs of this host whose process is dead are ended first."""
        run, now = uuid.uuid4().hex, int(time.time() * 1000)
        user = account()
        about = {"mlflow.user": user, "mlflow.source.type": "LOCAL", "mlflow.runName": name, **owner_tags(), **tags}
        with closing(self._connect()) as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            number, place = self._find_experiment(connection, now)
            self._end_dead(connection, number, now)
            connection.execute(
                "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status,"
                " start_time, source_version, lifecycle_stage, artifact_uri, experiment_id)"
                " VALUES (?, ?, 'UNKNOWN', '', '', ?, 'RUNNING', ?, '', 'active', ?, ?)",
                (run, name[:250], user, now, f"{place}/{run}/artifacts", number),
            )
            _tags(connection, run, about)
            _params(connection, run, params)
        return run

    def add(
        self, run: str, *, metrics: Iterable[Row] = (), params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Everything in one transaction; a parameter that is there already stays as it is."""
        with closing(self._connect()) as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            _metrics(connection, run, metrics)
            _params(connection, run, params or {})
            _tags(connection, run, tags or {})

    def keep(self, run: str, path: Path, folder: str) -> None:
        """Copied below the run's artefacts, without a byte being written where both lie on one file system."""
        target = self._place(run) / folder if folder else self._place(run)
        target.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True, copy_function=_link)
        else:
            _link(path, target / path.name)

    def finish(self, run: str, status: Literal["finished", "failed", "killed"]) -> None:
        """End the run."""
        with closing(self._connect()) as connection, connection:
            connection.execute(
                "UPDATE runs SET status = ?, end_time = ? WHERE run_uuid = ?",
                (_STATUS[status], int(time.time() * 1000), run),
            )

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._database, timeout=_BUSY, isolation_level=None)
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def _place(self, run: str) -> Path:
        with closing(self._connect()) as connection:
            row = connection.execute("SELECT artifact_uri FROM runs WHERE run_uuid = ?", (run,)).fetchone()
        if row is None:
            raise NotFoundError(f"there is no run {run}", "tidemill ui  shows the runs")
        return Path(str(row[0]).removeprefix("file://"))

    def _find_experiment(self, connection: sqlite3.Connection, now: int) -> tuple[int, str]:
        found = connection.execute(
            "SELECT experiment_id, artifact_location, lifecycle_stage FROM experiments WHERE name = ?"
            " AND workspace = 'default'", (self._experiment,),
        ).fetchone()  # fmt: skip
        if found is None:
            made = connection.execute(
                "INSERT INTO experiments (name, artifact_location, lifecycle_stage, creation_time, last_update_time,"
                " workspace) VALUES (?, ?, 'active', ?, ?, 'default')",
                (self._experiment, str(self._artifacts), now, now),
            )
            assert made.lastrowid is not None
            return made.lastrowid, str(self._artifacts)
        if found[2] != "active":
            raise StorageError(
                f"the MLflow experiment {self._experiment!r} is deleted",
                "restore it in the UI, or name another with MLFLOW_EXPERIMENT_NAME",
            )
        return int(found[0]), str(found[1])

    def _end_dead(self, connection: sqlite3.Connection, experiment: int, now: int) -> None:
        asked = (
            "SELECT r.run_uuid, t.key, t.value FROM runs r JOIN tags t ON t.run_uuid = r.run_uuid"
            " WHERE t.key LIKE 'tidemill.%' AND r.experiment_id = ? AND r.status = 'RUNNING'"
        )
        owners: dict[str, dict[str, str]] = {}
        for run, key, value in connection.execute(asked, (experiment,)):
            owners.setdefault(run, {})[key] = value
        for run, tags in owners.items():
            if owner_is_dead(tags):
                connection.execute("UPDATE runs SET status = 'KILLED', end_time = ? WHERE run_uuid = ?", (now, run))


def _link(source: str | Path, target: str | Path) -> None:
    """`source` is nobody's any more once it is kept, so that its bytes can be shared."""
    link_or_copy(Path(source), Path(target))


def _params(connection: sqlite3.Connection, run: str, params: Mapping[str, Any]) -> None:
    connection.executemany(
        "INSERT OR IGNORE INTO params (run_uuid, key, value) VALUES (?, ?, ?)",
        [(run, key[:_LONGEST_KEY], str(value)[:_LONGEST_VALUE]) for key, value in params.items()],
    )


def _tags(connection: sqlite3.Connection, run: str, tags: Mapping[str, str]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO tags (run_uuid, key, value) VALUES (?, ?, ?)",
        [(run, key[:_LONGEST_KEY], value[:_LONGEST_VALUE]) for key, value in tags.items()],
    )


def _metrics(connection: sqlite3.Connection, run: str, metrics: Iterable[Row]) -> None:
    """Not-a-number and infinity are stored as MLflow stores them."""
    rows = [(run, key[:_LONGEST_KEY], *_stored(value), at, step) for key, value, at, step in metrics]
    columns = "(run_uuid, key, value, is_nan, timestamp, step) VALUES (?, ?, ?, ?, ?, ?)"
    connection.executemany(f"INSERT OR IGNORE INTO metrics {columns}", rows)
    connection.executemany(
        f"INSERT INTO latest_metrics {columns} ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value,"
        " is_nan = excluded.is_nan, timestamp = excluded.timestamp, step = excluded.step"
        " WHERE (excluded.step, excluded.timestamp, excluded.value) > (step, timestamp, value)",
        rows,
    )


def _stored(value: float) -> tuple[float, bool]:
    if math.isnan(value):
        return 0.0, True
    return (math.copysign(1.7976931348623157e308, value), False) if math.isinf(value) else (float(value), False)
