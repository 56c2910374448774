"""One search from its first trial to the registered model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from tidemill.files import locked, sweep_staging
from tidemill.process import limit_threads
from tidemill.project.layout import Layout
from tidemill.project.searching.space import Space, read_space
from tidemill.project.searching.studies import Found, check_name, found, open_storage, write_page

if TYPE_CHECKING:
    import optuna

    from tidemill.config.schema import Config
    from tidemill.dataset.read import PackedDataset
    from tidemill.domain.registry import ModelVersion
    from tidemill.project.searching.runs import TrialRuns
    from tidemill.project.training import Trained
    from tidemill.stages.search.loop import Watcher
    from tidemill.stages.search.plan import Plan
    from tidemill.stages.search.workers import Workers

# What says how a model is judged or shown, not how it is made: it does not make another study.
_ASIDE = ("search", "logger", "paths", "export", "promotion", "report", "monitor", "retrain")
_WORKER = "tidemill.project.searching.worker"

Train = Callable[[Sequence[str], str], "Trained"]
"""Trains with these overrides, as a child of this run."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A search that is about to begin: `recovered` trials were in flight when it was killed, and wait again.

    `trials` is what the study may hold: what was asked for, or all that there are.
    """

    study: str
    plan: Plan
    settings: Config
    so_far: Found
    recovered: int
    trials: int


@dataclass(frozen=True, slots=True)
class Tuned:
    """`ended` says what ended the search: trials, timeout or target. `overrides` are the best trial's settings.

    With several objectives there is one list of overrides for each trial that none other beats.
    """

    ended: str
    found: Found
    overrides: list[list[str]]
    unwritten: list[str]
    trained: Trained | None = None
    known: ModelVersion | None = None  # these settings are registered already, from this study: nothing was trained


def tune(
    layout: Layout, arguments: Sequence[str] = (), *, study: str | None = None,
    watch: Callable[[Begun], Watcher] | None = None, train: Train | None = None,
) -> Tuned:  # fmt: skip
    """Search, or go on with a search that was ended; then train with the best settings, test once, and register.

    `arguments` are settings as for `train`; those with several values are what is tried. `study` names the study; by
    default its name follows from what is searched, so that the same call goes on where the last one ended. `train`
    does the last training instead of `project.training.train`.
    Raises ConfigError and InputError before any work starts, TidemillError when no trial is any good, BusyError when
    another process of this host works on the study. Ctrl-C puts the trials in flight back.
    """
    from tidemill.stages.search.plan import target

    if study is not None:
        check_name(study)
    asked = read_space(layout, arguments)
    settings = asked.config
    first = asked.space.check()
    opened = _opener(layout)
    plan = _plan(asked.space, settings, first, opened(first))
    target(settings.search, plan.objectives)
    name = study or plan.name
    with locked(layout.locks / f"study-{name}", timeout=1, what=f"the study {name}"):
        return _go_on(layout, asked.space, settings, plan, name, _job(asked.space, opened, plan), watch, train, first)


def _go_on(
    layout: Layout, space: Space, settings: Config, plan: Plan, name: str, job: Callable[[Any], Mapping[str, Any]],
    watch: Callable[[Begun], Watcher] | None, train: Train | None, first: Config,
) -> Tuned:  # fmt: skip
    from tidemill.backends.trackers._owner import owner_is_dead, owner_tags
    from tidemill.stages.search.loop import Budget, Search
    from tidemill.stages.search.plan import target
    from tidemill.stages.search.study import FIXED, GRID, REGISTERED, opened
    from tidemill.stages.search.trials import Trials

    search = settings.search
    study = opened(open_storage(layout), plan, search, name, longest=_longest(space, first))
    study.set_user_attr(FIXED, space.overrides({}))
    trials = Trials(study, plan, owner=owner_tags())
    recovered = trials.recover(owner_is_dead)
    rows = trials.counted() + trials.open() + trials.waiting() if GRID in study.user_attrs else search.trials
    allowed = min(search.trials, rows)
    left, ended = allowed - trials.counted(), "trials"
    judged = search.pruner != "none" and len(plan.objectives) == 1
    with _workers(layout, settings, min(search.workers, left)) as workers, _runs(layout, settings, study) as runs:
        watchers: list[Watcher] = [runs]
        if watch is not None:
            watchers.append(watch(Begun(name, plan, settings, found(layout, study), recovered, allowed)))
        if left > 0:
            budget = Budget(allowed, search.timeout, target(search, plan.objectives))
            ended = Search(trials, workers, plan.objectives, budget, job=job, watchers=watchers, judged=judged).run()
    result = found(layout, study)
    overrides = [space.overrides(each.settings) for each in result.best]
    tuned = Tuned(ended, result, overrides, runs.refused)
    if not (search.register and len(overrides) == 1 and len(plan.objectives) == 1):
        return tuned
    known = _registered(layout, study, settings.name, overrides[0])
    if known is not None:
        return replace(tuned, known=known)
    trained = (train or _train(layout))(overrides[0], result.run)
    study.set_user_attr(REGISTERED, {"overrides": overrides[0], "run": trained.run.id})
    return replace(tuned, trained=trained)


def _registered(layout: Layout, study: optuna.Study, model: str, overrides: list[str]) -> ModelVersion | None:
    """The version that an earlier call made of the same settings."""
    from tidemill.domain.registry import fold
    from tidemill.project.registry import events
    from tidemill.stages.search.study import REGISTERED

    last = study.user_attrs.get(REGISTERED, {})
    if last.get("overrides") != overrides:
        return None
    versions = fold(events(layout, model)).versions.values()
    return next((version for version in versions if version.run == last["run"]), None)


def _train(layout: Layout) -> Train:
    from tidemill.project import training

    return lambda overrides, parent: training.train(layout, overrides, parent=parent)


def _opener(layout: Layout) -> Callable[[Config], PackedDataset]:
    from tidemill.project.data import open_for_task

    @lru_cache(maxsize=8)
    def opened(name: str, version: str, task: Any) -> PackedDataset:
        return open_for_task(layout, name, version, task)

    return lambda settings: opened(settings.data.name, settings.data.version, settings.task)


def _plan(space: Space, settings: Config, first: Config, data: PackedDataset) -> Plan:
    """The search as its study knows it: what all trials share, but not what is swept."""
    from tidemill.config.architectures import ARCHITECTURES
    from tidemill.config.check import checked
    from tidemill.config.compose import config_plain
    from tidemill.stages.search.plan import Plan, objectives
    from tidemill.stages.train import flat

    needed = {each: first.model.params[each] for each in ARCHITECTURES[first.model.kind].required}
    model = {"kind": first.model.kind, "params": needed}
    bare = {"name": first.name, "task": first.task, "data": {"name": ""}, "model": model}
    usual = flat(config_plain(checked(bare, lambda path: path)))  # a setting that is new in Tidemill changes nothing
    usual = {key: value for key, value in usual.items() if key.removeprefix("model.params.") not in needed}
    swept = tuple(space.dimensions)
    about = {key: value for key, value in flat(config_plain(first)).items()
             if key.split(".")[0] not in _ASIDE and value != usual.get(key)
             and not any(key == each or key.startswith(f"{each}.") for each in swept)}  # fmt: skip
    about |= {"model.kind": first.model.kind, "dataset": data.version.digest}
    return Plan(first.name, objectives(settings.search, data.version.kind), space.dimensions, about)


def _job(space: Space, opened: Callable[[Config], PackedDataset], plan: Plan) -> Callable[[Any], Mapping[str, Any]]:
    """The message to a worker: the whole configuration of a trial, and where its data lie."""
    from tidemill.config.compose import config_plain

    metrics = [each.metric for each in plan.objectives]

    def job(asked: Any) -> Mapping[str, Any]:
        settings = space.config(asked.values)
        return {"config": config_plain(settings), "data": str(opened(settings).root), "metrics": metrics}

    return job


def _longest(space: Space, first: Config) -> int:
    """Steps of the longest training: epochs of a network, trees of a booster."""
    from tidemill.config.space import ends

    path = "model.params.trees" if first.model.kind == "xgboost" else "trainer.max_epochs"
    if path in space.dimensions:
        return max(int(each) for each in ends(space.dimensions[path]))
    return int(first.model.params["trees"]) if first.model.kind == "xgboost" else first.trainer.max_epochs


@contextmanager
def _workers(layout: Layout, settings: Config, number: int) -> Iterator[Workers]:
    """`number` processes that share the cores; gone at the end, with what they left on the disk."""
    from tidemill.stages.search.workers import Workers

    scratch = layout.root / settings.paths.scratch / "trials"
    sweep_staging(scratch)
    given = [settings.task, str(layout.root), str(scratch)]
    workers = Workers(max(0, number), _WORKER, given, threads=max(1, limit_threads() // max(1, number)))
    try:
        yield workers
    finally:
        workers.stop()
        sweep_staging(scratch)


@contextmanager
def _runs(layout: Layout, settings: Config, study: optuna.Study) -> Iterator[TrialRuns]:
    """The study's run, new or opened again, with the trials' runs below it, and at the end its page and table."""
    from mlflow.tracking import MlflowClient

    from tidemill.project.registry import tracking_uri
    from tidemill.project.runs import open_tracker
    from tidemill.project.searching.runs import TrialRuns, reopen
    from tidemill.stages.search.study import RUN
    from tidemill.stages.train import flat

    tracker = open_tracker(layout, settings)
    client = MlflowClient(tracking_uri=tracking_uri(layout))
    tags = {"tidemill.model": settings.name, "tidemill.study": study.study_name}
    parent = str(study.user_attrs.get(RUN, ""))
    if not (parent and reopen(client, parent)):
        params = flat({"search": vars(settings.search)})
        parent = tracker.start(f"{settings.name} search {study.study_name}", params, tags)
        study.set_user_attr(RUN, parent)
    quiet = replace(settings, logger=replace(settings.logger, system_metrics=False))  # the study's run has them
    below = open_tracker(layout, quiet, parent=parent)
    runs = TrialRuns(below, client, study=study.study_name, tags=tags)
    status: Literal["finished", "failed", "killed"] = "failed"
    try:
        yield runs
        status = "finished"
    except (KeyboardInterrupt, SystemExit):
        status = "killed"
        raise
    finally:
        runs.close()
        page = write_page(layout, study).page
        tracker.keep(parent, page.parent, "search")
        tracker.finish(parent, status)
