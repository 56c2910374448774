"""Ingests into a fresh folder, as `data add` does before anything is kept."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tidemill.dataset.checks.finding import Inspection
from tidemill.dataset.read import PackedDataset, open_dataset
from tidemill.domain.dataset import DatasetVersion, Task
from tidemill.stages.ingest import Reading, ingest


def read(
    path: Path,
    task: Task,
    reading: Reading | None = None,
    *,
    previous: DatasetVersion | None = None,
    notes: list[str] | None = None,
    inspection: Inspection | None = None,
) -> PackedDataset:
    into = Path(tempfile.mkdtemp(dir=path.parent, prefix=".packed-"))
    heard = notes if notes is not None else []
    ingest(
        path, into, name="things", version="1.0.0", task=task, reading=reading or Reading(), previous=previous,
        note=heard.append, progress=lambda done, total: None, inspection=inspection,
    )  # fmt: skip
    return open_dataset(into, verify=True)
