"""Watching what serves: a report on its traffic, a decision from the report, and the retraining that it calls for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from tidemill.domain.dataset import DatasetVersion, Version
from tidemill.domain.digest import Digest
from tidemill.domain.drift import DriftReport, RetrainDecision, Window
from tidemill.domain.prediction import new_prediction_id as new_id
from tidemill.domain.record import now, to_plain
from tidemill.domain.registry import Event, ModelVersion, fold
from tidemill.errors import BundleError, BusyError, GateError, NotFoundError, StateError
from tidemill.files import locked
from tidemill.journal.sweep import seal_abandoned
from tidemill.project import data, models, reports, serving, training
from tidemill.project.configuration import config, config_like
from tidemill.project.layout import Layout

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.config.schema import Config
    from tidemill.domain.bundle import Lineage
    from tidemill.ports import Reporter


@dataclass(frozen=True, slots=True)
class Retrained:
    """What `retrain` did. `trained` is the challenger, `promotion` the ledger's line by which it became champion."""

    decision: RetrainDecision
    trained: ModelVersion | None
    promotion: Event | None
    note: str


@dataclass(frozen=True, slots=True)
class _Traffic:
    """The newest answers of one version; `span` says which."""

    model: ModelVersion
    table: pa.Table
    span: Window


def monitor(layout: Layout, name: str, *, version: int | None = None, since: datetime | None = None) -> DriftReport:
    """Report on the newest answers of a version (the champion's by default), and keep it under `reports/ID/`.

    Raises NotFoundError for an unknown name or version, StateError when there is no traffic to report on.
    """
    model = models.resolve(layout, f"{name}@champion" if version is None else f"{name}/{version}")
    settings = config(layout)
    return _report(layout, _traffic(layout, model, settings, since), settings)[0]


def decide(layout: Layout, name: str, *, force: str | None = None) -> RetrainDecision:
    """Whether the champion of `name` should be replaced, by its latest report; kept in the ledger.

    A new report is made when there is none, or when there are more answers or labels since; a label that was corrected
    adds none, and the report stays. `force`, a reason, makes the verdict 'retrain' in any case.
    """
    from tidemill.stages import retrain as policy

    model = models.resolve(layout, f"{name}@champion")
    settings = config(layout)
    traffic = _traffic(layout, model, settings, None)
    ledger = models.ledger(layout)
    events = ledger.events(name)
    known = reports.latest(layout, events, model.number)
    if known is None or known[0].window != traffic.span:
        known = _report(layout, traffic, settings)
    decision = policy.decide(
        known[0],
        settings.retrain,
        report_digest=known[1],
        trained_on=_trained_on(layout, model),
        newest=_newest(layout, model),
        last_retrain=_last_retrain(layout, events),
        id=new_id(),
        at=now(),
    )
    if force is not None:
        decision = replace(decision, verdict="retrain", reasons=(f"forced: {force}", *decision.reasons))
    ledger.append("decided", name, {"decision": to_plain(decision)}, check=lambda events: None)
    return decision


def retrain(
    layout: Layout, name: str, *, act: bool = True, report: Reporter | None = None, force: str | None = None
) -> Retrained:
    """Decide, and where the verdict is to retrain, `carry_out` the decision. `force` gives a reason to do it anyway."""
    decision = decide(layout, name, force=force)
    if decision.verdict == "retrain" and not act:
        return Retrained(decision, None, None, f"nothing was done; to act on it:  tidemill retrain {name}")
    return carry_out(layout, decision, report=report, forced=force is not None)


def carry_out(
    layout: Layout, decision: RetrainDecision, *, report: Reporter | None = None, forced: bool = False
) -> Retrained:
    """Train on the data version that the decision names, and promote if the evidence holds.

    Trains nothing when the champion was trained on that data, unless forced. A version that was trained on it before
    (by a command that was killed, say) is not trained again but goes on to the promotion.
    Raises BusyError when another command is at it.
    """
    name = decision.model
    if decision.verdict == "wait":
        return Retrained(decision, None, None, "no new model is called for")
    with locked(layout.locks / f"retrain-{name}", timeout=2, what=f"the retraining of {name}"):
        champion = models.resolve(layout, f"{name}@champion")
        if not forced and _lineage(layout, champion).dataset_digest == decision.dataset_digest:
            return Retrained(decision, None, None, _no_new_data(decision, champion))
        candidate = None if forced else _trained_before(layout, champion, decision.dataset_digest)
        if candidate is None:
            settings = config_like(layout, champion, dataset=decision.dataset)
            candidate = training.train(layout, settings=settings, report=report, decision=decision.id).version
        return _promoted(layout, decision, candidate, report)


def _no_new_data(decision: RetrainDecision, champion: ModelVersion) -> str:
    dataset = decision.dataset.rpartition("-v")[0]
    return (
        f"{decision.dataset} is the newest data, and {champion} was trained on it: "
        f"bring new data with  tidemill data add PATH --name {dataset}"
    )


def _promoted(layout: Layout, decision: RetrainDecision, candidate: ModelVersion, report: Reporter | None) -> Retrained:
    try:
        promotion = models.promote(layout, candidate.name, candidate.number, reporter=report)
    except (GateError, BusyError) as refusal:
        return Retrained(decision, candidate, None, f"{candidate} was trained and not promoted: {refusal.headline}")
    return Retrained(decision, candidate, promotion, f"{candidate} is champion")


def _traffic(layout: Layout, model: ModelVersion, settings: Config, since: datetime | None) -> _Traffic:
    seal_abandoned(layout.log)  # servers leave it to whoever has the time, and Arrow
    table = serving.log(layout).window(model.name, version=model.number, since=since, until=None)
    table = table.slice(max(0, table.num_rows - settings.monitor.window_rows))
    if not table.num_rows:
        when = f" since {since.isoformat()}" if since else ""
        raise StateError(
            f"{model} has answered nothing{when}: there is no traffic to report on",
            f"serve it and send requests:  tidemill serve {model}",
        )
    times = table["at"].to_pylist()
    labelled = table.num_rows - table["label"].null_count
    return _Traffic(model, table, Window(model.name, model.number, times[0], times[-1], table.num_rows, int(labelled)))


def _report(layout: Layout, traffic: _Traffic, settings: Config) -> tuple[DriftReport, Digest]:
    from tidemill.backends.detectors.dependence import DependenceDetector
    from tidemill.backends.detectors.mmd import MmdDetector
    from tidemill.backends.detectors.univariate import UnivariateDetector
    from tidemill.bundle.preprocess import Preprocessor
    from tidemill.bundle.reference import read_reference
    from tidemill.project.bundles import open_version
    from tidemill.stages.answered import answered_rows
    from tidemill.stages.monitor import monitor as compare
    from tidemill.stages.report_page import render

    opened = open_version(layout, traffic.model)
    signature = opened.bundle.signature
    preprocessor = Preprocessor(opened.bundle.preprocessing, opened.tokenizer)
    reference = answered_rows(signature, preprocessor, read_reference(opened))
    window = answered_rows(signature, preprocessor, traffic.table)
    report = compare(
        window,
        reference,
        (UnivariateDetector(), MmdDetector(), DependenceDetector()),
        settings.monitor,
        signature=signature,
        span=traffic.span,
        bundle=opened.digest,
        id=new_id(),
        at=now(),
        seed=settings.seed,
    )
    return report, reports.keep(layout, models.ledger(layout), report, render(report, reference, window))


def _newest(layout: Layout, model: ModelVersion) -> DatasetVersion:
    """The newest version of the data set that `model` was trained on."""
    name = _lineage(layout, model).dataset.rpartition("-v")[0]
    versions = data.versions(layout, name)
    if not versions:
        raise NotFoundError(
            f"there is no version of the data set {name!r}, which {model} was trained on",
            f"fetch its tags, or add one:  tidemill data add PATH --name {name}",
        )
    return max(versions, key=lambda version: Version.parse(version.version))


def _trained_on(layout: Layout, model: ModelVersion) -> DatasetVersion | None:
    """The record of the data version that `model` was trained on; None when its tag is gone."""
    digest = _lineage(layout, model).dataset_digest
    return next((version for version in data.versions(layout) if version.digest == digest), None)


def _lineage(layout: Layout, model: ModelVersion) -> Lineage:
    from tidemill.bundle.read import read_record

    return read_record(models.local_bundle(layout, model))[0].lineage


def _last_retrain(layout: Layout, events: Sequence[Event]) -> datetime | None:
    """When the newest version that a decision asked for was registered."""
    from tidemill.bundle.read import read_record

    for event in reversed(events):
        if event.kind == "registered":
            try:
                record, _ = read_record(layout.bundle(Digest(event.payload["bundle"])))
            except BundleError:
                continue
            if record.lineage.decision is not None:
                return event.at
    return None


def _trained_before(layout: Layout, champion: ModelVersion, dataset: Digest) -> ModelVersion | None:
    """The newest version after the champion that was trained on the data with this digest.

    One that was champion and was rolled back has had its chance.
    """
    events = models.ledger(layout).events(champion.name)
    state = fold(events)
    gone = {event.payload["from"] for event in events if event.kind == "rolled_back"}
    for number in sorted(set(state.versions) - gone, reverse=True):
        if number > champion.number and _lineage(layout, state.versions[number]).dataset_digest == dataset:
            return state.versions[number]
    return None
