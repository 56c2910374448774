"""Reads back what `tidemill run` recorded: one run, or all that touched a content."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidemill.domain.digest import Digest
from tidemill.domain.record import from_plain
from tidemill.errors import InputError, NotFoundError, StorageError
from tidemill.project.keeping import RECORD
from tidemill.project.layout import Layout
from tidemill.stages.capture.record import Captured, File

LISTS = ("reads", "writes", "sources")


@dataclass(frozen=True, slots=True)
class Shown:
    """A run with its record; `params` and `metrics` (the last of each) as MLflow holds them."""

    run: str
    name: str
    status: str
    captured: Captured
    params: dict[str, str]
    metrics: dict[str, float]
    artifacts: str


@dataclass(frozen=True, slots=True)
class Touch:
    """A run that read, wrote or was made of a content, under the path it had there."""

    run: str
    name: str
    at: int  # milliseconds
    how: str
    path: str


def show(layout: Layout, wanted: str) -> Shown:
    """The run whose id begins with `wanted`, or the newest for 'last'. Raises NotFoundError."""
    found = [row for row in _runs(layout) if wanted == "last" or row["run"].startswith(wanted)]
    if not found:
        raise NotFoundError(f"no captured run {wanted[:60]!r}", "tidemill run -- COMMAND  makes one")
    if wanted != "last" and len({row["run"] for row in found}) > 1:
        raise InputError(f"{len(found)} runs begin with {wanted!r}", "give more of the id")
    row = found[0]
    folder = Path(row["artifacts"]) / "lineage"
    captured = _record(folder)
    if captured is None:
        raise NotFoundError(
            f"run {row['run'][:8]} has no record: {row['status'].lower()}", "it was killed, or still goes on"
        )
    with closing(_connect(layout)) as connection:
        params = dict(connection.execute("SELECT key, value FROM params WHERE run_uuid = ?", (row["run"],)).fetchall())
        asked = "SELECT key, value FROM latest_metrics WHERE run_uuid = ? AND NOT is_nan"
        metrics = dict(connection.execute(asked, (row["run"],)).fetchall())
    return Shown(row["run"], row["name"], row["status"], captured, params, metrics, row["artifacts"])


def who(layout: Layout, path: Path) -> list[Touch]:
    """Every run that read or wrote the content that `path` has now, the newest first. Raises NotFoundError."""
    if not path.is_file():
        raise NotFoundError(f"{path} is no file", "give a file; its content is what is looked for")
    digest = Digest.of_file(path)
    found = []
    for row in _runs(layout):
        folder = Path(row["artifacts"]) / "lineage"
        captured = _record(folder)
        if captured is not None:
            for how, name in _touches(captured, folder, digest):
                found.append(Touch(row["run"], row["name"], row["at"], how, name))
    return found


def _touches(captured: Captured, folder: Path, digest: Digest) -> Iterator[tuple[str, str]]:
    for kind, how in zip(LISTS, ("read", "wrote", "code"), strict=True):
        files: tuple[File, ...] = getattr(captured, kind)
        for file in files:
            if file.digest == digest:
                yield how, file.path
        listed = folder / f"{kind}.sha256"
        if listed.is_file():
            with listed.open(encoding="utf-8", errors="surrogateescape") as lines:
                known = {file.path for file in files}
                for line in lines:
                    if line.startswith(digest.hex) and (name := line[66:].rstrip("\n")) not in known:
                        yield how, name


def _record(folder: Path) -> Captured | None:
    try:
        return from_plain(Captured, json.loads((folder / RECORD).read_bytes()))
    except (OSError, ValueError):
        return None


def _connect(layout: Layout) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{layout.database}?mode=ro", uri=True, timeout=60)


def _runs(layout: Layout) -> list[dict[str, Any]]:
    """Captured runs in the project's own database, the newest first."""
    if os.environ.get("MLFLOW_TRACKING_URI"):
        raise StorageError(
            "MLFLOW_TRACKING_URI is set: those runs are not in this folder",
            "look at them there (artefact lineage/run.json), or unset it for the runs kept here",
        )
    if not layout.database.is_file():
        return []
    asked = (
        "SELECT r.run_uuid, r.name, r.status, r.start_time, r.artifact_uri FROM runs r JOIN tags t"
        " ON t.run_uuid = r.run_uuid WHERE t.key = 'tidemill.kind' AND t.value = 'captured'"
        " AND r.lifecycle_stage = 'active' ORDER BY r.start_time DESC"
    )
    with closing(_connect(layout)) as connection:
        rows = connection.execute(asked).fetchall()
    return [dict(zip(("run", "name", "status", "at", "artifacts"), row, strict=True)) for row in rows]
