"""Gathers what a project's stores hold of an answer's ancestors. Imports nothing heavy, asks no network."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tidemill.bundle.read import open_bundle, read_record
from tidemill.dataset.read import RECORD
from tidemill.domain.bundle import Bundle
from tidemill.domain.dataset import DatasetVersion
from tidemill.domain.digest import Digest
from tidemill.domain.drift import RetrainDecision
from tidemill.domain.prediction import Prediction, is_prediction_id
from tidemill.domain.record import from_plain
from tidemill.domain.registry import Event
from tidemill.errors import BundleError, InputError
from tidemill.project import models, reports, serving
from tidemill.project.layout import Layout
from tidemill.project.runs import read_spec, run_files
from tidemill.stages.trace import Findings, Trace, walk


def trace(layout: Layout, prediction_id: str) -> Trace:
    """Everything that made an answer. A broken link is in the trace as broken.

    Raises InputError for what is no prediction id, NotFoundError for one that is not in the log.
    """
    if not is_prediction_id(prediction_id):
        raise InputError(
            f"{prediction_id[:60]!r} is no prediction id", "an id has 26 letters and digits; it comes with each answer"
        )
    log = serving.log(layout)
    prediction = log.find(prediction_id)
    events = models.ledger(layout).events()
    bundle, bundle_problem = _bundle(layout, prediction)
    run = bundle.lineage.run if bundle else _registered_run(events, prediction)
    files = run_files(layout, run)
    spec, spec_problem = read_spec(files.get("spec.json"))
    tag = bundle.lineage.dataset if bundle else spec.dataset if spec else ""
    dataset, dataset_problem = _dataset(layout, tag)
    shards, shard_problem = _shards(layout, dataset)
    decision = _decision(events, bundle.lineage.decision if bundle else None)
    return walk(
        Findings(
            prediction=prediction,
            feedback=log.labels([prediction_id]).get(prediction_id),
            events=events,
            bundle=bundle,
            bundle_problem=bundle_problem,
            spec=spec,
            spec_problem=spec_problem,
            diff=files.get("dirty.diff"),
            commit_problem=_commit_problem(layout, spec.code.commit) if spec else "",
            dataset=dataset,
            dataset_problem=dataset_problem or shard_problem,
            shards=shards,
            decision=decision,
            report=_bytes(layout.reports / decision.report / reports.RECORD) if decision else None,
        )
    )


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _bundle(layout: Layout, prediction: Prediction) -> tuple[Bundle | None, str]:
    """The record, when it is the one that the prediction names, and what the audit of its files found."""
    directory = layout.bundle(prediction.bundle)
    try:
        return open_bundle(directory, expected=prediction.bundle).bundle, ""
    except BundleError as error:
        problem = error.headline.rpartition("cannot be used: ")[2]
    try:
        record, digest = read_record(directory)
    except BundleError:
        return None, problem
    return (record, problem) if digest == prediction.bundle else (None, problem)


def _registered_run(events: Sequence[Event], prediction: Prediction) -> str:
    for event in events:
        made = (event.kind, event.model, event.payload.get("version"))
        if made == ("registered", prediction.model, prediction.version):
            return str(event.payload["run"])
    return ""


def _git(layout: Layout, *arguments: str) -> bytes | None:
    """What git says, None when it says no."""
    try:
        done = subprocess.run(["git", *arguments], cwd=layout.root, capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def _commit_problem(layout: Layout, commit: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{7,64}", commit):
        return f"{commit[:60]!r} is no commit"
    known = _git(layout, "cat-file", "-e", f"{commit}^{{commit}}") is not None
    return "" if known else f"this repository has no commit {commit[:12]}"


def _dataset(layout: Layout, tag: str) -> tuple[DatasetVersion | None, str]:
    """The record that the git tag holds."""
    match = re.fullmatch(r"([A-Za-z0-9_-]+)-v[0-9.]+", tag)
    if match is None:
        return None, f"{tag[:60]!r} is no data version" if tag else "nothing says which data"
    content = _git(layout, "show", f"{tag}:./data/{match[1]}.json")
    if content is None:
        return None, f"git has no tag {tag} with a record of it"
    try:
        return from_plain(DatasetVersion, json.loads(content)), ""
    except ValueError as error:
        return None, f"the record at tag {tag} cannot be read: {str(error)[:100]}"


def _shards(layout: Layout, dataset: DatasetVersion | None) -> tuple[str, str]:
    """Which files were rehashed, in words, and which of them is not what the record says."""
    if dataset is None:
        return "", ""
    for folder in (layout.data / dataset.name, layout.datasets / dataset.tag):
        if _holds(folder, dataset):
            shards = [shard for split in dataset.splits for shard in split.shards]
            for shard in shards:
                path = folder / shard.path
                if not path.is_file():
                    return "", f"{shard.path} is missing from {folder.name}"
                if Digest.of_file(path) != shard.digest:
                    return "", f"{shard.path} in {folder.name} was altered"
            return f"{len(shards)} files rehashed", ""
    return "files not here", ""


def _holds(folder: Path, dataset: DatasetVersion) -> bool:
    """Whether `folder` says that it is this version."""
    content = _bytes(folder / RECORD)
    try:
        plain: Any = json.loads(content or b"null")
    except ValueError:
        return False
    return isinstance(plain, dict) and plain.get("version") == dataset.version and plain.get("name") == dataset.name


def _decision(events: Sequence[Event], decision_id: str | None) -> RetrainDecision | None:
    for event in events:
        if event.kind == "decided" and event.payload["decision"].get("id") == decision_id:
            return from_plain(RetrainDecision, event.payload["decision"])
    return None
