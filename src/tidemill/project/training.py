"""Training in a project: configuration, data, run, evaluation, export, registration."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import GateError, NotFoundError, nearest
from tidemill.process import limit_threads
from tidemill.project.configuration import config
from tidemill.project.data import open_for_task
from tidemill.project.database import tracking_address
from tidemill.project.evaluating import evaluate_model, evaluated
from tidemill.project.families import family_of
from tidemill.project.layout import Layout
from tidemill.project.runs import open_tracker
from tidemill.project.sources import TriedFamily
from tidemill.stages.runfolder import RunFolder, sweep

if TYPE_CHECKING:
    from tidemill.config.schema import Config
    from tidemill.dataset.read import PackedDataset
    from tidemill.domain.registry import ModelVersion
    from tidemill.domain.run import Run, RunSpec
    from tidemill.ports import Reporter, SourceModel, Tracker
    from tidemill.stages.evaluate import Evaluation
    from tidemill.stages.train import Opened


__all__ = ["Job", "Silent", "Trained", "carry_out", "evaluate_model", "evaluated", "make_room", "present_spec", "train"]


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training gave: its run, the evaluation on the test split, and what was registered.

    With `export.required=false` nothing may be: `refusal` then says why.
    """

    run: Run
    evaluation: Evaluation
    registered: tuple[ModelVersion, Path] | None
    refusal: str = ""

    @property
    def version(self) -> ModelVersion:
        """The registered version. Raises GateError when there is none."""
        return self._registered()[0]

    @property
    def bundle(self) -> Path:
        """The directory of its bundle. Raises GateError when there is none."""
        return self._registered()[1]

    def _registered(self) -> tuple[ModelVersion, Path]:
        if self.registered is None:
            raise GateError(f"the run {self.run.id} registered no version: {self.refusal}", "choose another model")
        return self.registered


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
    family_of(settings.task, layout.root).check(settings, data)
    spec, difference = present_spec(layout, settings, data, decision)
    make_room(layout, settings)
    return carry_out(Job(layout, settings, data, spec, difference, parent), report or Silent())


def make_room(layout: Layout, settings: Config) -> None:
    """Remove the oldest runs that did not finish, as `trainer.resume.keep` says, and say which."""
    keep = settings.trainer.resume.keep
    for record in sweep(layout.runs, keep):
        print(
            f"note: removed what run {record.run} left when it ended early (trainer.resume.keep={keep})",
            file=sys.stderr,
        )


def _check_decision(layout: Layout, decision: str | None) -> None:
    from tidemill.project.registry import ledger

    if decision is None:
        return
    known = [event.payload["decision"]["id"] for event in ledger(layout).events() if event.kind == "decided"]
    if decision not in known:
        raise NotFoundError(f"there is no decision {decision!r}", nearest(decision, known[-8:], kind="decisions"))


@dataclass(frozen=True)
class Job:
    """A training that is to be done, or to be finished: `resumed` is the folder of a run that is gone on with."""

    layout: Layout
    settings: Config
    data: PackedDataset
    spec: RunSpec
    difference: bytes
    parent: str = ""
    resumed: RunFolder | None = None


def carry_out(job: Job, report: Reporter) -> Trained:
    """From the run's first step, or from where it stands, to the registered version."""
    from tidemill.stages.train import tracked_run, train

    layout, settings = job.layout, job.settings
    tracker = open_tracker(layout, settings, parent=job.parent)
    with tracked_run(
        job.spec, difference=job.difference, tracker=tracker, folders=layout.runs, report=report,
        beside=_beside(layout, settings), parent=job.parent, where=tracking_address(),
        resumed=job.resumed,
    ) as opened:  # fmt: skip
        family = TriedFamily(layout, settings.task)
        run, model = train(opened, settings, job.data, family=family)
        family.remember(opened.folder.source)
        report.progress(0, 1, "evaluating")
        evaluation, run = _evaluated(opened, run, model, job.data)
        run = replace(run, id=tracker.settle(run.id))  # the bundle and its version name the run by MLflow's id
        report.progress(0, 1, "exporting")
        try:
            registered, refusal = _registered(job, run, model, evaluation, opened.folder.path / "evaluation"), ""
        except GateError as error:
            if settings.export.required:
                raise
            registered, refusal = None, error.headline
            _keep_refusal(opened, refusal)
    return Trained(replace(run, status="finished"), evaluation, registered, refusal)


def _keep_refusal(opened: Opened, refusal: str) -> None:
    """The run says why no version came of it."""
    file = opened.folder.path / "refused.txt"
    file.write_text(f"{refusal}\n", encoding="utf-8")
    for tracker, number in opened.runs:
        tracker.keep(number, file, "export")


def _evaluated(opened: Opened, run: Run, model: SourceModel, data: PackedDataset) -> tuple[Evaluation, Run]:
    """The model on the test split, kept by every tracker of the run."""
    folder = opened.folder.path / "evaluation"
    evaluation, tested = evaluated(run, model, data, source=opened.folder.source, folder=folder)
    opened.tracked.log({f"test_{name}": value for name, value in evaluation.metrics.items()}, 0)
    for tracker, number in opened.runs:
        tracker.keep(number, folder, "evaluation")
    return evaluation, tested


def _registered(
    job: Job, run: Run, model: SourceModel, evaluation: Evaluation, kept: Path
) -> tuple[ModelVersion, Path]:  # fmt: skip
    """The run's version: that which it registered before it was killed, or a new one; `kept` is its evaluation."""
    from tidemill.domain.registry import fold
    from tidemill.project import models
    from tidemill.project.registry import events

    layout, settings = job.layout, job.settings
    known = [
        version for version in fold(events(layout, settings.name)).versions.values()
        if version.run == run.id and layout.bundle(version.bundle).is_dir()
    ]  # fmt: skip
    if not known:
        return models.export_and_register(layout, settings, run, model, job.data, evaluation, kept=kept)
    models.reconcile(layout, known[-1].name)
    return known[-1], layout.bundle(known[-1].bundle)


def _beside(layout: Layout, settings: Config) -> list[Tracker]:
    from tidemill.project.loggers import open_beside

    return open_beside(layout, settings)


def present_spec(layout: Layout, settings: Config, data: PackedDataset, decision: str | None) -> tuple[RunSpec, bytes]:
    """What a run that began now would be made of, and how the code differs from its commit."""
    from tidemill.config.compose import config_plain
    from tidemill.domain.run import RunSpec
    from tidemill.stages.snapshot import code_state, environment

    code, difference = code_state(layout.root)
    spec = RunSpec(
        model=settings.name, config=config_plain(settings), seed=settings.seed, code=code, environment=environment(),
        dataset=data.version.tag, dataset_digest=data.version.digest, decision=decision,
    )  # fmt: skip
    return spec, difference
