"""Gathers what a project's stores hold of an answer's ancestors. Imports nothing heavy, asks no network."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tidemill.bundle.read import OpenBundle, open_bundle, read_record, recheck
from tidemill.dataset.digest import RowHashes
from tidemill.dataset.read import RECORD, PackedDataset
from tidemill.domain.bundle import Bundle
from tidemill.domain.dataset import DatasetVersion
from tidemill.domain.digest import Digest
from tidemill.domain.drift import RetrainDecision
from tidemill.domain.prediction import Prediction, is_prediction_id
from tidemill.domain.record import from_plain
from tidemill.domain.registry import Chain, Event
from tidemill.domain.run import RunSpec
from tidemill.errors import BundleError, InputError
from tidemill.project import models, reports, serving
from tidemill.project.layout import Layout
from tidemill.project.repository import Objects, missing
from tidemill.project.runs import read_spec, run_files
from tidemill.stages.trace import File, Findings, Trace, walk


def trace(layout: Layout, prediction_id: str) -> Trace:
    """Everything that made an answer. A broken link is in the trace as broken.

    Raises InputError for what is no prediction id, NotFoundError for one that is not in the log.
    """
    with Tracer(layout) as tracer:
        return tracer.trace(prediction_id)


def dirty_diff(layout: Layout, trace: Trace) -> str:
    """How the code of the run in `trace` differed from its commit; empty where it did not, or is not known."""
    run = next(link.name for link in trace.links if link.kind == "run")
    return run_files(layout, run).get("dirty.diff", b"").decode(errors="replace")


class Tracer:
    """Traces one answer after the other; keeps a git process meanwhile, which `close` or leaving `with` ends.

    Every file is read and every digest computed anew for each answer. What its bytes mean is kept by their digest: a
    bundle's record and graph, a run's spec, the digest over the rows of a data version.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._log = serving.log(layout)
        self._ledger = models.ledger(layout)
        self._git = Objects(layout)
        self._chain = Chain()
        self._contents: dict[tuple[Digest, ...], Digest] = {}
        self._bundles: dict[Digest, OpenBundle] = {}
        self._specs: dict[Digest, tuple[RunSpec | None, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the git process; the next trace starts another."""
        self._git.close()

    def trace(self, prediction_id: str) -> Trace:
        """As `trace` of this module."""
        if not is_prediction_id(prediction_id):
            raise InputError(
                f"{prediction_id[:60]!r} is no prediction id",
                "an id has 26 letters and digits; it comes with each answer",
            )
        layout = self._layout
        prediction = self._log.find(prediction_id)
        events = self._ledger.events()
        bundle, bundle_problem = self._bundle(prediction)
        run = bundle.lineage.run if bundle else _registered_run(events, prediction)
        files = run_files(layout, run)
        spec, spec_problem = self._spec(files.get("spec.json"))
        tag = bundle.lineage.dataset if bundle else spec.dataset if spec else ""
        git = _Git(layout, self._git, spec.code.commit if spec else "", tag)
        dataset, dataset_problem = git.dataset()
        shards, shard_problem, shard_files = self._shards(dataset)
        decision = _decision(events, bundle.lineage.decision if bundle else None)
        return walk(
            Findings(
                prediction=prediction,
                feedback=self._log.labels([prediction_id]).get(prediction_id),
                events=events,
                broken_line=self._chain.broken_line(events),
                bundle=bundle,
                bundle_problem=bundle_problem,
                spec=spec,
                spec_problem=spec_problem,
                diff=files.get("dirty.diff"),
                commit_problem=git.commit_problem() if spec else "",
                dataset=dataset,
                dataset_problem=dataset_problem or shard_problem,
                shards=shards,
                decision=decision,
                report=_bytes(layout.reports / decision.report / reports.RECORD) if decision else None,
                bundle_files=_bundle_files(layout.bundle(prediction.bundle), bundle, whole=not bundle_problem),
                shard_files=shard_files,
            )
        )

    def _bundle(self, prediction: Prediction) -> tuple[Bundle | None, str]:
        """The record, when it is the one that the prediction names, and what the audit of its files found."""
        directory = self._layout.bundle(prediction.bundle)
        try:
            if known := self._bundles.get(prediction.bundle):
                recheck(known)
            else:
                known = self._bundles[prediction.bundle] = open_bundle(directory, expected=prediction.bundle)
            return known.bundle, ""
        except BundleError as error:
            problem = error.headline.rpartition("cannot be used: ")[2]
        try:
            record, digest = read_record(directory)
        except BundleError:
            return None, problem
        return (record, problem) if digest == prediction.bundle else (None, problem)

    def _spec(self, content: bytes | None) -> tuple[RunSpec | None, str]:
        """As `read_spec`, which reads the same bytes once."""
        if content is None:
            return read_spec(content)
        digest = Digest.of_bytes(content)
        if digest not in self._specs:
            self._specs[digest] = read_spec(content)
        return self._specs[digest]

    def _shards(self, dataset: DatasetVersion | None) -> tuple[str, str, tuple[File, ...]]:
        """Which files were rehashed, in words, what is wrong with them or their rows, and these files."""
        folders = [self._layout.data / dataset.name, self._layout.datasets / dataset.tag] if dataset else []
        folder = next((each for each in folders if dataset and _holds(each, dataset)), None)
        if dataset is None or folder is None:
            return "", "", ()
        shards = [shard for split in dataset.splits for shard in split.shards]
        files = tuple(_rehashed(folder, shard.path, shard.digest) for shard in shards)
        for file in files:
            if not file.verified:
                there = (folder / file.path).is_file()
                said = (
                    f"{file.path} in {folder.name} was altered"
                    if there
                    else f"{file.path} is missing from {folder.name}"
                )
                return "", said, files
        if self._content(folder, dataset) != dataset.digest:
            return "", f"the rows of {dataset.tag} do not give its digest", files
        return f"{len(shards)} files rehashed", "", files

    def _content(self, folder: Path, dataset: DatasetVersion) -> Digest | None:
        """The digest over every row, None where the rows cannot be read."""
        import pyarrow as pa

        known = tuple(shard.digest for split in dataset.splits for shard in split.shards)
        if known not in self._contents:
            hashes = RowHashes(dataset.task, dataset.kind, dataset.columns)
            data = PackedDataset(dataset, folder)
            try:
                for split in dataset.splits:
                    for batch in data.batches(split.name):
                        hashes.add(split.name, batch)
            except (pa.ArrowException, KeyError, ValueError):
                return None
            self._contents[known] = hashes.digest()
        return self._contents[known]


def _rehashed(folder: Path, path: str, digest: Digest) -> File:
    try:
        return File(path, digest, Digest.of_file(folder / path) == digest)
    except OSError:
        return File(path, digest, False)


def _bundle_files(directory: Path, bundle: Bundle | None, *, whole: bool) -> tuple[File, ...]:
    """The bundle's files; where the audit found them `whole` it has hashed each."""
    records = bundle.files.items() if bundle else ()
    if whole:
        return tuple(File(path, record.digest, True) for path, record in records)
    return tuple(_rehashed(directory, path, record.digest) for path, record in records)


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _registered_run(events: Sequence[Event], prediction: Prediction) -> str:
    for event in events:
        made = (event.kind, event.model, event.payload.get("version"))
        if made == ("registered", prediction.model, prediction.version):
            return str(event.payload["run"])
    return ""


class _Git:
    """What the repository holds of a commit and of a data version's tag."""

    def __init__(self, layout: Layout, objects: Objects, commit: str, tag: str) -> None:
        self._layout, self._commit, self._tag = layout, commit, tag
        match = re.fullmatch(r"([A-Za-z0-9_-]+)-v[0-9.]+", tag)
        asked = {"commit": f"{commit}^{{commit}}"} if re.fullmatch(r"[0-9a-f]{7,64}", commit) else {}
        if match:
            asked["record"] = f"{tag}:./data/{match[1]}.json"
        found = objects.get(list(asked.values()))
        self._found = dict(zip(asked, found, strict=True))

    def commit_problem(self) -> str:
        if "commit" not in self._found:
            return f"{self._commit[:60]!r} is no commit"
        if self._found["commit"] is not None:
            return ""
        return missing(self._layout) or f"this repository has no commit {self._commit[:12]}"

    def dataset(self) -> tuple[DatasetVersion | None, str]:
        """The record that the git tag holds."""
        tag = self._tag
        if "record" not in self._found:
            return None, f"{tag[:60]!r} is no data version" if tag else "nothing says which data"
        content = self._found["record"]
        if content is None:
            return None, missing(self._layout) or f"git has no tag {tag} with a record of it"
        try:
            return from_plain(DatasetVersion, json.loads(content)), ""
        except ValueError as error:
            return None, f"the record at tag {tag} cannot be read: {str(error)[:100]}"


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
