"""Where runs are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

Told = Sequence[tuple[Mapping[str, float], int]]
"""Metrics by name, and their step, in the order in which they were logged."""


class Tracker(Protocol):
    """Keeps runs: parameters, metrics, artefacts."""

    def start(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """The id of the new run."""

    def resume(self, run: str, tags: Mapping[str, str], told: Told) -> str:
        """Open a run again whose process is gone; its id, which may be another.

        `told` is every metric that was logged before: what did not arrive, because it was held back when the process
        died, is taken now, and what did is not taken twice.
        """

    def log(self, run: str, metrics: Mapping[str, float], step: int) -> None: ...

    def keep(self, run: str, path: Path, folder: str) -> None:
        """Store a file, or all files under a directory, as artefacts of the run under `folder`."""

    def finish(self, run: str, status: Literal["finished", "failed", "killed"]) -> None: ...

    def fetch(self, run: str, folder: str, into: Path) -> Path:
        """Artefacts of a run as local files. Raises NotFoundError."""


class TrackerFactory(Protocol):
    """Opens a tracker that runs beside MLflow: `open_tracker` of its module, or an entry point `tidemill.trackers`."""

    def __call__(self, folder: Path, experiment: str) -> Tracker:
        """`folder` is its own, `.tidemill/KEY`; it need not exist. Raises MissingExtraError."""
