"""Evaluating in a project: a model that was just trained, or a registered version on any data version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.config.schema import ReportConfig
from tidemill.errors import DataError
from tidemill.process import limit_threads
from tidemill.project.configuration import config
from tidemill.project.data import open_for_task
from tidemill.project.layout import Layout

if TYPE_CHECKING:
    from tidemill.bundle.preprocess import Preprocessor
    from tidemill.dataset.read import PackedDataset
    from tidemill.domain.bundle import Bundle
    from tidemill.domain.run import Environment, Run
    from tidemill.ports import SourceModel
    from tidemill.stages.evaluate import Evaluation
    from tidemill.stages.evaluation.records import About


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A version's figures on the test split of `dataset`, and the page that shows them and more."""

    evaluation: Evaluation
    dataset: str
    page: Path


def evaluated(
    run: Run, model: SourceModel, data: PackedDataset, *, source: Path, folder: Path
) -> tuple[Evaluation, Run]:  # fmt: skip
    """The model, saved at `source`, on the test split: tables and pictures in `folder`; the run with the figures."""
    from tidemill.project.models import lineage_of
    from tidemill.stages.details import write_details
    from tidemill.stages.evaluation.keep import write_report
    from tidemill.stages.evaluation.measure import measure
    from tidemill.stages.evaluation.page import Subject

    prepare, settings = _preprocessor(model, source).prepare, report_settings(run.spec.config)
    report, scored, examples = measure(
        model.signature, lambda part: model.score(prepare(part)), data, rows=settings.rows, about=about(settings),
        environment=run.spec.environment,
    )  # fmt: skip
    write_report(report, Subject(run.spec.model, model.signature, lineage_of(run)), folder)
    write_details(model.signature, scored, examples, folder)
    tested = {f"test_{name}": value for name, value in report.test.metrics.items()}
    return report.test, replace(run, metrics={**run.metrics, **tested})


def report_settings(plain: Mapping[str, Any]) -> ReportConfig:
    """The section `report` of a recorded configuration; older ones have none."""
    given = plain.get("report", {})
    return ReportConfig(**{each.name: given[each.name] for each in fields(ReportConfig) if each.name in given})


def about(settings: ReportConfig) -> About:
    """What the settings say of the model in words."""
    from tidemill.stages.evaluation.records import About

    said = (settings.intended_use, settings.not_for, settings.limits, settings.contact)
    return About(*(words.strip() for words in said))


def _preprocessor(model: SourceModel, source: Path) -> Preprocessor:
    """What makes requests ready for `model`, which was saved at `source`."""
    from tidemill.bundle.preprocess import Preprocessor

    tokenizer = source / "tokenizer.json"
    return Preprocessor(model.preprocessing, tokenizer if tokenizer.is_file() else None)


def evaluate_model(layout: Layout, model: str, *, name: str | None = None, version: str | None = None) -> Evaluation:
    """The figures of `evaluate_version`."""
    return evaluate_version(layout, model, name=name, version=version).evaluation


def evaluate_version(layout: Layout, model: str, *, name: str | None = None, version: str | None = None) -> Evaluated:
    """A registered model, as it would serve, on a data version: its figures on the test split, and a page.

    By default on the data set that it was trained on, in its latest version. Raises NotFoundError and DataError.
    """
    from tidemill.project import models, reports
    from tidemill.stages.evaluation.measure import measure
    from tidemill.stages.evaluation.page import Subject

    limit_threads()
    found = models.resolve(layout, model)
    predictor = models.open_predictor(layout, found)
    bundle = predictor.bundle
    trained_on = bundle.lineage.dataset.rpartition("-v")[0]
    data = open_for_task(layout, name or trained_on, version or "latest", bundle.task)
    if data.version.kind != bundle.signature.kind:
        raise DataError(
            f"{data.version.tag} is for {data.version.kind}, and {model} does {bundle.signature.kind}",
            "name data of the same kind with --data",
        )
    settings = config(layout).report
    report, _, _ = measure(
        bundle.signature, predictor.score, data, rows=settings.rows, about=about(settings),
        environment=_environment(layout, bundle),
    )  # fmt: skip
    page = reports.keep_evaluation(layout, report, Subject(str(found), bundle.signature, bundle.lineage, served=True))
    return Evaluated(report.test, data.version.tag, page)


def _environment(layout: Layout, bundle: Bundle) -> Environment | None:
    """Where the model was trained, as far as its run can be read."""
    from tidemill.project.runs import read_spec, run_files

    spec, _ = read_spec(run_files(layout, bundle.lineage.run).get("spec.json"))
    return None if spec is None else spec.environment
