"""What each step does: it fills a folder, and says facts of it. `tidemill train` is made of the same parts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.domain.record import from_plain, to_plain
from tidemill.domain.run import Run
from tidemill.errors import StateError
from tidemill.project.data import open_for_task
from tidemill.project.layout import Layout
from tidemill.project.runs import open_tracker
from tidemill.project.sources import TriedFamily

if TYPE_CHECKING:
    from tidemill.backends.trackers.mlflow import MlflowTracker
    from tidemill.config.schema import Config
    from tidemill.dataset.read import PackedDataset
    from tidemill.ports import Reporter
    from tidemill.stages.pipeline import Receipt
    from tidemill.stages.train import Opened

RUN, SOURCE = "run.json", "source"
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Work:
    """What a step works with: `given` are the folders of the steps before it, `receipts` what they say."""

    layout: Layout
    settings: Config
    given: Mapping[str, Path]
    receipts: Mapping[str, Receipt]
    report: Reporter

    @property
    def data(self) -> PackedDataset:
        """The data version that the step `data` found. Raises StateError when it is another by now."""
        facts = self.receipts["data"].facts
        name, _, version = facts["dataset"].rpartition("-v")
        found = open_for_task(self.layout, name, version, self.settings.task)
        if found.version.digest != facts["digest"]:
            raise StateError(f"{facts['dataset']} is not what the step data found", "run the pipeline from there")
        return found

    @property
    def run(self) -> Run:
        """The run of the step `train`."""
        return from_plain(Run, json.loads((self.given["train"] / RUN).read_bytes()))


def data(work: Work, into: Path) -> Facts:
    """The record of the data version; its files stay where the store has them."""
    settings = work.settings
    found = open_for_task(work.layout, settings.data.name, settings.data.version, settings.task).version
    (into / "dataset.json").write_text(json.dumps(to_plain(found), indent=2), encoding="utf-8")
    return {"dataset": found.tag, "digest": found.digest, "rows": found.rows}


def train(work: Work, into: Path) -> Facts:
    """One run in the tracker, from its first parameter to its weights; one that was killed is gone on with."""
    from tidemill.project.training import present_spec
    from tidemill.stages.train import train as fit

    settings, layout, data = work.settings, work.layout, work.data
    family = TriedFamily(layout, settings.task)
    family.check(settings, data)
    spec, difference = present_spec(layout, settings, data, None)
    tracker = open_tracker(layout, settings)
    with _open_run(work, tracker, spec, difference) as opened:
        run, _ = fit(opened, settings, data, family=family)
        run = replace(run, id=tracker.settle(run.id), status="finished")
        shutil.copytree(opened.folder.source, into / SOURCE)
        family.remember(into / SOURCE)
        (into / RUN).write_text(json.dumps(to_plain(run), indent=2), encoding="utf-8")
    return {"run": run.id}


@contextmanager
def _open_run(work: Work, tracker: MlflowTracker, spec: Any, difference: bytes) -> Iterator[Opened]:
    from contextlib import ExitStack

    from tidemill.project.database import tracking_address
    from tidemill.project.loggers import open_beside
    from tidemill.project.resuming import resumable
    from tidemill.project.training import make_room
    from tidemill.stages.runfolder import reopen
    from tidemill.stages.train import tracked_run

    layout, where = work.layout, tracking_address()
    make_room(layout, work.settings)
    with ExitStack() as stack:
        killed = next((each for each in resumable(layout) if each.spec == spec and each.tracker in (None, where)), None)
        folder = stack.enter_context(reopen(layout.runs, killed.run)) if killed else None
        yield stack.enter_context(
            tracked_run(
                spec, difference=difference, tracker=tracker, folders=layout.runs, report=work.report,
                beside=open_beside(layout, work.settings), where=where, resumed=folder,
            )
        )  # fmt: skip


def evaluate(work: Work, into: Path) -> Facts:
    """Figures, tables and pictures of the test split, in the run that trained."""
    from tidemill.project.training import evaluated

    source = work.given["train"] / SOURCE
    model = TriedFamily(work.layout, work.settings.task).load(source)
    evaluation, run = evaluated(work.run, model, work.data, source=source, folder=into)
    with _attached(work, run) as tracker:
        tracker.log(run.id, {f"test_{name}": value for name, value in evaluation.metrics.items()}, 0)
        tracker.keep(run.id, into, "evaluation")
    return {"run": run.id, **{name: float(value) for name, value in evaluation.metrics.items()}}


@contextmanager
def _attached(work: Work, run: Run) -> Iterator[MlflowTracker]:
    """The run of the training, open again. Other loggers heard of it while it trained."""
    settings = replace(work.settings, logger=replace(work.settings.logger, system_metrics=False))
    tracker = open_tracker(work.layout, settings)
    tracker.resume(run.id, {}, ())
    try:
        yield tracker
    finally:
        tracker.finish(run.id, "finished")


def export(work: Work, into: Path) -> Facts:
    """The bundle, among the project's and here. Raises GateError when it does not answer as its source."""
    import tempfile

    from tidemill.project.models import export_bundle, lineage_of
    from tidemill.stages.evaluate import Evaluation
    from tidemill.stages.evaluation.keep import write_bundle_report
    from tidemill.stages.evaluation.page import Subject

    kept = work.given["evaluate"]
    evaluation = from_plain(Evaluation, json.loads((kept / "evaluation.json").read_bytes()))
    model = TriedFamily(work.layout, work.settings.task).load(work.given["train"] / SOURCE)
    with tempfile.TemporaryDirectory() as report:
        subject = Subject(work.settings.name, model.signature, lineage_of(work.run))
        write_bundle_report(evaluation, kept, subject, Path(report))
        opened = export_bundle(
            work.layout, work.settings, work.run, model, work.data, metrics=evaluation.metrics,
            per_class=evaluation.per_class, report=Path(report), reporter=work.report,
        )  # fmt: skip
    shutil.copytree(opened.directory, into / "bundle")
    parity = opened.bundle.parity
    return {"bundle": opened.digest, "changed": parity.changed, "rows": parity.rows}


def register(work: Work, into: Path) -> Facts:
    """The bundle as a version of its model."""
    from tidemill.bundle.read import open_bundle
    from tidemill.project.models import register_bundle
    from tidemill.stages.export import place

    digest = work.receipts["export"].facts["bundle"]
    there = work.layout.bundles / digest.removeprefix("sha256:")
    if not there.is_dir():  # exported on another machine
        open_bundle(work.given["export"] / "bundle", expected=digest)
        shutil.copytree(work.given["export"] / "bundle", into / "bundle")
        place(into / "bundle", there, staging=work.layout.staging)
        shutil.rmtree(into / "bundle")
    version = register_bundle(work.layout, open_bundle(there, expected=digest))
    (into / "version.json").write_text(json.dumps(to_plain(version), indent=2), encoding="utf-8")
    return {"version": str(version), "bundle": digest}


DO: Mapping[str, Callable[[Work, Path], Facts]] = {
    "data": data, "train": train, "evaluate": evaluate, "export": export, "register": register,
}  # fmt: skip
