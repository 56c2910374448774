"""What the tracker holds of a run, each part checked against the run's tags."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.digest import Digest
from tidemill.errors import NotFoundError, StateError, nearest
from tidemill.project.configuration import config
from tidemill.project.layout import Layout
from tidemill.project.registry import resolve, tracking_uri
from tidemill.project.runs import open_tracker, read_spec
from tidemill.stages.chain import WEIGHTS, read_chain
from tidemill.stages.reproduce import comparable

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun
    from mlflow.tracking import MlflowClient

    from tidemill.domain.chain import Link
    from tidemill.domain.run import RunSpec

_ID = re.compile(r"[0-9a-zA-Z-]{4,64}")  # of a run, or its beginning
_NEWEST = 5000  # runs that a wrong id is compared with


@dataclass(frozen=True)
class Recorded:
    """A run as the tracker has it. `source` are the digests of the model's files; `chain` is empty for an old run."""

    run: str
    spec: RunSpec
    difference: bytes
    chain: Sequence[Link]
    figures: Mapping[tuple[str, int], float]
    source: Mapping[str, Digest]
    threads: int
    cores: int
    resumed: bool = False


def client_of(layout: Layout) -> MlflowClient:
    """MLflow where the project's runs are."""
    from mlflow.tracking import MlflowClient

    uri = tracking_uri(layout)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def find_run(layout: Layout, text: str, client: MlflowClient) -> MlflowRun:
    """The run that `text` means: its id or the beginning of it, name/version or name@alias. Raises NotFoundError."""
    if "/" in text or "@" in text:
        text = resolve(layout, text).run
    experiments = [each.experiment_id for each in client.search_experiments()]
    found = _beginning(text, client, experiments) if _ID.fullmatch(text) else []
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(run.info.run_id for run in found[:4])
        raise NotFoundError(f"{text!r} begins the id of {len(found)} runs", f"give more of it: {shown}")
    runs = client.search_runs(experiments, max_results=_NEWEST)
    ours = [run.info.run_id for run in runs if "tidemill.spec" in run.data.tags]
    raise NotFoundError(f"there is no run {text[:80]!r}", nearest(text, ours, kind="runs"))


def _beginning(text: str, client: MlflowClient, experiments: list[str]) -> list[MlflowRun]:
    """The runs whose id is `text` or begins with it, two at least where there are more."""
    condition = f"attributes.run_id LIKE '{text}%'"
    page = client.search_runs(experiments, condition, max_results=_NEWEST)
    return [run for run in page if run.info.run_id.startswith(text)]


def read_recorded(layout: Layout, text: str) -> Recorded:
    """The run and its lineage. Raises NotFoundError, or StateError for a run that cannot be done again."""
    client = client_of(layout)
    found = find_run(layout, text, client)
    run, tags = str(found.info.run_id), found.data.tags
    _check_kind(found)
    tracker = open_tracker(layout, config(layout))
    with tempfile.TemporaryDirectory() as folder:
        lineage = tracker.fetch(run, "lineage", Path(folder) / "lineage")
        spec, difference = _spec(run, lineage, tags)
        chain = read_chain(lineage / WEIGHTS) if (lineage / WEIGHTS).is_file() else []
        source = digests(tracker.fetch(run, "source", Path(folder) / "source"))
    return Recorded(
        run, spec, difference, chain, figures_of(client, found), source,
        int(tags.get("tidemill.threads", 0)), int(tags.get("tidemill.cores", 0)),
        "tidemill.resumed" in tags,
    )  # fmt: skip


def figures_of(client: MlflowClient, run: MlflowRun) -> dict[tuple[str, int], float]:
    """Every comparable metric of a run, by name and step; the last where one was told twice."""
    names = [name for name in run.data.metrics if comparable(name)]
    found = ((name, each) for name in names for each in client.get_metric_history(run.info.run_id, name))
    return {(name, each.step): each.value for name, each in sorted(found, key=lambda pair: pair[1].timestamp)}


def digests(folder: Path) -> dict[str, Digest]:
    """The digest of every file below `folder` by its path there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): Digest.of_file(path) for path in files}


def _check_kind(found: MlflowRun) -> None:
    run, tags = found.info.run_id, found.data.tags
    if "tidemill.spec" not in tags:
        raise StateError(f"the run {run} is no training of tidemill", "tidemill train and tidemill pipeline make such")
    if found.info.status != "FINISHED":
        raise StateError(
            f"the run {run} is {found.info.status.lower()}: it has no end to compare with",
            "go on with it first:  tidemill train --resume",
        )


def _spec(run: str, lineage: Path, tags: Mapping[str, str]) -> tuple[RunSpec, bytes]:
    """The record and the difference from its commit, as the tags name them by digest."""
    path = lineage / "spec.json"
    spec, problem = read_spec(path.read_bytes() if path.is_file() else None)
    if spec is None:
        raise NotFoundError(f"run {run}: {problem}", "without its record a run cannot be done again")
    for part, digest in (
        ("spec", spec.digest),
        ("config", spec.config_digest),
        ("environment", spec.environment.digest),
    ):
        if tags.get(f"tidemill.{part}", digest) != digest:
            raise StateError(
                f"spec.json of run {run} was altered: its {part} is not the one that the run's tags name",
                "restore the artefact lineage/spec.json",
            )
    dirty = lineage / "dirty.diff"
    difference = dirty.read_bytes() if dirty.is_file() else b""
    if (Digest.of_bytes(difference) if difference else None) != spec.code.dirty:
        raise StateError(
            f"dirty.diff of run {run} is {'not what the record names' if difference else 'missing'}",
            "restore the artefact lineage/dirty.diff",
        )
    return spec, difference
