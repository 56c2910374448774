"""Train: one run in the tracker, from its first parameter to its last artefact."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tidemill.domain.record import now
from tidemill.domain.run import Run
from tidemill.errors import GateError, InputError
from tidemill.files import fsync_tree
from tidemill.ports import StopTraining, Summarised
from tidemill.process import limit_threads, usable_cores
from tidemill.stages.runfolder import Record, RunFolder, begin

if TYPE_CHECKING:
    from tidemill.config.schema import Config
    from tidemill.dataset.read import PackedDataset
    from tidemill.domain.run import RunSpec
    from tidemill.ports import ModelFamily, Reporter, SourceModel, Tracker

_KEPT = (("checkpoints/last.safetensors", "checkpoints"), ("weights.jsonl", "lineage"), ("summary.txt", ""))
"""Files of a training that are kept as artefacts where it wrote them, and the folder in which."""


class Tracked:
    """A Reporter that hands metrics to trackers, each with its id of the run, and everything on to another Reporter.

    What `folder` says was told before is not told to trackers again: a run that goes on repeats its last steps.
    """

    def __init__(self, report: Reporter, folder: RunFolder, runs: Sequence[tuple[Tracker, str]]) -> None:
        self._report, self._folder, self._runs = report, folder, runs
        told = folder.told()
        self._told = {(name, each.step) for each in told for name in each.values}
        self.latest: dict[str, float] = {name: value for each in told for name, value in each.values.items()}

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self.log(values, step)
        self._report.metrics(values, step)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """For the trackers alone."""
        self.latest.update(values)
        fresh = {name: float(value) for name, value in values.items() if (name, step) not in self._told}
        if not fresh:
            return
        self._told |= {(name, step) for name in fresh}
        self._folder.tell(fresh, step)
        for tracker, run in self._runs:
            tracker.log(run, fresh, step)

    def progress(self, done: int, total: int, note: str) -> None:
        self._report.progress(done, total, note)

    def summary(self, text: str) -> None:
        if isinstance(self._report, Summarised):
            self._report.summary(text)


class Opened(NamedTuple):
    """A run that is open: its record, its own folder, the trackers with their ids of it, and who hears of it."""

    run: Run
    folder: RunFolder
    runs: Sequence[tuple[Tracker, str]]
    tracked: Tracked


@contextmanager
def tracked_run(
    spec: RunSpec, *, difference: bytes, tracker: Tracker, folders: Path, report: Reporter,
    beside: Sequence[Tracker] = (), parent: str = "", resumed: RunFolder | None = None,
) -> Iterator[Opened]:  # fmt: skip
    """A run that is open inside the block: finished when the block ends, failed or killed when it does not.

    It has a folder of its own below `folders`, which stays when there is something to go on from: `resumed` is such a
    folder. Its lineage (`spec.json`, and `dirty.diff` when `difference` is not empty) is kept before any work starts.
    `beside` are further trackers, which get the same metrics.
    """
    with ExitStack() as stack:
        if resumed is not None:
            folder, runs = _taken_up(resumed, (tracker, *beside))
        else:
            params, tags = flat(spec.config), _tags(spec)
            name = f"{spec.model} {spec.config['model']['kind']}"
            runs = [(each, each.start(name, params, tags)) for each in (tracker, *beside)]
            record = Record(runs[0][1], spec, now(), tuple(run for _, run in runs[1:]), parent)
            folder = stack.enter_context(begin(folders, record))
        if not folder.has_lineage():
            folder.put_lineage(spec, difference)
        status: Literal["finished", "failed", "killed"] = "failed"
        gone_on_from = True
        try:
            tracker.keep(runs[0][1], folder.lineage, "lineage")
            run = Run(runs[0][1], spec, "running", folder.record.started)
            yield Opened(run, folder, runs, Tracked(report, folder, runs))
            status = "finished"
        except (KeyboardInterrupt, SystemExit):
            status = "killed"
            raise
        except (InputError, GateError, StopTraining):  # would come again
            gone_on_from = False
            raise
        finally:
            for each, number in runs:
                each.finish(number, status)
            if status == "finished" or not gone_on_from:
                folder.discard()


def _taken_up(folder: RunFolder, trackers: Sequence[Tracker]) -> tuple[RunFolder, list[tuple[Tracker, str]]]:
    """The run is open again in each tracker, which gets what of its metrics had not arrived."""
    record, told = folder.record, folder.told()
    tags = {"tidemill.resumed": str(record.resumed + 1)}
    numbers = (record.run, *record.beside)
    runs = [(each, each.resume(run, tags, told)) for each, run in zip(trackers, numbers, strict=True)]
    ids = [run for _, run in runs]
    return folder.write(replace(record, run=ids[0], beside=tuple(ids[1:]), resumed=record.resumed + 1)), runs


def train(
    opened: Opened, config: Config, data: PackedDataset, *, family: ModelFamily
) -> tuple[Run, SourceModel]:  # fmt: skip
    """Fit the model inside an open run, or take the one that was fitted before the run was taken up again.

    Its weights, in their framework's own format, are kept under `source/`. The run that is returned bears the last
    metrics. Raises what the family raises.
    """
    folder, tracked = opened.folder, opened.tracked
    metrics = folder.fitted()
    if metrics is not None:
        model = family.load(folder.source)
    else:
        model = family.fit(config, data, tracked, folder.path)
        metrics = {**tracked.latest, "trainable_params": float(model.params)}
        shutil.rmtree(folder.source, ignore_errors=True)
        model.save(folder.source)
        fsync_tree(folder.source)
        folder.note_fitted(metrics)
    tracked.log({"trainable_params": metrics["trainable_params"]}, 0)
    tracker, number = opened.runs[0]
    tracker.keep(number, folder.source, "source")
    for name, place in _KEPT:
        if (folder.path / name).is_file():
            tracker.keep(number, folder.path / name, place)
    return replace(opened.run, metrics=metrics), model


def _is_section(value: Any) -> bool:
    return isinstance(value, Mapping) and all(str(key).isidentifier() for key in value)


def flat(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted ones, as a tracker shows them; a mapping whose keys are no names stays whole."""
    found: dict[str, Any] = {}
    for key, value in plain.items():
        path = f"{prefix}{key}"
        found |= flat(value, f"{path}.") if _is_section(value) else {path: value}
    return found


def _tags(spec: RunSpec) -> dict[str, str]:
    tags = {
        "mlflow.source.git.commit": spec.code.commit,
        "tidemill.model": spec.model,
        "tidemill.spec": spec.digest,
        "tidemill.config": spec.config_digest,
        "tidemill.code": spec.code.digest,
        "tidemill.dirty": str(spec.code.dirty or "clean"),
        "tidemill.environment": spec.environment.digest,
        "tidemill.python": spec.environment.python,
        "tidemill.dataset": spec.dataset,
        "tidemill.dataset_digest": spec.dataset_digest,
        # not in the spec, for they are no choice of the user's; but sums are taken in another order by other numbers
        "tidemill.threads": str(limit_threads()),
        "tidemill.cores": str(usable_cores()),
    }
    return tags | ({"tidemill.decision": spec.decision} if spec.decision else {})
