"""Train: one run in the tracker, from its first parameter to its last artefact."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tidemill.domain.chain import WEIGHTS
from tidemill.domain.record import now
from tidemill.domain.run import Run
from tidemill.errors import ConfigError, GateError
from tidemill.files import fsync_tree
from tidemill.ports import Remarked, StopTraining, Summarised
from tidemill.process import limit_threads, usable_cores
from tidemill.stages.runfolder import CHECKPOINTS, Record, RunFolder, begin

if TYPE_CHECKING:
    from tidemill.config.schema import Config
    from tidemill.dataset.read import PackedDataset
    from tidemill.domain.run import RunSpec
    from tidemill.ports import ModelFamily, Reporter, SourceModel, Tracker

_KEPT = ((f"{CHECKPOINTS}/last.safetensors", CHECKPOINTS), (WEIGHTS, "lineage"), ("summary.txt", ""))
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

    def remark(self, text: str) -> None:
        if isinstance(self._report, Remarked):
            self._report.remark(text)


class Opened(NamedTuple):
    """A run that is open: its record, its own folder, the trackers with their ids of it, and who hears of it."""

    run: Run
    folder: RunFolder
    runs: Sequence[tuple[Tracker, str]]
    tracked: Tracked


@contextmanager
def tracked_run(
    spec: RunSpec, *, difference: bytes, tracker: Tracker, folders: Path, report: Reporter,
    beside: Sequence[Tracker] = (), parent: str = "", where: str | None = None, resumed: RunFolder | None = None,
) -> Iterator[Opened]:  # fmt: skip
    """A run that is open inside the block: finished when the block ends, failed or killed when it does not.

    It has a folder of its own below `folders`, which stays when there is something to go on from: `resumed` is such a
    folder. Its lineage (`spec.json`, and `dirty.diff` when `difference` is not empty) is kept before any work starts.
    `beside` are further trackers, which get the same metrics. `where` is the tracker's address, as Record has it.
    """
    runs: list[tuple[Tracker, str]] = []
    with ExitStack() as held, _ended(runs):
        if resumed is not None:
            folder = _taken_up(resumed, (tracker, *beside), runs)
        else:
            _started(spec, (tracker, *beside), runs)
            record = Record(runs[0][1], spec, now(), tuple(run for _, run in runs[1:]), parent, tracker=where)
            folder = held.enter_context(begin(folders, record))
        held.push(_left(folder, fresh=resumed is None))
        if not folder.has_lineage():
            folder.put_lineage(spec, difference)
        tracker.keep(runs[0][1], folder.lineage, "lineage")
        run = Run(runs[0][1], spec, "running", folder.record.started)
        yield Opened(run, folder, runs, Tracked(report, folder, runs))


def _started(spec: RunSpec, trackers: Sequence[Tracker], runs: list[tuple[Tracker, str]]) -> None:
    """A new run in each tracker, added to `runs` one by one."""
    params, tags = flat(spec.config), _tags(spec)
    name = f"{spec.model} {spec.config['model']['kind']}"
    for each in trackers:
        runs.append((each, each.start(name, params, tags)))  # noqa: PERF401 - one that began is there if the next fails


def _taken_up(folder: RunFolder, trackers: Sequence[Tracker], runs: list[tuple[Tracker, str]]) -> RunFolder:
    """The run is open again in each tracker, which gets what of its metrics had not arrived; added to `runs`."""
    record, told = folder.record, folder.told()
    tags = {"tidemill.resumed": str(record.resumed + 1)}
    for each, run in zip(trackers, (record.run, *record.beside), strict=True):
        runs.append((each, each.resume(run, tags, told)))
    first, *others = (run for _, run in runs)
    return folder.write(replace(record, run=first, beside=tuple(others), resumed=record.resumed + 1))


@contextmanager
def _ended(runs: Sequence[tuple[Tracker, str]]) -> Iterator[None]:
    """Every run that is in `runs` when the block ends or fails is ended in its tracker, whatever the others do.

    Of several errors the first is raised.
    """
    try:
        yield
    except BaseException as error:
        for other in _finished(runs, "killed" if isinstance(error, (KeyboardInterrupt, SystemExit)) else "failed"):
            error.add_note(f"and a run could not be ended: {other}")
        raise
    errors = _finished(runs, "finished")
    if errors:
        raise errors[0]


def _finished(
    runs: Sequence[tuple[Tracker, str]], status: Literal["finished", "failed", "killed"]
) -> list[BaseException]:
    """End each run; what went wrong."""
    errors: list[BaseException] = []
    for each, number in runs:
        try:
            each.finish(number, status)
        except BaseException as error:  # also Ctrl-C while a server is waited for: the others are still to be ended
            errors.append(error)
    return errors


def _left(folder: RunFolder, *, fresh: bool) -> Callable[[type[BaseException] | None, Any, Any], bool]:
    """Removes the folder of a run that is over: finished, stopped on purpose, or refused with nothing computed yet.

    What has been computed is never thrown away for an error, however surely that error comes again: it may be mended.
    """

    def leave(_kind: type[BaseException] | None, error: BaseException | None, _trace: Any) -> bool:
        refused = fresh and isinstance(error, (ConfigError, GateError)) and not folder.has_progress()
        if error is None or isinstance(error, StopTraining) or refused:
            folder.discard()
        return False

    return leave


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
