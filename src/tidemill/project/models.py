"""Models and their versions: what there is, what is champion, and how one becomes it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.bundle import Lineage
from tidemill.domain.registry import ModelVersion
from tidemill.process import usable_cores
from tidemill.project.bundles import local_bundle, open_model, open_predictor
from tidemill.project.layout import Layout
from tidemill.project.promoting import history, promote, rollback, verify
from tidemill.project.publishing import reconcile
from tidemill.project.registry import (
    ALIASES,
    ModelRef,
    is_bundle,
    ledger,
    names,
    parse_model,
    resolve,
    state,
    tracking_uri,
)
from tidemill.project.runs import read_spec, run_files

if TYPE_CHECKING:
    from tidemill.bundle.read import OpenBundle
    from tidemill.config.schema import Config
    from tidemill.dataset.read import PackedDataset
    from tidemill.domain.run import Run
    from tidemill.ports import Reporter, SourceModel
    from tidemill.stages.evaluate import Evaluation

__all__ = [
    "ALIASES",
    "ModelRef",
    "export_and_register",
    "export_bundle",
    "history",
    "is_bundle",
    "ledger",
    "lineage_of",
    "local_bundle",
    "names",
    "open_model",
    "open_predictor",
    "parse_model",
    "promote",
    "reconcile",
    "register_bundle",
    "resolve",
    "rollback",
    "state",
    "verify",
]


def export_and_register(
    layout: Layout,
    config: Config,
    run: Run,
    model: SourceModel,
    data: PackedDataset,
    evaluation: Evaluation,
    reporter: Reporter | None = None,
    *,
    kept: Path,
) -> tuple[ModelVersion, Path]:
    """The bundle of a trained model as a new version, the challenger; with the bundle's directory.

    `kept` holds what its evaluation left. Raises GateError when the export is not its source.
    """
    from tidemill.stages.evaluation.keep import write_bundle_report
    from tidemill.stages.evaluation.page import Subject

    with tempfile.TemporaryDirectory() as folder:
        subject = Subject(config.name, model.signature, lineage_of(run))
        write_bundle_report(evaluation, kept, subject, Path(folder))
        opened = export_bundle(
            layout, config, run, model, data, metrics=evaluation.metrics, per_class=evaluation.per_class,
            report=Path(folder), reporter=reporter,
        )  # fmt: skip
    return register_bundle(layout, opened), opened.directory


def export_bundle(
    layout: Layout, config: Config, run: Run, model: SourceModel, data: PackedDataset, *, metrics: Mapping[str, float],
    per_class: Mapping[str, Mapping[str, float]], report: Path, reporter: Reporter | None = None,
) -> OpenBundle:  # fmt: skip
    """The bundle of a trained model among the project's bundles; the files in `report` go with it.

    Raises GateError when the export is not its source.
    """
    from tidemill.backends.runtimes.onnx import OnnxRuntime
    from tidemill.project.bundles import remember_proven
    from tidemill.project.calibration import exporter_of
    from tidemill.stages.export import export

    opened = export(
        model, data.examples("test"), name=config.name, config=config.export, lineage=lineage_of(run), metrics=metrics,
        per_class=per_class, exporter=exporter_of(config.export, model, data), runtime=OnnxRuntime(),
        bundles=layout.bundles, staging=layout.staging, threads=usable_cores(), report=report,
        refused=layout.exports / run.id, reporter=reporter,
    )  # fmt: skip
    remember_proven(layout, opened.digest)
    return opened


def register_bundle(layout: Layout, opened: OpenBundle) -> ModelVersion:
    """The bundle as a version, the challenger; one that its run has registered already keeps its number."""
    from tidemill.backends.registries.mlflow import MlflowRegistry
    from tidemill.stages.register import register

    version = register(
        opened, registry=MlflowRegistry(tracking_uri(layout)), ledger=ledger(layout), tags=_family(layout, opened)
    )
    reconcile(layout, version.name)
    return version


def _family(layout: Layout, opened: OpenBundle) -> dict[str, str]:
    """The kind of model as a tag to search by, as far as the run still says it."""
    spec, _ = read_spec(run_files(layout, opened.bundle.lineage.run).get("spec.json"))
    model = spec.config.get("model", {}) if spec is not None else {}
    kind = model.get("kind") if isinstance(model, Mapping) else None
    return {"family": str(kind)} if kind else {}


def lineage_of(run: Run) -> Lineage:
    """Where the bundle of `run` comes from."""
    spec = run.spec
    return Lineage(
        run=run.id,
        spec=spec.digest,
        config=spec.config_digest,
        code=spec.code.digest,
        commit=spec.code.commit,
        environment=spec.environment.digest,
        dataset=spec.dataset,
        dataset_digest=spec.dataset_digest,
        seed=spec.seed,
        decision=spec.decision,
    )
