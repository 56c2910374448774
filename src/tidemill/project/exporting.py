"""A registered version exported again from its source model: as a check, in fewer bits, or in a format of torch."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.bundle import Parity, Precision
from tidemill.domain.digest import Digest
from tidemill.domain.registry import ModelVersion
from tidemill.errors import InputError
from tidemill.files import staged_directory
from tidemill.process import usable_cores
from tidemill.project.layout import Layout
from tidemill.project.origins import Origin, origin

if TYPE_CHECKING:
    from tidemill.bundle.read import OpenBundle
    from tidemill.ports import Reporter
    from tidemill.stages.parity import Comparison


@dataclass(frozen=True, slots=True)
class Exported:
    """`parity` of the new export with the source model; `same_graph`: it is the registered one, byte for byte.

    `bundle` is the registered bundle's digest, or the new one's when the precision is another; `registered` the new
    version, when one was asked for.
    """

    version: ModelVersion
    parity: Parity
    same_graph: bool
    graph_bytes: int
    bundle: Digest
    to: Path | None
    registered: ModelVersion | None = None


def export_again(
    layout: Layout, model: str, *, to: Path | None = None, precision: Precision | None = None, register: bool = False,
    reporter: Reporter | None = None,
) -> Exported:  # fmt: skip
    """Export `model` anew from the source its run keeps, and compare it on the test split that it was trained with.

    `to` is a directory to be made: with the bundle as it is registered, so that what it answers can be traced, or with
    the new one when `precision` is another. `register` makes that a version, the challenger. Raises GateError when
    parity does not hold, NotFoundError for a run without source, InputError for a `to` that is taken.
    """
    from tidemill.bundle.read import GRAPH

    if to is not None:
        check_free(to)
    with origin(layout, model) as found:
        registered = found.opened.bundle
        asked = precision or registered.parity.precision
        other = asked != registered.parity.precision
        if register and not other:
            raise InputError(f"{found.version} is registered in {asked} already", "name another --precision")
        fresh, comparison = _built(found, asked, reporter)
        graphs = fresh.bundle.files[GRAPH], registered.files[GRAPH]
        chosen = fresh if other else found.opened
        if to is not None:
            write_out(chosen, to)
        made = _register(found, fresh) if register else None
    same = graphs[0].digest == graphs[1].digest
    return Exported(found.version, comparison.parity, same, graphs[0].bytes, chosen.digest, to, made)


def _built(found: Origin, precision: Precision, reporter: Reporter | None) -> tuple[OpenBundle, Comparison]:
    from tidemill.backends.runtimes.onnx import OnnxRuntime
    from tidemill.project.calibration import exporter_of
    from tidemill.stages.export import build

    settings = replace(found.settings, precision=precision)
    built = found.folder / "bundle"
    built.mkdir()
    record = found.opened.bundle
    return build(
        built,
        found.model,
        found.data.examples("test"),
        name=record.name,
        config=settings,
        lineage=record.lineage,
        metrics=record.metrics,
        per_class=record.per_class,
        exporter=exporter_of(settings, found.model, found.data),
        runtime=OnnxRuntime(),
        threads=usable_cores(),
        report=_report(found),
        refused=found.layout.exports / f"{found.version.name}-{found.version.number}-{precision}",
        reporter=reporter,
    )


def _report(found: Origin) -> Path:
    """The registered bundle's report, which tells of the source model, without the page of its own parity."""
    from tidemill.stages.parity_page import PAGE

    folder = found.folder / "report"
    folder.mkdir()
    for name in found.opened.bundle.files:
        if name.startswith("report/") and name != f"report/{PAGE}":
            shutil.copyfile(found.opened.directory / name, folder / name.removeprefix("report/"))
    return folder


def _register(found: Origin, fresh: OpenBundle) -> ModelVersion:
    from tidemill.project.bundles import remember_proven
    from tidemill.project.models import register_bundle
    from tidemill.stages.export import place

    final = found.layout.bundle(fresh.digest)
    place(fresh.directory, final, staging=found.layout.staging)
    remember_proven(found.layout, fresh.digest)
    return register_bundle(found.layout, replace(fresh, directory=final))


def write_out(opened: OpenBundle, to: Path) -> None:
    """Copy an audited bundle to the new directory `to`, whole or not at all."""
    check_free(to)
    with staged_directory(to, staging=to.absolute().parent) as beside:
        shutil.copytree(opened.directory, beside, dirs_exist_ok=True)


def check_free(to: Path) -> None:
    """Raises InputError for a place that something is at."""
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise InputError(f"{to} exists already", "name a directory that is not there yet")
