"""Monitor, decide and retrain on a project that really serves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.monitor import loop
from tidemill.cli.commands import monitor as monitor_command
from tidemill.cli.commands import retrain as retrain_command
from tidemill.domain.digest import Digest
from tidemill.domain.drift import DriftReport
from tidemill.domain.record import from_plain
from tidemill.errors import NotFoundError, StateError
from tidemill.project import data, models, training, watching
from tidemill.project.configuration import config_like
from tidemill.project.layout import Layout

Project = tuple[Layout, tuple[str, ...]]


def test_a_report_lies_on_disk_and_the_ledger_vouches_for_it(project: Project) -> None:
    layout, ids = project
    loop.label_all(layout, ids)
    report = watching.monitor(layout, loop.NAME)
    content = (layout.reports / report.id / "report.json").read_bytes()
    assert from_plain(DriftReport, json.loads(content)) == report
    event = models.history(layout, loop.NAME)[-1]
    assert (event.kind, event.payload["report"]) == ("reported", report.id)
    assert event.payload["digest"] == Digest.of_bytes(content)
    assert (layout.reports / report.id / "report.html").read_text().startswith("<!doctype html>")
    assert (report.window.rows, report.window.labelled) == (180, 180)
    assert report.drifted == ()
    assert report.per_class[2].accuracy == 0.0


def test_moved_columns_are_found(project: Project) -> None:
    layout, _ = project
    version = models.resolve(layout, f"{loop.NAME}@champion")
    loop.answer(layout, version, [row for label in loop.CENTRES for row in loop.rows(label, 300, seed=5, shift=1.5)])
    report = watching.monitor(layout, loop.NAME)
    assert {"x", "y", "embedding"} <= {test.feature for test in report.drifted}


def test_the_policy_waits_without_labels_and_wants_more_data_with_them(project: Project) -> None:
    layout, ids = project
    first = watching.decide(layout, loop.NAME)
    assert first.verdict == "wait"
    loop.label_all(layout, ids)
    done = watching.retrain(layout, loop.NAME)
    assert done.decision.verdict == "retrain"
    assert "no training rows of class cedar: 60 of 60" in done.decision.reasons[0]
    assert done.decision.report != first.report
    assert done.trained is None
    assert "tidemill data add" in done.note


def test_a_decision_reuses_the_report_on_the_same_answers_and_labels(project: Project) -> None:
    layout, _ = project
    report = watching.monitor(layout, loop.NAME)
    assert watching.decide(layout, loop.NAME).report == report.id
    (layout.reports / report.id / "report.json").write_text("{}")
    assert watching.decide(layout, loop.NAME).report != report.id


def test_new_data_closes_the_loop(project: Project, tmp_path: Path) -> None:
    layout, ids = project
    loop.label_all(layout, ids)
    folder = loop.write_table(tmp_path / "v2", trained=list(loop.CENTRES))
    newest = data.add(layout, folder, name=loop.NAME, target="kind")
    decision = watching.decide(layout, loop.NAME)
    assert (decision.verdict, decision.dataset) == ("retrain", newest.tag)
    done = watching.carry_out(layout, decision)
    assert done.trained is not None
    assert done.promotion is not None
    bundle = models.open_predictor(layout, done.trained).bundle
    assert (bundle.lineage.decision, bundle.lineage.dataset) == (decision.id, newest.tag)
    assert models.state(layout, loop.NAME).champion == 2
    made = config_like(layout, done.trained, dataset=newest.tag)
    assert made.trainer.max_epochs == 4, "the challenger is made as the champion was, not as conf/ says today"


def test_a_version_trained_by_a_killed_command_goes_on_to_its_promotion(project: Project, tmp_path: Path) -> None:
    layout, ids = project
    loop.label_all(layout, ids)
    data.add(layout, loop.write_table(tmp_path / "v2", trained=list(loop.CENTRES)), name=loop.NAME, target="kind")
    trained = training.train(layout, loop.SETTINGS).version
    done = watching.retrain(layout, loop.NAME)
    assert done.trained == trained
    assert models.state(layout, loop.NAME).champion == 2


def test_force_trains_on_the_same_data_and_the_gate_still_holds(project: Project) -> None:
    layout, _ = project
    done = watching.retrain(layout, loop.NAME, force="a test")
    assert done.decision.reasons[0] == "forced: a test"
    assert done.trained is not None
    assert done.promotion is None
    assert "not promoted" in done.note
    assert models.state(layout, loop.NAME).champion == 1


def test_no_traffic_and_unknown_names_say_what_to_do(project: Project) -> None:
    layout, _ = project
    with pytest.raises(NotFoundError, match="no model 'flower'") as unknown:
        watching.monitor(layout, "flower")
    assert "flowers" in unknown.value.remedy
    with pytest.raises(NotFoundError, match="no version"):
        watching.monitor(layout, loop.NAME, version=7)
    for path in layout.log.rglob("*.*"):
        path.unlink()
    with pytest.raises(StateError, match="no traffic") as silent:
        watching.decide(layout, loop.NAME)
    assert "tidemill serve" in silent.value.remedy


def test_the_commands(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, ids = project
    loop.label_all(layout, ids)
    monkeypatch.chdir(layout.root)
    said = CliRunner().invoke(monitor_command.command, [loop.NAME])
    assert said.exit_code == 0
    for word in ("180 answers, 180 with a label", "labelled", "none of", "cedar", "report.html"):
        assert word in said.output
    plain = CliRunner().invoke(monitor_command.command, [loop.NAME, "--json", "--since", "1h"])
    assert json.loads(plain.stdout)["window"]["rows"] == 180
    said = CliRunner().invoke(retrain_command.command, [loop.NAME, "--no-act"])
    assert said.output.startswith("retrain  flowers on flowers-v1.0.0")
    assert "nothing was done" in said.output
    plain = CliRunner().invoke(retrain_command.command, [loop.NAME, "--json"])
    assert json.loads(plain.stdout)["decision"]["verdict"] == "retrain"


def test_drift_can_fail_the_command(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, _ = project
    version = models.resolve(layout, f"{loop.NAME}@champion")
    loop.answer(layout, version, loop.rows("aster", 200, seed=5, shift=2.0))
    monkeypatch.chdir(layout.root)
    assert CliRunner().invoke(monitor_command.command, [loop.NAME]).exit_code == 0
    said = CliRunner().invoke(monitor_command.command, [loop.NAME, "--fail-on-drift"])
    assert said.exit_code == 1
    assert "tests fired" in said.output


def test_a_version_that_was_rolled_back_does_not_come_again(project: Project, tmp_path: Path) -> None:
    layout, ids = project
    loop.label_all(layout, ids)
    folder = loop.write_table(tmp_path / "v2", trained=list(loop.CENTRES))
    data.add(layout, folder, name=loop.NAME, target="kind")
    decision = watching.decide(layout, loop.NAME)
    first = watching.carry_out(layout, decision)
    assert first.promotion is not None
    models.rollback(layout, loop.NAME, "an operator's reason")
    again = watching.carry_out(layout, decision)
    assert again.trained is not None
    assert again.trained.number == 3, "trained anew: version 2 has had its chance"
