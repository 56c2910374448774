"""Training in a project: configuration, data, run, evaluation, export, registration."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tidemill.errors import DataError, NotFoundError, nearest
from tidemill.files import sweep_staging
from tidemill.process import limit_threads
from tidemill.project.configuration import config
from tidemill.project.data import open_for_task
from tidemill.project.families import family_of
from tidemill.project.layout import Layout
from tidemill.project.runs import open_tracker

if TYPE_CHECKING:
    from tidemill.bundle.preprocess import Preprocessor
    from tidemill.config.schema import Config
    from tidemill.dataset.read import PackedDataset
    from tidemill.domain.registry import ModelVersion
    from tidemill.domain.run import Run, RunSpec
    from tidemill.ports import Reporter, SourceModel, Tracker
    from tidemill.stages.evaluate import Evaluation


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training gave: its run, the registered version, the evaluation on the test split, and the bundle."""

    run: Run
    version: ModelVersion
    evaluation: Evaluation
    bundle: Path


class Silent:
    """A Reporter for nobody."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Say nothing."""

    def progress(self, done: int, total: int, note: str) -> None:
        """Say nothing."""


def train(
    layout: Layout, overrides: Sequence[str] = (), *, settings: Config | None = None, report: Reporter | None = None,
    decision: str | None = None, parent: str = "",
) -> Trained:  # fmt: skip
    """Train, evaluate on the test split, export, and register as challenger.

    The configuration is the project's with `overrides`, or `settings` where given.
    `decision` is the id of the RetrainDecision that asked for it, `parent` the run it is shown under. Raises
    ConfigError, DataError or StateError before any work starts; after that the run is marked failed or killed.
    """
    limit_threads()
    settings = settings or config(layout, overrides)
    _check_decision(layout, decision)
    data = open_for_task(layout, settings.data.name, settings.data.version, settings.task)
    spec, difference = _spec(layout, settings, data, decision)
    tracker = open_tracker(layout, settings, parent=parent)
    with _workdir(layout, settings) as workdir:
        return _run(layout, settings, data, spec, difference, tracker, report or Silent(), workdir)


def _check_decision(layout: Layout, decision: str | None) -> None:
    from tidemill.project.registry import ledger

    if decision is None:
        return
    known = [event.payload["decision"]["id"] for event in ledger(layout).events() if event.kind == "decided"]
    if decision not in known:
        raise NotFoundError(f"there is no decision {decision!r}", nearest(decision, known[-8:], kind="decisions"))


def _run(
    layout: Layout, settings: Config, data: PackedDataset, spec: RunSpec, difference: bytes, tracker: Tracker,
    report: Reporter, workdir: Path,
) -> Trained:  # fmt: skip
    from tidemill.project import models
    from tidemill.stages.details import write_details
    from tidemill.stages.evaluate import evaluate, score_inputs, write_evaluation
    from tidemill.stages.train import tracked_run, train

    beside = _beside(layout, settings)
    with tracked_run(spec, difference=difference, tracker=tracker, workdir=workdir, beside=beside) as (begun, runs):
        family = family_of(settings.task, layout.root)
        run, model = train(begun, settings, data, family=family, runs=runs, report=report, workdir=workdir)
        report.progress(0, 1, "evaluating")
        examples = data.examples("test")
        prepare = _preprocessor(model, workdir).prepare
        scored = score_inputs(lambda part: model.score(prepare(part)), examples.inputs)
        evaluation = evaluate(model.signature, scored, examples)
        write_evaluation(evaluation, workdir / "evaluation")
        write_details(model.signature, scored, examples, workdir / "evaluation")
        tested = {f"test_{name}": value for name, value in evaluation.metrics.items()}
        run = replace(run, metrics={**run.metrics, **tested})
        for each, number in runs:
            each.log(number, tested, 0)
            each.keep(number, workdir / "evaluation", "evaluation")
        report.progress(0, 1, "exporting")
        version, bundle = models.export_and_register(layout, settings, run, model, data, evaluation)
    return Trained(replace(run, status="finished"), version, evaluation, bundle)


def _preprocessor(model: SourceModel, workdir: Path) -> Preprocessor:
    """What makes requests ready for `model`, which was saved under `source/`."""
    from tidemill.bundle.preprocess import Preprocessor

    tokenizer = workdir / "source" / "tokenizer.json"
    return Preprocessor(model.preprocessing, tokenizer if tokenizer.is_file() else None)


def evaluate_model(layout: Layout, model: str, *, name: str | None = None, version: str | None = None) -> Evaluation:
    """A registered model, as it would serve, on the test split of a data version.

    By default the data set that it was trained on, in its latest version. Raises NotFoundError and DataError.
    """
    from tidemill.project import models
    from tidemill.stages.evaluate import evaluate, score_inputs

    limit_threads()
    predictor = models.open_predictor(layout, models.resolve(layout, model))
    trained_on = predictor.bundle.lineage.dataset.rpartition("-v")[0]
    data = open_for_task(layout, name or trained_on, version or "latest", predictor.bundle.task)
    if data.version.kind != predictor.bundle.signature.kind:
        raise DataError(
            f"{data.version.tag} is for {data.version.kind}, and {model} does {predictor.bundle.signature.kind}",
            "name data of the same kind with --data",
        )
    examples = data.examples("test")
    return evaluate(predictor.bundle.signature, score_inputs(predictor.score, examples.inputs), examples)


@contextmanager
def parent_run(layout: Layout, first: Sequence[str], number: int) -> Iterator[str]:
    """A run that holds the `number` trainings of a grid together, `first` being the overrides of one; yields its id."""
    settings = config(layout, first)
    tracker = open_tracker(layout, settings)
    run = tracker.start(f"{settings.name} grid of {number}", {}, {"tidemill.model": settings.name})
    status: Literal["finished", "failed", "killed"] = "failed"
    try:
        yield run
        status = "finished"
    except (KeyboardInterrupt, SystemExit):
        status = "killed"
        raise
    finally:
        tracker.finish(run, status)


def _beside(layout: Layout, settings: Config) -> list[Tracker]:
    from tidemill.project.loggers import open_beside

    return open_beside(layout, settings)


def _spec(layout: Layout, settings: Config, data: PackedDataset, decision: str | None) -> tuple[RunSpec, bytes]:
    from tidemill.config.compose import config_plain
    from tidemill.domain.run import RunSpec
    from tidemill.stages.snapshot import code_state, environment

    code, difference = code_state(layout.root)
    spec = RunSpec(
        model=settings.name, config=config_plain(settings), seed=settings.seed, code=code, environment=environment(),
        dataset=data.version.tag, dataset_digest=data.version.digest, decision=decision,
    )  # fmt: skip
    return spec, difference


@contextmanager
def _workdir(layout: Layout, settings: Config) -> Iterator[Path]:
    """A folder for what the training writes on its way; what killed ones left is removed."""
    scratch = layout.root / settings.paths.scratch / "training"  # of its own: sweeping removes by name
    sweep_staging(scratch)
    folder = scratch / f"{os.getpid()}-{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
