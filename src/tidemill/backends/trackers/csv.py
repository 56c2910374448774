"""Runs as folders of plain files: params.json, metrics.csv, and artefacts beside them."""

from __future__ import annotations

import csv
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tidemill.backends.trackers._files import fetch_files, keep_files
from tidemill.domain.record import now
from tidemill.files import write_atomic

if TYPE_CHECKING:
    from tidemill.ports import Told, Tracker, TrackerFactory


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

    def resume(self, run: str, tags: Mapping[str, str], told: Told) -> str:
        """A last line that a kill cut short is dropped, and told again."""
        about = json.loads((self._folder / run / "run.json").read_bytes())
        self._write(run, {**about, "tags": {**about["tags"], **tags}, "status": "running"})
        lines = self._metrics(run).read_bytes().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")]
        write_atomic(self._metrics(run), b"".join(whole))
        held = {(row[1], int(row[0])) for row in csv.reader(line.decode() for line in whole[1:])}
        for values, step in told:
            self.log(run, {name: value for name, value in values.items() if (name, step) not in held}, step)
        return run

    def log(self, run: str, metrics: Mapping[str, float], step: int) -> None:
        """A line for each metric."""
        at = now().isoformat()
        with self._metrics(run).open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows((step, name, value, at) for name, value in metrics.items())

    def keep(self, run: str, path: Path, folder: str) -> None:
        """Copied below the run's folder."""
        keep_files(path, folder, below=self._folder / run / "artifacts")

    def finish(self, run: str, status: Literal["finished", "failed", "killed"]) -> None:
        """Note the status in run.json."""
        about = json.loads((self._folder / run / "run.json").read_bytes())
        self._write(run, {**about, "status": status})

    def fetch(self, run: str, folder: str, into: Path) -> Path:
        """The artefacts under `folder`, copied below `into`."""
        return fetch_files(run, folder, into, below=self._folder / run / "artifacts")

    def _metrics(self, run: str) -> Path:
        return self._folder / run / "metrics.csv"

    def _write(self, run: str, about: Mapping[str, Any]) -> None:
        content = json.dumps(about, indent=2, default=str)
        write_atomic(self._folder / run / "run.json", content.encode())


def open_tracker(folder: Path, experiment: str) -> CsvTracker:
    """Runs below `folder`/`experiment`."""
    return CsvTracker(folder / experiment)


if TYPE_CHECKING:
    _opens: TrackerFactory = open_tracker
    _fits: type[Tracker] = CsvTracker
