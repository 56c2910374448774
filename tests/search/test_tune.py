"""`tidemill tune` in a real project: what is tried, kept, said, registered, and what does not stop it."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from tidemill.errors import ConfigError, InputError, TidemillError
from tidemill.project.database import ensure_database
from tidemill.project.grids import rows
from tidemill.project.layout import Layout
from tidemill.project.searching.studies import newest, show
from tidemill.project.searching.tune import tune

from .conftest import Run

SMALL = ("model.params.trees=10", "model.params.depth=range(2,6)", "search.register=false")


def children(project: Layout, parent: str) -> list[Any]:
    client = MlflowClient(ensure_database(project))
    experiment = client.get_run(parent).info.experiment_id
    return list(client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'"))


def test_it_searches_registers_the_best_and_goes_on_when_called_again(project: Layout, tidemill: Run) -> None:
    arguments = ("tune", "model.params.trees=20", "model.params.depth=range(2,6)",
                 "model.params.learning_rate=tag(log,interval(0.01,0.5))", "search.workers=2")  # fmt: skip
    done = tidemill(*arguments, "search.trials=4", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert len(answer["trials"]) == 4
    best = max(each["values"][0] for each in answer["trials"] if each["state"] == "complete")
    assert answer["best"][0]["values"] == [best]
    assert answer["trained"]["metrics"]["accuracy"] > 0.8
    assert answer["trained"]["version"] == 1
    runs = children(project, answer["run"])
    assert len([run for run in runs if "tidemill.trial" in run.data.tags]) == 4
    assert not any(name.startswith("test") for run in runs if "tidemill.trial" in run.data.tags
                   for name in run.data.metrics)  # fmt: skip
    trained = MlflowClient(ensure_database(project)).get_run(answer["trained"]["run"])
    assert trained.data.tags["mlflow.parentRunId"] == answer["run"]
    assert float(trained.data.params["model.params.depth"]) == answer["best"][0]["settings"]["model.params.depth"]
    assert {run.info.status for run in runs} == {"FINISHED"}

    more = tidemill(*arguments, "search.trials=6", "--no-register", "--json")
    assert more.returncode == 0, more.stderr
    again = json.loads(more.stdout)
    assert (again["study"], again["run"]) == (answer["study"], answer["run"])
    assert [each["settings"] for each in again["trials"][:4]] == [each["settings"] for each in answer["trials"]]
    assert len(again["trials"]) == 6
    assert "going on after 4 trials" in more.stderr


def test_the_page_stands_alone_and_is_an_artefact(project: Layout, tmp_path: Path) -> None:
    tuned = tune(project, [*SMALL, "search.trials=4", "model.params.subsample=interval(0.5,1)"])
    page = tuned.found.page.read_text()
    for title in ("History", "Best so far", "Parallel coordinates", "Slices", "Values on the way"):
        assert title in page
    assert page.count("plotly.js v") == 1  # its code is in the page, and once
    around = page.partition("<script>")[0] + page.partition("</head>")[2]
    assert 'src="' not in around
    assert "<link" not in around
    kept = MlflowClient(ensure_database(project)).download_artifacts(tuned.found.run, "search", str(tmp_path))
    rows = list(csv.DictReader((Path(kept) / "trials.csv").read_text().splitlines()))
    assert [row["trial"] for row in rows] == ["0", "1", "2", "3"]
    assert show(project, tuned.found.study).trials == tuned.found.trials


def test_a_grid_tries_every_row_once(project: Layout) -> None:
    tuned = tune(project, [*SMALL, "model.params.learning_rate=0.1,0.3", "search.sampler=grid"])
    assert len(tuned.found.trials) == 8
    assert len({tuple(each.settings.values()) for each in tuned.found.trials}) == 8


def test_whole_groups_are_tried_and_what_fails_is_recorded(project: Layout) -> None:
    tuned = tune(project, ["model=linear,lasso", "search.sampler=grid", "search.register=false"])
    by = {each.settings["model"]: each for each in tuned.found.trials}
    assert by["linear"].state == "complete"
    assert by["lasso"].state == "failed"
    assert "does no classification" in by["lasso"].reason
    failed = [run for run in children(project, tuned.found.run) if run.info.status == "FAILED"]
    assert [run.data.tags["tidemill.reason"] for run in failed] == [by["lasso"].reason]
    assert tuned.overrides == [["model=linear"]]


def test_when_every_trial_fails_the_first_reason_is_said(project: Layout) -> None:
    with pytest.raises(TidemillError, match=r"no trial succeeded.*does no classification"):
        tune(project, ["model=lasso", "model.params.alpha=interval(0.1,1)", "search.trials=3"])


def test_a_metric_that_training_does_not_report_is_named(project: Layout) -> None:
    with pytest.raises(TidemillError, match=r"no val_rmse, but .*val_accuracy"):
        tune(project, [*SMALL, "search.metric=val_rmse", "search.trials=2"])


def test_it_ends_when_the_target_is_reached(project: Layout) -> None:
    tuned = tune(project, [*SMALL, "search.target=0.5", "search.trials=30"])
    assert tuned.ended == "target"
    assert len([each for each in tuned.found.trials if each.state == "complete"]) == 1


def test_when_time_is_up_what_is_in_flight_is_put_back(project: Layout) -> None:
    slow = ["model.params.trees=10000", "model.params.patience=0", "model.params.l1=interval(0,1)",
            "search.register=false", "search.pruner=none", "search.timeout=6"]  # fmt: skip
    tuned = tune(project, slow)
    assert tuned.ended == "timeout"
    states = [each.state for each in tuned.found.trials]
    assert states.count("lost") == states.count("waiting") == 1


def test_several_objectives_give_a_front(project: Layout) -> None:
    tuned = tune(
        project, [*SMALL, "search.metric='val_loss,trainable_params'", "search.trials=5", "search.sampler=nsga2"]
    )
    values = [each.values for each in tuned.found.best]
    assert values
    assert all(not (a[0] < b[0] and a[1] < b[1]) for a in values for b in values)
    assert len(tuned.overrides) == len(values)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["model.params.trees=range(0,9)"], "must be at least 1 and at most"),
        (["model.params.dept=range(2,9)"], "no setting"),
        (["model.params.depth=range(2,9)", "search.metric=test_accuracy"], "no metric of validation"),
        (["model.params.depth=range(2,9)", "search.sampler=magic"], "must be one of"),
        (["model.params.depth=range(2,9)", "search.target=high"], "is no number"),
        (["search.trials=1,2"], "gives nothing to choose from"),
    ],
)
def test_what_is_wrong_is_said_before_anything_begins(project: Layout, arguments: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        tune(project, arguments)
    assert not project.database.exists()


@pytest.mark.parametrize("name", ["../../../evil", "..", "a/b", "", "a b", "x" * 101])
def test_a_study_has_a_plain_name(project: Layout, name: str) -> None:
    before = sorted(project.root.parent.rglob("*"))
    with pytest.raises(InputError, match="no name for a study"):
        tune(project, SMALL, study=name)
    assert sorted(project.root.parent.rglob("*")) == before


@pytest.mark.slow
def test_a_ready_space_is_taken_where_none_is_given(project: Layout, tidemill: Run) -> None:
    done = tidemill("tune", "search.trials=1", "model.params.trees=5", "--no-register")
    assert done.returncode == 0, done.stderr
    assert "min_child_weight" in done.stdout
    assert "tidemill train model.params.trees=5 model.params.depth=" in done.stdout
    name = tidemill("tune", "--list").stdout.strip()
    assert f"study     {name}: 1 complete" in tidemill("tune", "--show", name).stdout
    assert tidemill("tune", "--show", "nothing").returncode == 2


def test_a_setting_without_a_default_may_be_what_is_tried(project: Layout) -> None:
    swept = ["model=sklearn", "model.params.estimator=GaussianNB,DecisionTreeClassifier"]
    tuned = tune(project, [*swept, "search.sampler=grid", "search.register=false"])
    assert {each.state for each in tuned.found.trials} == {"complete"}
    fixed = ["model=sklearn", "model.params.estimator=GaussianNB", "search.trials=1", "search.register=false"]
    other = tune(project, [*fixed, "model.params.numbers=plain,bins"])
    same = tune(project, [*fixed, "model.params.numbers=plain,bins"])
    another = tune(project, [*fixed, "model.params.estimator=BernoulliNB", "model.params.numbers=plain,bins"])
    assert other.found.study == same.found.study != another.found.study


def test_a_grid_may_give_a_setting_that_has_no_default(project: Layout) -> None:
    found = rows(project, ["model=sklearn", "model.params.estimator=GaussianNB,SVC"])
    assert [row.swept["model.params.estimator"] for row in found] == ["GaussianNB", "SVC"]
    with pytest.raises(ConfigError, match="no setting depth in model=linear") as raised:
        rows(project, ["model=linear,xgboost", "model.params.depth=2"])
    assert "depth belongs to model=xgboost" in raised.value.remedy


def test_of_a_small_space_each_point_is_tried_once_and_the_best_registered_once(project: Layout, tidemill: Run) -> None:
    call = ("tune", "model.params.trees=5", "model.params.depth=range(2,6)", "search.trials=6")
    done = tidemill(*call)
    assert done.returncode == 0, done.stderr
    assert "1 setting, * the best so far, only 4 points" in done.stderr
    found = show(project, newest(project))
    assert sorted(each.settings["model.params.depth"] for each in found.trials) == [2, 3, 4, 5]
    assert "tidemill train model.params.trees=5 model.params.depth=" in found.page.read_text()

    again = tidemill(*call)
    assert again.returncode == 0, again.stderr
    assert "cancer/1 was made of these settings by this study before; nothing was trained" in again.stdout
    assert len(show(project, found.study).trials) == 4


def test_a_drawn_number_is_short_and_what_the_trial_was_trained_with(project: Layout) -> None:
    swept = ["model.params.trees=5", "model.params.learning_rate=interval(0.1,0.5)", "search.trials=2"]
    tuned = tune(project, [*swept, "search.register=false"])
    said = tuned.overrides[0][-1].partition("=")[2]
    assert len(said) <= len("0.123456")
    runs = {run.data.tags["tidemill.trial"]: run for run in children(project, tuned.found.run)}
    assert runs[str(tuned.found.best[0].number)].data.params["model.params.learning_rate"] == said


def test_what_does_not_bear_on_the_model_is_not_searched(project: Layout, tidemill: Run) -> None:
    with pytest.raises(ConfigError, match=r"trainer.max_epochs does not bear on model=xgboost") as raised:
        tune(project, ["trainer.max_epochs=2,3"])
    assert "model.params.trees" in raised.value.remedy
    done = tidemill("train", "trainer.max_epochs=10", "trainer.threads=2", "model.params.trees=500")
    assert done.returncode == 0, done.stderr
    assert "note: trainer.max_epochs=10 does not bear on model=xgboost; its own is model.params.trees" in done.stderr
    assert "trainer.threads" not in done.stderr
    assert re.search(r"stopped after \d+ trees: no better for 20; the first \d+ are kept", done.stderr)
