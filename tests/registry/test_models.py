"""Promotion, rollback and history over a real project."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from tests.registry.conftest import AGAIN, GOOD, NAME, POOR
from tidemill.domain.deployment import Deployment
from tidemill.domain.evidence import Evidence
from tidemill.domain.record import from_plain
from tidemill.domain.registry import fold
from tidemill.errors import GateError, InputError, NotFoundError, StateError
from tidemill.project import models
from tidemill.project.layout import Layout


def manifest(layout: Layout, alias: str = "champion") -> Deployment | None:
    file = layout.serving / NAME / f"{alias}.json"
    return from_plain(Deployment, json.loads(file.read_bytes())) if file.is_file() else None


def check_manifest(layout: Layout, number: int, alias: str = "champion") -> None:
    """The manifest says what the ledger says, and its place holds that bundle."""
    found = manifest(layout, alias)
    assert found is not None
    version = models.state(layout, NAME).versions[number]
    assert (found.version, found.bundle) == (number, version.bundle)
    place = (layout.serving / NAME / found.place).resolve()
    assert place == layout.bundle(version.bundle).resolve() and (place / "bundle.json").is_file()


NO_NAMES = (
    "digits", "digits@", "digits/", "digits/0", "digits/x", "digits/-1", "digits/1.0", "/1", "@champion", "../x/1",
    "digits@../x", "a b@champion", "", "digits/1/2", "digits@a@b", "x" * 64 + "/1", "digits/99999999999",
)  # fmt: skip


@pytest.mark.parametrize("text", NO_NAMES)
def test_what_names_no_version_is_refused_with_the_two_forms(text: str) -> None:
    with pytest.raises(InputError) as refused:
        models.parse_model(text)
    assert "name@alias or name/version" in refused.value.remedy


def test_names_of_versions_and_aliases() -> None:
    assert models.parse_model("digits/12") == models.ModelRef("digits", None, 12)
    assert models.parse_model("digits@champion") == models.ModelRef("digits", "champion", None)


def test_resolving_lists_what_there_is(project: Layout) -> None:
    assert models.resolve(project, f"{NAME}/2").number == 2
    assert models.resolve(project, f"{NAME}@challenger").number == AGAIN
    for text, hint in (
        ("cancr/1", NAME), (f"{NAME}/9", f"{NAME}/3"), (f"{NAME}@chalenger", "challenger"),
        (f"{NAME}@champion", f"tidemill models promote {NAME} 3"),
    ):  # fmt: skip
        with pytest.raises(NotFoundError) as missing:
            models.resolve(project, text)
        assert hint in missing.value.remedy


def test_the_first_version_is_promoted_on_what_it_is_and_a_better_one_on_evidence(project: Layout) -> None:
    first = from_plain(Evidence, models.promote(project, NAME, POOR).payload["evidence"])
    assert first.held and first.champion is None and first.p_value is None
    check_manifest(project, POOR)

    event = models.promote(project, NAME, GOOD)
    evidence = from_plain(Evidence, event.payload["evidence"])
    assert evidence.held and evidence.rows == 107 and evidence.dataset == f"{NAME}-v1.0.0"
    assert evidence.champion is not None and evidence.challenger > evidence.champion
    assert evidence.only_challenger is not None and evidence.only_champion is not None
    assert evidence.only_challenger > evidence.only_champion
    assert event.payload["replaced"] == POOR and event.payload["forced"] is None
    check_manifest(project, GOOD)
    report = project.reports / f"promotion-{NAME}-{GOOD}-{event.sequence}" / "promotion.json"
    assert json.loads(report.read_bytes())["payload"]["evidence"]["rows"] == 107


def test_an_equal_one_is_refused_with_its_figures_and_forced_with_a_reason(project: Layout) -> None:
    models.promote(project, NAME, GOOD)
    lines = len(models.ledger(project).events())
    with pytest.raises(GateError, match=r"better: accuracy 0\.\d+ against 0\.\d+.*p = 1, below 0.05") as refused:
        models.promote(project, NAME, AGAIN)
    assert f"models promote {NAME} {AGAIN} --force REASON" in refused.value.remedy
    last = models.ledger(project).events()[lines:]
    assert [line.kind for line in last] == ["refused"] and last[0].payload["champion"] == GOOD
    verdict = from_plain(Evidence, last[0].payload["evidence"])
    assert not verdict.held and verdict.rows == 107 and verdict.p_value == 1 and verdict.alpha == 0.05
    check_manifest(project, GOOD)
    event = models.promote(project, NAME, AGAIN, force="a new machine")
    assert event.payload["forced"] == "a new machine" and not from_plain(Evidence, event.payload["evidence"]).held
    check_manifest(project, AGAIN)


def test_a_worse_one_is_refused(project: Layout) -> None:
    models.promote(project, NAME, GOOD)
    with pytest.raises(GateError, match="does not hold"):
        models.promote(project, NAME, POOR)


def test_the_present_champion_and_what_is_not_there(project: Layout) -> None:
    models.promote(project, NAME, GOOD)
    with pytest.raises(InputError, match="champion already"):
        models.promote(project, NAME, GOOD, force="again")
    with pytest.raises(NotFoundError):
        models.promote(project, NAME, 7)
    with pytest.raises(NotFoundError):
        models.promote(project, "none", 1)


def test_the_challenger_loses_its_alias_when_it_wins(project: Layout) -> None:
    models.reconcile(project)
    check_manifest(project, AGAIN, "challenger")
    models.promote(project, NAME, AGAIN)
    assert manifest(project, "challenger") is None
    assert models.state(project, NAME).challenger is None


def test_rollback_walks_back_and_says_when_there_is_nothing(project: Layout) -> None:
    with pytest.raises(StateError, match="no earlier champion"):
        models.rollback(project, NAME)
    for number in (POOR, GOOD):
        models.promote(project, NAME, number)
    models.promote(project, NAME, AGAIN, force="to try")
    event = models.rollback(project, NAME, "it was no better")
    assert event.payload == {"from": AGAIN, "to": GOOD, "reason": "it was no better"}
    check_manifest(project, GOOD)
    models.rollback(project, NAME)
    check_manifest(project, POOR)
    with pytest.raises(StateError):
        models.rollback(project, NAME)
    models.promote(project, NAME, GOOD)
    check_manifest(project, GOOD)


def test_history_knows_who_was_champion_at_any_time(project: Layout) -> None:
    events = [models.promote(project, NAME, POOR), models.promote(project, NAME, GOOD), models.rollback(project, NAME)]
    instant = timedelta(microseconds=1)
    wanted = [None, POOR, GOOD, POOR]
    times = [events[0].at - instant, *(event.at for event in events)]
    for at, number in zip(times, wanted, strict=True):
        assert fold(models.history(project, NAME, at)).champion == number
    assert [event.kind for event in models.history(project, NAME)] == [
        "registered", "registered", "registered", "promoted", "promoted", "rolled_back"
    ]  # fmt: skip
    with pytest.raises(NotFoundError):
        models.history(project, "none")


@pytest.mark.parametrize("lost", ["manifest", "memory", "both", "torn"])
def test_what_a_killed_promotion_left_behind_is_made_up_for(project: Layout, lost: str) -> None:
    """After the ledger's line the process died: the manifest and MLflow's alias are still the old ones."""
    models.promote(project, NAME, POOR)
    version = models.state(project, NAME).versions[GOOD]
    payload = {"version": GOOD, "replaced": POOR, "bundle": version.bundle, "evidence": None, "forced": "killed"}
    models.ledger(project).append("promoted", NAME, payload, check=lambda events: None)
    check_manifest_is_old(project)
    champion = project.serving / NAME / "champion.json"
    if lost in ("manifest", "both"):
        champion.unlink()
    if lost in ("memory", "both"):  # of what MLflow's aliases were set to: a project from before it was kept
        with closing(sqlite3.connect(project.database)) as database:
            database.execute("DELETE FROM tidemill_aliases")
            database.commit()
    if lost == "torn":
        champion.write_bytes(champion.read_bytes()[:40])
    models.reconcile(project)
    check_manifest(project, GOOD)


def check_manifest_is_old(layout: Layout) -> None:
    found = manifest(layout)
    assert found is not None and found.version == POOR


def test_a_bundle_that_is_gone_comes_back_from_the_registry(project: Layout) -> None:
    import shutil

    version = models.resolve(project, f"{NAME}/{GOOD}")
    shutil.rmtree(project.bundle(version.bundle))
    predictor = models.open_predictor(project, version)
    assert predictor.opened.digest == version.bundle
    assert predictor.opened.directory == project.bundle(version.bundle)
    assert not list(project.staging.glob("[0-9]*"))


def test_verify_names_what_was_altered(project: Layout) -> None:
    assert all(check.held for check in models.verify(project))
    version = models.resolve(project, f"{NAME}/{GOOD}")
    card = project.bundle(version.bundle) / "card.md"
    card.write_text(card.read_text() + "x")
    failed = [check for check in models.verify(project) if not check.held]
    assert [check.name for check in failed] == [f"{NAME}/{GOOD}"]
    assert "card.md" in failed[0].detail


def test_a_ledger_that_was_written_anew_differs_from_the_promotions_files(project: Layout) -> None:
    """Whoever can make the whole chain again cannot make the files that were written beside."""
    models.promote(project, NAME, GOOD)
    lines = models.ledger(project).events()
    with closing(sqlite3.connect(project.database)) as database:
        database.execute("DELETE FROM tidemill_events")
        database.execute("DELETE FROM tidemill_head")
        database.commit()
    for line in lines:
        payload = {**line.payload, "forced": "nobody saw"} if line.kind == "promoted" else line.payload
        models.ledger(project).append(line.kind, NAME, payload, check=lambda events: None)
    assert models.ledger(project).verify() == 4
    with pytest.raises(GateError, match=r"line 4 \(promoted\) is not the one in promotion-"):
        models.verify(project)


def test_a_champion_that_is_corrupt_gives_way_only_by_force(project: Layout) -> None:
    models.promote(project, NAME, POOR)
    version = models.resolve(project, f"{NAME}/{POOR}")
    (project.bundle(version.bundle) / "model.onnx").write_bytes(b"broken")
    with pytest.raises(Exception, match="cannot be used"):
        models.promote(project, NAME, GOOD)
    event = models.promote(project, NAME, GOOD, force="the champion's files are broken")
    assert event.payload["evidence"] is None
    check_manifest(project, GOOD)


def test_reading_needs_no_mlflow(project: Layout, tmp_path: Path) -> None:
    import subprocess
    import sys

    models.promote(project, NAME, GOOD)
    program = (
        "import sys; sys.argv = ['tidemill', 'models', *sys.argv[1:]]\n"
        "from tidemill.cli import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "assert not {'mlflow', 'torch', 'pandas', 'dvc', 'onnxruntime'} & set(sys.modules), set(sys.modules)"
    )
    for args in (("list",), ("show", f"{NAME}@champion"), ("history", NAME)):
        done = subprocess.run([sys.executable, "-c", program, *args], cwd=project.root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
