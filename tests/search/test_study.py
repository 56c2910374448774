"""A study in the project's database: beside MLflow, with each sampler and pruner, and after a process died in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import optuna
import pytest
from mlflow.tracking import MlflowClient
from optuna.trial import TrialState

from tidemill.config.schema import SearchConfig
from tidemill.config.space import Choice, Real, Whole
from tidemill.errors import ConfigError, StateError
from tidemill.project.database import ensure_database
from tidemill.project.layout import Layout
from tidemill.project.searching.studies import open_storage
from tidemill.stages.search.plan import Objective, Plan, objectives, target
from tidemill.stages.search.study import opened
from tidemill.stages.search.trials import LOST, Trials

PLAN = Plan(
    "model", (Objective("val_loss", "minimize"),),
    {"rate": Real(1e-4, 1.0, None, True), "width": Whole(1, 9), "kind": Choice(("a", "b", True, None))}, {"seed": 1},
)  # fmt: skip
Open = Callable[..., Trials]


@pytest.fixture
def open_study(tmp_path_factory: pytest.TempPathFactory) -> Open:
    layout = Layout(tmp_path_factory.mktemp("study"))
    layout.state.mkdir()

    def open_(search: SearchConfig, plan: Plan = PLAN, name: str = "s", owner: str = "me") -> Trials:
        return Trials(opened(open_storage(layout), plan, search, name, longest=30), plan, owner={"who": owner})

    return open_


def test_it_lives_beside_mlflow_which_goes_on_as_before(project: Layout) -> None:
    url = ensure_database(project)
    with closing(sqlite3.connect(project.database)) as connection:
        before = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    study = opened(open_storage(project), PLAN, SearchConfig(), "s", longest=30)
    study.tell(study.ask(), 1.0)
    with closing(sqlite3.connect(project.database)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == before
        assert connection.execute("SELECT count(*) FROM trials").fetchone() == (1,)
    client = MlflowClient(url)
    assert client.get_run(client.create_run("0").info.run_id).info.status == "RUNNING"


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", "nsga2"])
def test_each_sampler_proposes_what_the_space_allows(open_study: Open, sampler: Any) -> None:
    trials = open_study(SearchConfig(sampler=sampler))
    for _ in range(12):
        asked = trials.ask()
        assert 1e-4 <= asked.values["rate"] <= 1
        assert asked.values["width"] in range(1, 10)
        assert asked.values["kind"] in ("a", "b", True, None)
        trials.complete(asked.number, [asked.values["rate"]], 0.1)
    best = trials.best()
    assert best is not None
    assert best.values[0] == min(trial.values[0] for trial in trials.study.trials)


def test_a_grid_has_every_row_once_also_when_it_is_opened_again(open_study: Open) -> None:
    plan = replace(PLAN, space={"rate": Real(0.0, 1.0), "kind": Choice(("a", "b"))})
    search = SearchConfig(sampler="grid", points=3)
    trials = open_study(search, plan)
    seen = []
    for _ in range(2):
        asked = trials.ask()
        seen.append(tuple(asked.values.values()))
        trials.complete(asked.number, [1.0], 0.1)
    trials = open_study(search, plan)
    while trials.waiting():
        asked = trials.ask()
        seen.append(tuple(asked.values.values()))
        trials.complete(asked.number, [1.0], 0.1)
    assert sorted(seen) == [(rate, kind) for rate in (0.0, 0.5, 1.0) for kind in "ab"]


def test_random_numbers_go_on_when_a_study_is_opened_again(open_study: Open) -> None:
    first = open_study(SearchConfig(sampler="random"))
    asked = first.ask()
    first.complete(asked.number, [1.0], 0.1)
    assert open_study(SearchConfig(sampler="random")).ask().values["rate"] != asked.values["rate"]


@pytest.mark.parametrize("pruner", ["median", "asha", "hyperband"])
def test_each_pruner_ends_what_falls_behind_and_lets_the_best_go_on(open_study: Open, pruner: Any) -> None:
    trials = open_study(SearchConfig(pruner=pruner, sampler="random"))
    ends: dict[float, list[str]] = {}
    for quality in [1.0, 2, 3, 4, 5, 6, 0.5, *[9] * 12]:
        asked = trials.ask()
        why = ""
        for step in range(1, 31):
            why = why or trials.report(asked.number, quality, step)
        if why:
            trials.prune(asked.number, 0.1)
        else:
            trials.complete(asked.number, [quality], 0.1)
        ends.setdefault(quality, []).append(why)
    assert ends[0.5] == [""]
    assert "pruned" in ends[9]


def test_without_pruner_nothing_is_ended_but_what_is_no_number(open_study: Open) -> None:
    trials = open_study(SearchConfig(pruner="none"))
    number = trials.ask().number
    assert trials.report(number, 1e9, 1) == ""
    assert trials.report(number, float("nan"), 2) == "nan"


def test_what_a_dead_process_left_is_tried_again_once_each(open_study: Open) -> None:
    dead = open_study(SearchConfig(), owner="dead")
    done = dead.ask()
    dead.complete(done.number, [1.0], 0.1)
    lost = [dead.ask(), dead.ask()]
    alive = open_study(SearchConfig(), owner="alive")
    theirs = alive.ask()
    trials = open_study(SearchConfig())
    assert trials.recover(lambda owner: owner["who"] == "dead") == 2
    assert trials.recover(lambda owner: owner["who"] == "dead") == 0
    assert trials.counted() == 1
    again = [trials.ask().values, trials.ask().values]
    assert again == [each.values for each in lost]
    assert trials.study.trials[theirs.number].state == TrialState.RUNNING
    assert [trial.number for trial in trials.study.trials if trial.user_attrs.get(LOST)] == [1, 2]


def test_a_trial_that_kills_its_worker_twice_has_failed(open_study: Open) -> None:
    trials = open_study(SearchConfig())
    first = trials.ask()
    assert trials.lose(first.number, "killed", lives=True)
    second = trials.ask()
    assert second.values == first.values
    assert not trials.lose(second.number, "killed", lives=True)
    assert trials.counted() == 1
    assert trials.waiting() == 0


def test_a_study_is_not_mixed_with_another_search(open_study: Open) -> None:
    open_study(SearchConfig())
    open_study(SearchConfig(trials=7, sampler="random", pruner="asha"))  # how to look may change
    for other in (replace(PLAN, about={"seed": 2}), replace(PLAN, space={"rate": Real(0.0, 2.0)}),
                  replace(PLAN, objectives=(Objective("val_accuracy", "maximize"),))):  # fmt: skip
        assert other.name != PLAN.name
        with pytest.raises((StateError, ValueError)):
            open_study(SearchConfig(), other)


def test_several_objectives_have_a_front(open_study: Open) -> None:
    plan = replace(PLAN, objectives=objectives(SearchConfig(metric="val_accuracy,fit_seconds"), "classification"))
    assert [each.direction for each in plan.objectives] == ["maximize", "minimize"]
    trials = open_study(SearchConfig(sampler="nsga2"), plan)
    for values in ([0.9, 5.0], [0.8, 1.0], [0.7, 4.0]):
        trials.complete(trials.ask().number, values, 0.1)
    assert sorted(trial.number for trial in trials.front()) == [0, 1]
    assert trials.best() is None


@pytest.mark.parametrize(
    "wrong",
    [SearchConfig(metric="test_accuracy"), SearchConfig(metric="accuracy"), SearchConfig(metric="val_loss,val_loss"),
     SearchConfig(direction="up"), SearchConfig(metric="val_loss,fit_seconds", direction="minimize")],
)  # fmt: skip
def test_objectives_that_make_no_sense_are_refused(wrong: SearchConfig) -> None:
    with pytest.raises(ConfigError):
        objectives(wrong, "classification")


def test_a_target_is_a_number_of_one_metric() -> None:
    one = objectives(SearchConfig(), "regression")
    assert one == (Objective("val_rmse", "minimize"),)
    assert target(SearchConfig(target="6.3"), one) == 6.3
    with pytest.raises(ConfigError, match="no number"):
        target(SearchConfig(target="low"), one)
    for each in ("nan", "inf", "-inf"):
        with pytest.raises(ConfigError, match="no value to reach"):
            target(SearchConfig(target=each), one)


def test_optuna_says_nothing(open_study: Open, capsys: pytest.CaptureFixture[str]) -> None:
    trials = open_study(SearchConfig())
    trials.complete(trials.ask().number, [1.0], 0.1)
    assert capsys.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == optuna.logging.ERROR
