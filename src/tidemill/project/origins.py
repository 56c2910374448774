"""A registered version together with the source model its run keeps, and the data that it was trained on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.registry import ModelVersion
from tidemill.errors import GateError
from tidemill.files import sweep_staging
from tidemill.process import limit_threads
from tidemill.project.bundles import local_bundle
from tidemill.project.configuration import config
from tidemill.project.data import open_for_task
from tidemill.project.layout import Layout
from tidemill.project.registry import resolve
from tidemill.project.runs import open_tracker
from tidemill.project.sources import TriedFamily

if TYPE_CHECKING:
    from tidemill.bundle.read import OpenBundle
    from tidemill.config.schema import ExportConfig
    from tidemill.dataset.read import PackedDataset
    from tidemill.ports import SourceModel


@dataclass(frozen=True, slots=True)
class Origin:
    """`folder` is empty, and gone when the work is done; `settings` are the project's of today."""

    layout: Layout
    version: ModelVersion
    opened: OpenBundle
    model: SourceModel
    data: PackedDataset
    settings: ExportConfig
    folder: Path


@contextmanager
def origin(layout: Layout, model: str) -> Iterator[Origin]:
    """What `model` (name@alias or name/version) was exported from.

    Raises NotFoundError for a run without source, GateError when the data's tag was moved.
    """
    from tidemill.bundle.read import open_bundle

    limit_threads()
    version = resolve(layout, model)
    opened = open_bundle(local_bundle(layout, version), expected=version.bundle)
    lineage = opened.bundle.lineage
    name, _, number = lineage.dataset.rpartition("-v")
    data = open_for_task(layout, name, number, opened.bundle.task)
    if data.version.digest != lineage.dataset_digest:
        raise GateError(
            f"{lineage.dataset} is not the data that {version} was trained on", "its tag was moved: restore it"
        )
    settings = config(layout)
    layout.staging.mkdir(parents=True, exist_ok=True)
    sweep_staging(layout.staging)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=layout.staging) as folder:
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # the command has a bar of its own
        fetched = open_tracker(layout, settings).fetch(lineage.run, "source", Path(folder) / "source")
        source = TriedFamily(layout, opened.bundle.task).load(fetched)
        work = Path(folder) / "work"
        work.mkdir()
        yield Origin(layout, version, opened, source, data, settings.export, work)
