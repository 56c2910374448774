"""Runs as folders of plain files: params.json, metrics.csv, and artefacts beside them."""

from __future__ import annotations

import csv
import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tidemill.domain.record import now
from tidemill.errors import NotFoundError
from tidemill.files import write_atomic

if TYPE_CHECKING:
    from tidemill.ports import Tracker


class CsvTracker:
    """Each run is `folder/<id>/`: run.json, metrics.csv (step, name, value, at) and its artefacts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """A new folder, named by time and chance."""
        run = f"{now():%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        self._write(run, {"name": name, "params": dict(params), "tags": dict(tags), "status": "running"})
        with self._metrics(run).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(("step", "name", "value", "at"))
        return run

    def log(self, run: str, metrics: Mapping[str, float], step: int) -> None:
        """A line for each metric."""
        at = now().isoformat()
        with self._metrics(run).open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows((step, name, value, at) for name, value in metrics.items())

    def keep(self, run: str, path: Path, folder: str) -> None:
        """Copied below the run's folder."""
        target = self._folder / run / "artifacts" / folder
        target.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True)
        else:
            shutil.copy2(path, target)

    def finish(self, run: str, status: Literal["finished", "failed", "killed"]) -> None:
        """Note the status in run.json."""
        about = json.loads((self._folder / run / "run.json").read_bytes())
        self._write(run, {**about, "status": status})

    def fetch(self, run: str, folder: str, into: Path) -> Path:
        """The artefacts under `folder`, copied below `into`."""
        source = self._folder / run / "artifacts" / folder
        if not source.exists():
            raise NotFoundError(f"run {run} has no {folder}", f"look into {self._folder}")
        target = into / folder
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)
        return target

    def _metrics(self, run: str) -> Path:
        return self._folder / run / "metrics.csv"

    def _write(self, run: str, about: Mapping[str, Any]) -> None:
        content = json.dumps(about, indent=2, default=str)
        write_atomic(self._folder / run / "run.json", content.encode())


if TYPE_CHECKING:
    _fits: type[Tracker] = CsvTracker
