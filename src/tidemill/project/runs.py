"""Where runs are kept: the tracker, and what it holds of a run's lineage."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.address import bare_address
from tidemill.domain.record import from_plain
from tidemill.domain.run import RunSpec
from tidemill.errors import MissingExtraError, NotFoundError, StorageError
from tidemill.project.configuration import config
from tidemill.project.layout import Layout

if TYPE_CHECKING:
    from tidemill.backends.trackers.mlflow import MlflowTracker
    from tidemill.config.schema import Config


def open_tracker(layout: Layout, settings: Config, *, parent: str = "", spooled: bool = False) -> MlflowTracker:
    """MLflow, on the project's database or where MLFLOW_TRACKING_URI says; that one may be away, and is not asked here.

    With `spooled` it knows what waits in the project's spool, whatever its own place.
    Raises InputError for an address that is none.
    """
    from tidemill.project.database import foreign_uri, is_local, store_uri

    uri = store_uri(layout)
    from tidemill.backends.trackers.mlflow import MlflowTracker

    if settings.logger.artifacts.startswith("s3://") and find_spec("boto3") is None:
        raise MissingExtraError("logger.artifacts=s3://…", "s3")
    served = uri.startswith(("http://", "https://"))  # then the server says where artefacts go
    artifacts = settings.logger.artifacts or (None if served else layout.artifacts)
    remote = not is_local(uri) or "://" in settings.logger.artifacts
    experiment = settings.logger.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or settings.name
    return MlflowTracker(
        uri, experiment=experiment, artifacts=artifacts, parent=parent, system_metrics=settings.logger.system_metrics,
        spool=layout.spool if remote or spooled else None, wait=settings.logger.wait,
        address=bare_address(foreign_uri()),
    )  # fmt: skip


def sync(layout: Layout) -> Iterator[tuple[str, int]]:
    """Send what ended runs could not tell the tracking server: each run's id, and how many entries it was.

    Raises StorageError when the server is still away, or for what cannot be read, StateError for what is meant for
    another server than MLFLOW_TRACKING_URI says; what was sent by then stays sent.
    """
    from tidemill.backends.trackers._spool import spools

    if not spools(layout.spool):
        return
    from tidemill.backends.trackers.mlflow import Away

    try:
        yield from open_tracker(layout, config(layout), spooled=True).sync()
    except Away as error:
        raise StorageError(
            f"the tracking server is still away: {error}", f"the rest waits in {layout.spool}; run this again later"
        ) from None


def run_files(layout: Layout, run: str) -> dict[str, bytes]:
    """The files of a run's lineage by name: from the project's own folder without MLflow, else fetched."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", run):
        return {}
    own = [layout.artifacts / run, *layout.artifacts.glob(f"*/{run}")]
    folder = next((each / "artifacts" / "lineage" for each in own if each.is_dir()), None)
    if folder is not None:
        return _read_files(folder)
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return {}
    with tempfile.TemporaryDirectory() as temporary:
        tracker = open_tracker(layout, config(layout))
        try:
            return _read_files(tracker.fetch(run, "lineage", Path(temporary)))
        except NotFoundError:
            return {}


def _read_files(folder: Path) -> dict[str, bytes]:
    names = [name for name in ("spec.json", "dirty.diff") if (folder / name).is_file()]
    return {name: (folder / name).read_bytes() for name in names}


def read_spec(content: bytes | None) -> tuple[RunSpec | None, str]:
    """The record in `spec.json`, or None and why there is none."""
    if content is None:
        return None, "the run's spec.json is missing"
    try:
        return from_plain(RunSpec, json.loads(content)), ""
    except (ValueError, RecursionError) as error:
        return None, f"the run's spec.json cannot be read: {str(error)[:100]}"
