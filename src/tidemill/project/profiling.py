"""`tidemill doctor train`: the project's training run for some steps under several settings, and nothing kept of it."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tidemill.errors import InputError
from tidemill.files import sweep_staging
from tidemill.ports import StopTraining, Times
from tidemill.process import limit_threads, usable_cores
from tidemill.project.configuration import config
from tidemill.project.data import open_for_task
from tidemill.project.families import family_of
from tidemill.project.layout import Layout
from tidemill.stages.profile import Diagnosis, Setting, diagnose

if TYPE_CHECKING:
    from tidemill.backends.families.networks.clock import Clock
    from tidemill.config.schema import Config
    from tidemill.dataset.read import PackedDataset
    from tidemill.ports import Reporter, Tracker

PRESENT = Setting((), "as it is")
_ROUNDS = 4
_STEPS, _WARMUP = 300, 3
_WINDOW = 3  # batches mixed while streaming: with the usual number a session would only use up what lies ready
_LOGGED = 3  # epochs' ends that are clocked where none was met
_QUIET = 1.1  # seconds between them: trackers hold metrics back for one
_SOON_DECODED = 300_000_000  # bytes of files that are decoded for a trial of the cache


def profile_training(
    layout: Layout, overrides: Sequence[str] = (), *, seconds: float = 30.0, report: Reporter,
    beside: Sequence[Tracker] = (),
) -> Diagnosis:  # fmt: skip
    """Where the time of a step goes under the project's settings with `overrides`, and what others would gain.

    Takes about `seconds`, and the time to make the data ready. `beside` are further trackers that are told what
    training tells. Nothing is registered, and nothing stays in the project's tracker. Raises ConfigError, DataError,
    and InputError for a model that is not trained in steps.
    """
    limit_threads()
    settings = config(layout, overrides)
    if settings.task == "tabular":
        raise InputError(
            f"model={settings.model.kind} is not trained in steps on batches",
            "the doctor looks at trainings of networks, on pictures or text",
        )
    data = open_for_task(layout, settings.data.name, settings.data.version, settings.task)
    with thrown_away(layout) as place:
        session = Session(layout, overrides, data, place, report, beside)
        try:
            session.clocked(PRESENT, 0.5)  # makes the data ready, and the machine warm
            clock, times = session.clocked(PRESENT, seconds / 5)
            others, further = _settings_to_try(session, settings, clock, times)
            each = max(0.4, seconds / (4 * (1 + len(others))))

            def measure(setting: Setting) -> Times:
                return session.clocked(setting, each)[1]

            return diagnose(times, measure, PRESENT, others, rounds=_ROUNDS, further=further)
        finally:
            session.close()


@dataclass
class Session:
    """Trainings of one project, clocked; what they log goes to a store as the project's, in `place`."""

    layout: Layout
    overrides: Sequence[str]
    data: PackedDataset
    place: Layout
    report: Reporter
    beside: Sequence[Tracker] = ()
    _told: dict[str, _Told] = field(default_factory=dict)

    def clocked(self, setting: Setting, seconds: float) -> tuple[Clock, Times]:
        """A training under `setting` for about so many seconds."""
        from tidemill.backends.families.networks.clock import Clock

        self.report.progress(0, 1, f"clocking {setting.what}")
        settings = _for_session(config(self.layout, [*self.overrides, *setting.overrides]))
        told = self._trackers(settings)
        clock = Clock(told, warmup=_WARMUP, steps=_STEPS, seconds=seconds)
        folder = self.place.staging / uuid.uuid4().hex
        folder.mkdir(parents=True)
        try:
            family_of(settings.task, self.layout.root).fit(settings, self.data, clock, folder)
        except StopTraining:
            pass
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        times = clock.times
        if not clock.logged:
            times = times._replace(logging=times.logging + told.epoch_end * times.steps / clock.epoch)
        return clock, times

    def close(self) -> None:
        """End the runs, and forget them where they went to a store that stays."""
        for told in self._told.values():
            told.close()

    def _trackers(self, settings: Config) -> _Told:
        """Those that `settings` name, each with a run that all sessions under them share."""
        from tidemill.project.loggers import open_beside
        from tidemill.project.runs import open_tracker

        key = repr(settings.logger)
        if key not in self._told:
            experiment = f"doctor-{uuid.uuid4().hex[:8]}"
            settings = replace(settings, logger=replace(settings.logger, experiment=experiment))
            trackers = [open_tracker(self.place, settings), *open_beside(self.place, settings), *self.beside]
            runs = [(each, each.start("doctor", {}, {})) for each in trackers]
            self._told[key] = _Told(self.report, runs, experiment)
        return self._told[key]


class _Told:
    """A Reporter that tells trackers, as training does; and a person, until there are steps to clock."""

    def __init__(self, report: Reporter, runs: Sequence[tuple[Tracker, str]], experiment: str) -> None:
        self._report, self._runs, self._experiment = report, runs, experiment
        self._epoch_end: float | None = None
        self._step = 0

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self._step += 1
        for tracker, run in self._runs:
            tracker.log(run, values, self._step)

    def progress(self, done: int, total: int, note: str) -> None:
        if not note.startswith("epoch"):
            self._report.progress(done, total, note)

    @property
    def epoch_end(self) -> float:
        """Seconds to tell an epoch's metrics: for sessions that see no epoch end."""
        if self._epoch_end is None:
            names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate", "epoch_seconds")
            spent = []
            for _ in range(_LOGGED):
                time.sleep(_QUIET)
                began = time.perf_counter()
                self.metrics(dict.fromkeys(names, 0.5), 0)
                spent.append(time.perf_counter() - began)
            self._epoch_end = sorted(spent)[_LOGGED // 2]
        return self._epoch_end

    def close(self) -> None:
        for tracker, run in self._runs:
            tracker.finish(run, "finished")
        _forget(self._experiment)


def _for_session(settings: Config) -> Config:
    """Without what happens between epochs; streaming mixes few batches, so that what lies ready is soon used up."""
    image, size = settings.data.image, settings.trainer.batch_size
    pixels = (image.height or 224) * (image.width or 224) * 3
    mixed = max(1, min(settings.data.shuffle_mb, size * pixels * _WINDOW // 1_000_000))
    callbacks = replace(
        settings.callbacks, summary=False, early_stopping=replace(settings.callbacks.early_stopping, enabled=False)
    )
    trainer = replace(settings.trainer, max_epochs=100_000, freeze_epochs=0)
    return replace(settings, data=replace(settings.data, shuffle_mb=mixed), trainer=trainer, callbacks=callbacks)


def _settings_to_try(
    session: Session, settings: Config, clock: Clock, times: Times
) -> tuple[list[Setting], Callable[[Setting], Sequence[Setting]]]:
    """Numbers of threads; for streamed pictures also of workers, and the cache; fewer loggers where they cost much.

    The second answer gives, for the best number of workers, the threads that go with it.
    """
    numbers = _numbers(usable_cores())
    found = []
    if clock.ready:
        found += [Setting((f"data.workers={number}",), f"workers {number}") for number in (0, *numbers)]
        if sum(shard.bytes for shard in session.data.split("train").shards) <= _SOON_DECODED:
            found.append(Setting(("data.cache_gb=-1",), "decoded once, cached"))
    else:
        found += [_threads(PRESENT, number) for number in numbers if number != clock.threads]
    loggers = settings.logger.name != "mlflow" or bool(settings.logger.beside)
    if loggers and times.logging > 0.05 * (times.data + times.compute):
        found.append(Setting(("logger.name=mlflow", "logger.beside=[]"), "MLflow alone"))

    def further(best: Setting) -> list[Setting]:
        if not clock.ready or any(each.startswith("logger.") for each in best.overrides):
            return []
        workers = next((int(each[13:]) for each in best.overrides if each.startswith("data.workers=")), 0)
        return [_threads(best, number) for number in numbers if number <= max(1, usable_cores() - workers)]

    return found, further


def _threads(base: Setting, number: int) -> Setting:
    what = f"threads {number}" if base == PRESENT else f"{base.what}, threads {number}"
    return Setting((*base.overrides, f"trainer.threads={number}"), what)


def _numbers(cores: int) -> list[int]:
    """1 to `cores` when few, else the powers of two up to it and itself."""
    if cores <= 4:
        return list(range(1, cores + 1))
    return sorted({1 << power for power in range(cores.bit_length())} | {cores})


@contextmanager
def thrown_away(layout: Layout) -> Iterator[Layout]:
    """A place like the project's own state, on the same disk, that is gone after."""
    sweep_staging(layout.staging)
    root = layout.staging / f"{os.getpid()}-{uuid.uuid4().hex}"
    root.mkdir(parents=True)
    try:
        yield Layout(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _forget(experiment: str) -> None:
    """Delete the doctor's experiment from a tracking store that is not the project's own file."""
    from tidemill.project.database import foreign_uri

    if not (uri := foreign_uri()):
        return
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    try:
        if (found := client.get_experiment_by_name(experiment)) is not None:
            client.delete_experiment(found.experiment_id)
    except MlflowException:
        return  # away: then nothing of it arrived there, and what waited is thrown away here
