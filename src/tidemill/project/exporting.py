"""A registered version exported again from its source model, as a check; and its bundle written out."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.bundle import Parity
from tidemill.domain.digest import Digest
from tidemill.domain.registry import ModelVersion
from tidemill.errors import GateError, InputError
from tidemill.files import staged_directory
from tidemill.process import usable_cores
from tidemill.project.bundles import local_bundle
from tidemill.project.configuration import config
from tidemill.project.data import open_for_task
from tidemill.project.families import family_of
from tidemill.project.layout import Layout
from tidemill.project.registry import resolve
from tidemill.project.runs import open_tracker

if TYPE_CHECKING:
    from tidemill.bundle.read import OpenBundle
    from tidemill.ports import Reporter, SourceModel


@dataclass(frozen=True, slots=True)
class Exported:
    """`parity` of the new export with the source model; `same_graph`: it is the registered one, byte for byte."""

    version: ModelVersion
    parity: Parity
    same_graph: bool
    graph_bytes: int
    bundle: Digest
    to: Path | None


def export_again(layout: Layout, model: str, *, to: Path | None = None, reporter: Reporter | None = None) -> Exported:
    """Export `model` anew from the source its run keeps, and compare it on the test split that it was trained with.

    `to` is a directory to be made, with the bundle as it is registered, so that what it answers can be traced. Raises
    GateError when parity does not hold, NotFoundError for a run without source, InputError for a `to` that is taken.
    """
    from tidemill.backends.exporters.onnx import OnnxExporter
    from tidemill.backends.runtimes.onnx import OnnxRuntime
    from tidemill.bundle.read import GRAPH, open_bundle
    from tidemill.stages.export import build

    if to is not None:
        _check_free(to)
    version = resolve(layout, model)
    opened = open_bundle(local_bundle(layout, version), expected=version.bundle)
    lineage = opened.bundle.lineage
    name, _, number = lineage.dataset.rpartition("-v")
    data = open_for_task(layout, name, number, opened.bundle.task)
    if data.version.digest != lineage.dataset_digest:
        raise GateError(
            f"{lineage.dataset} is not the data that {version} was trained on", "its tag was moved: restore it"
        )
    layout.staging.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=layout.staging) as folder:
        source = _source(layout, opened, Path(folder) / "source")
        built = Path(folder) / "bundle"
        built.mkdir()
        fresh, comparison = build(
            built,
            source,
            data.examples("test"),
            name=opened.bundle.name,
            config=config(layout).export,
            lineage=lineage,
            metrics=opened.bundle.metrics,
            per_class=opened.bundle.per_class,
            exporter=OnnxExporter(),
            runtime=OnnxRuntime(),
            threads=usable_cores(),
            reporter=reporter,
        )
    if to is not None:
        write_out(opened, to)
    graphs = fresh.bundle.files[GRAPH], opened.bundle.files[GRAPH]
    same = graphs[0].digest == graphs[1].digest
    return Exported(version, comparison.parity, same, graphs[0].bytes, version.bundle, to)


def write_out(opened: OpenBundle, to: Path) -> None:
    """Copy an audited bundle to the new directory `to`, whole or not at all."""
    _check_free(to)
    with staged_directory(to, staging=to.absolute().parent) as beside:
        shutil.copytree(opened.directory, beside, dirs_exist_ok=True)


def _check_free(to: Path) -> None:
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise InputError(f"{to} exists already", "name a directory that is not there yet")


def _source(layout: Layout, opened: OpenBundle, into: Path) -> SourceModel:
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # the command has a bar of its own
    tracker = open_tracker(layout, config(layout))
    found = tracker.fetch(opened.bundle.lineage.run, "source", into)
    return family_of(opened.bundle.task, layout.root).load(found)
