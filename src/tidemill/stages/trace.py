"""The way back from an answer to everything that made it, with every digest that can be rechecked rechecked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidemill.domain.bundle import Bundle
from tidemill.domain.dataset import DatasetVersion
from tidemill.domain.digest import Digest
from tidemill.domain.drift import RetrainDecision
from tidemill.domain.prediction import Feedback, Prediction
from tidemill.domain.record import to_plain
from tidemill.domain.registry import Chain, Event, fold
from tidemill.domain.run import RunSpec


@dataclass(frozen=True, slots=True)
class File:
    """A file of a bundle or of a data version; `digest` is what the record says, `verified` that its bytes give it."""

    path: str
    digest: Digest
    verified: bool


@dataclass(frozen=True, slots=True)
class Link:
    """One record on the way. `verified` is None where there was nothing to recheck it by.

    `reason` says why a link is broken, or could not be rechecked; `detail` what a person wants to know of it; `files`
    are those that were rehashed.
    """

    kind: str
    name: str
    digest: Digest | None
    verified: bool | None
    detail: str = ""
    reason: str = ""
    files: tuple[File, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """The links from an answer to its data, in this order."""

    prediction: str
    links: tuple[Link, ...]

    @property
    def verified(self) -> bool:
        """Whether no link is broken."""
        return all(link.verified is not False for link in self.links)


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found of an answer's ancestors. Where a record is None, the problem beside it says why.

    `events` are all of the ledger, `broken_line` is the first that was altered. `bundle` is the record whose digest the
    prediction names, `bundle_problem` what the audit of its files found. `spec` and `diff` are the run's files,
    `commit_problem` is empty when git has the commit. `shards` says in words which files of the data version were
    rehashed. `bundle_files` and `shard_files` are the files that were; no `shard_files` where they are not here.
    """

    prediction: Prediction
    feedback: Feedback | None
    events: Sequence[Event]
    broken_line: int | None
    bundle: Bundle | None
    bundle_problem: str
    spec: RunSpec | None
    spec_problem: str
    diff: bytes | None
    commit_problem: str
    dataset: DatasetVersion | None
    dataset_problem: str
    shards: str
    decision: RetrainDecision | None
    report: bytes | None
    bundle_files: tuple[File, ...] = ()
    shard_files: tuple[File, ...] = ()


def walk(found: Findings) -> Trace:
    """The links of `found`, each checked against the one that names it."""
    links = [_prediction(found.prediction)]
    if found.feedback:
        links.append(_label(found.prediction, found.feedback))
    parts = _Parts.of(found)
    links += [_model(found), _bundle(found), _run(found, parts)]
    links += [_config(found, parts), _code(found, parts), _environment(found, parts)]
    links.append(_data(found))
    if found.bundle and found.bundle.lineage.decision:
        links += _decision(found, found.bundle.lineage.decision)
    return Trace(found.prediction.id, tuple(links))


def broken_line(events: Sequence[Event]) -> int | None:
    """The sequence of the first line of the whole ledger whose hash does not fit, None when all do."""
    return Chain().broken_line(events)


def _checked(
    kind: str, name: str, digest: Digest | None, problem: str, detail: str = "", files: tuple[File, ...] = ()
) -> Link:
    return Link(kind, name, digest, not problem, detail, problem, files)


def _prediction(prediction: Prediction) -> Link:
    answer = f"answered {prediction.output}"
    if len(prediction.scores) > 1:
        answer += f" ({max(prediction.scores):.1%})"
    detail = f"{answer} at {prediction.at:%Y-%m-%d %H:%M:%S} UTC"
    if prediction.input is None:
        reason = "the log keeps only the digest of this input"
        return Link("prediction", prediction.id, prediction.input_digest, None, detail, reason)
    problem = "" if Digest.of_bytes(prediction.input) == prediction.input_digest else "the logged input was altered"
    return _checked("prediction", prediction.id, prediction.input_digest, problem, detail)


def _label(prediction: Prediction, feedback: Feedback) -> Link:
    problem = "" if feedback.model == prediction.model else f"the label was given to {feedback.model}"
    detail = f"came at {feedback.at:%Y-%m-%d %H:%M:%S} UTC"
    return _checked("label", feedback.label, Digest.of_json(to_plain(feedback)), problem, detail)


def _model(found: Findings) -> Link:
    prediction = found.prediction
    name = f"{prediction.model}/{prediction.version}"
    events = [event for event in found.events if event.model == prediction.model]
    registered = _registered(found)
    if registered is None:
        return _checked("model", name, None, f"the ledger does not know {name}")
    state = fold(events, until=prediction.at)
    aliases = {state.champion: "champion", state.challenger: "challenger"}
    detail = f"{aliases.get(prediction.version, 'no alias')} then · ledger line {registered.sequence}"
    problem = ""
    if found.broken_line is not None:
        problem = f"the ledger was altered at line {found.broken_line}"
    elif registered.payload["bundle"] != prediction.bundle:
        problem = "the ledger names another bundle than the prediction"
    return _checked("model", name, registered.digest, problem, detail)


def _registered(found: Findings) -> Event | None:
    """The ledger's line about the version that answered."""
    prediction = found.prediction
    for event in found.events:
        made = (event.kind, event.model, event.payload.get("version"))
        if made == ("registered", prediction.model, prediction.version):
            return event
    return None


def _bundle(found: Findings) -> Link:
    name, detail = "unknown", ""
    if found.bundle:
        parity = found.bundle.parity
        name = f"{len(found.bundle.files)} files"
        detail = f"export changed {parity.changed} of {parity.rows:,} decisions"
    return _checked("bundle", name, found.prediction.bundle, found.bundle_problem, detail, found.bundle_files)


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts of a run's spec by kind: as the bundle names them, and as the spec has them, computed again."""

    named: Mapping[str, Digest]
    actual: Mapping[str, Digest]
    problem: str

    @classmethod
    def of(cls, found: Findings) -> _Parts:
        named, actual = dict[str, Digest](), dict[str, Digest]()
        if found.bundle:
            made = found.bundle.lineage
            named = {"run": made.spec, "config": made.config, "code": made.code, "environment": made.environment}
        if spec := found.spec:
            actual = {
                "run": spec.digest,
                "config": spec.config_digest,
                "code": spec.code.digest,
                "environment": spec.environment.digest,
            }
        return cls(named, actual, found.spec_problem)

    def link(self, kind: str, name: str, detail: str = "", problem: str = "") -> Link:
        """One of them, compared."""
        named, actual = self.named.get(kind), self.actual.get(kind)
        if actual is None:
            problem = self.problem
        elif named is None:
            problem = "there is no bundle to compare it with"
        elif named != actual:
            problem = "not what the bundle names"
        return _checked(kind, name, named or actual, problem, detail)


def _run(found: Findings, parts: _Parts) -> Link:
    registered = _registered(found)
    by_ledger = str(registered.payload["run"]) if registered else "unknown"
    name = found.bundle.lineage.run if found.bundle else by_ledger
    problem = "the ledger names another run" if registered and name != by_ledger else ""
    return parts.link("run", name, f"seed {found.spec.seed}" if found.spec else "", problem)


def _config(found: Findings, parts: _Parts) -> Link:
    model = found.spec.config.get("model") if found.spec else None
    name = f"model={model['kind']}" if isinstance(model, dict) and "kind" in model else "unknown"
    return parts.link("config", name)


def _code(found: Findings, parts: _Parts) -> Link:
    if found.spec is None:
        return parts.link("code", found.bundle.lineage.commit[:12] if found.bundle else "unknown")
    code = found.spec.code
    detail = "clean" if code.dirty is None else f"with changes {code.dirty.short}"
    return parts.link("code", code.commit[:12], detail, found.commit_problem or _diff_problem(code.dirty, found.diff))


def _diff_problem(expected: Digest | None, diff: bytes | None) -> str:
    if expected is None:
        return ""
    if diff is None:
        return "dirty.diff is missing"
    return "" if Digest.of_bytes(diff) == expected else "dirty.diff was altered"


def _environment(found: Findings, parts: _Parts) -> Link:
    if found.spec is None:
        return parts.link("environment", "unknown")
    environment = found.spec.environment
    return parts.link("environment", f"Python {environment.python}", f"{len(environment.packages)} packages")


def _data(found: Findings) -> Link:
    dataset, names = found.dataset, found.bundle.lineage if found.bundle else found.spec
    if names is None:
        return _checked("data", "unknown", None, "neither the bundle nor the run says which")
    problem = found.dataset_problem
    if not problem and dataset and dataset.digest != names.dataset_digest:
        problem = f"{dataset.tag} holds other data than the run names"
    detail = f"{dataset.rows:,} rows" + (f" · {found.shards}" if found.shards else "") if dataset else ""
    if dataset and not problem and not found.shard_files:
        reason = "its files are not on this machine: only its record was compared"
        return Link("data", names.dataset, names.dataset_digest, None, detail, reason)
    return _checked("data", names.dataset, names.dataset_digest, problem, detail, found.shard_files)


def _decision(found: Findings, decision_id: str) -> list[Link]:
    """The retraining's cause, and the report that it cites."""
    decision = found.decision
    if decision is None:
        return [_checked("decision", decision_id, None, "the ledger has no such decision")]
    problem = ""
    if found.report is None:
        problem = f"report {decision.report} is missing"
    elif Digest.of_bytes(found.report) != decision.report_digest:
        problem = f"report {decision.report} was altered"
    detail = decision.reasons[0] if decision.reasons else ""
    return [
        _checked("decision", decision_id, Digest.of_json(to_plain(decision)), "", detail),
        _checked("report", decision.report, decision.report_digest, problem),
    ]
