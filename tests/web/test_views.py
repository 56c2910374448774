"""What the views say is what the stores hold."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tidemill.domain.record import to_plain
from tidemill.errors import NotFoundError
from tidemill.project import viewing
from tidemill.project.layout import Layout
from tidemill.project.registry import ledger
from tidemill.project.viewing.events import describe

from . import mill as making
from .mill import Mill


def test_an_empty_project_says_what_to_type_first(tmp_path: Path) -> None:
    layout = making.marked(tmp_path)
    view = viewing.loop_view(layout)
    assert view.hint is not None
    assert view.hint.command == "tidemill data add PATH --name digits"
    assert (view.data, view.run, view.newest, view.evidence, view.latest) == (None, None, None, None, None)
    assert (view.frame.project, view.frame.model, view.frame.models) == ("digits", "", ())
    assert not layout.state.exists(), "looking makes nothing"
    for read in (viewing.models_view, viewing.predictions_view, viewing.drift_view, viewing.ledger_view):
        assert read(layout).hint is not None


def test_each_step_names_the_next(tmp_path: Path) -> None:
    layout = making.marked(tmp_path)

    def next_command() -> str:
        hint = viewing.loop_view(layout).hint
        return hint.command if hint else ""

    making.add_data(layout)
    assert next_command() == "tidemill train"
    bundle = making.add_bundle(layout, 1)
    making.register(layout, 1, bundle=bundle)
    assert next_command() == "tidemill models promote digits 1"
    making.promote(layout, 1, bundle)
    assert next_command() == "tidemill serve digits@champion --port 8080"
    newest = making.answer(layout, bundle, version=1, rows=3, labelled=0)[-1]
    assert next_command() == f"tidemill feedback {newest.id} LABEL"
    making.answer(layout, bundle, version=1, rows=3, labelled=2)
    assert next_command() == "tidemill monitor digits"
    made = making.report(layout, 1, bundle, 0.95, drifted=False)
    assert next_command() == "tidemill retrain digits"
    making.decide(layout, made)
    assert next_command() == ""


def test_the_loop_at_a_glance(mill: Mill) -> None:
    view = viewing.loop_view(mill.layout)
    assert (view.frame.champion, view.frame.challenger, view.frame.models) == (2, None, ("digits",))
    assert view.data is not None
    assert (view.data.version, view.data.rows["test"], view.data.classes) == ("2.0.0", 360, 10)
    assert (view.traffic.total, view.labels.labelled, view.traffic.errors) == (50, 15, None)
    assert view.latest == mill.predictions[-1].id
    assert [alarm.drifted for alarm in view.alarms] == [True, False]
    assert [alarm.harmless for alarm in view.alarms] == [False, True]
    assert [event.title for event in view.events] == ["Promoted", "Retrain", "Alarm", "Promoted"]
    assert view.decision is not None
    assert "84.1%" in view.decision.text


def test_quality_holds_estimate_labels_limit_and_change(mill: Mill) -> None:
    quality = viewing.loop_view(mill.layout).quality
    assert quality is not None
    assert [point.estimated[0] for point in quality.points if point.estimated] == [0.85, 0.98]
    assert [point.labelled[0] for point in quality.points if point.labelled] == pytest.approx([0.84, 0.97])
    assert (quality.limits, quality.share, quality.method) == ({1: 0.92}, True, "CBPE")
    assert [(change.version, change.tested) for change in quality.changes] == [(2, 0.986)], (
        "the first promotion came before the first report"
    )


def test_evidence_is_that_of_the_last_promotion(mill: Mill) -> None:
    found = viewing.loop_view(mill.layout).evidence
    assert found is not None
    assert (found.evidence.challenger_version, found.evidence.champion_version) == (2, 1)
    assert found.sequence == 6


def test_versions_tell_what_their_bundles_hold(mill: Mill) -> None:
    two, one = viewing.models_view(mill.layout).versions
    assert (two.number, two.aliases, one.aliases) == (2, ("champion",), ())
    assert two.parity is not None
    assert two.present
    assert two.card
    assert viewing.card(mill.layout, two) == "# digits\n"


def test_predictions_come_newest_first_with_labels(mill: Mill) -> None:
    view = viewing.predictions_view(mill.layout)
    newest_first = sorted(mill.predictions, key=lambda each: (each.at, each.id), reverse=True)
    assert [row.id for row in view.rows] == [each.id for each in newest_first]
    labelled = [row for row in view.rows if row.label is not None]
    assert [row.right for row in labelled].count(False) == 2
    assert all(row.picture for row in view.rows)
    assert view.rows[0].score == pytest.approx(0.8)


def test_a_prediction_leads_all_the_way_back(mill: Mill) -> None:
    view = viewing.prediction_view(mill.layout, mill.predictions[0].id)
    kinds = [node.kind for node in view.lineage.nodes]
    assert kinds[:4] == ["prediction", "label", "model", "bundle"]
    assert [node.verified for node in view.lineage.nodes[:4]] == [True] * 4
    assert view.scores[0][0] == "7"
    assert view.scores[0][1] == pytest.approx(0.8)


def test_unknown_names_say_so(mill: Mill) -> None:
    with pytest.raises(NotFoundError, match="'digit'"):
        viewing.loop_view(mill.layout, "digit")
    with pytest.raises(NotFoundError):
        viewing.drift_view(mill.layout, report="01ARZ3NDEKTSV4RRFFQ69G5FAV")
    with pytest.raises(NotFoundError):
        viewing.prediction_view(mill.layout, "01ARZ3NDEKTSV4RRFFQ69G5FAV")


@pytest.fixture
def altered(mill: Mill, tmp_path: Path) -> Layout:
    shutil.copytree(mill.layout.root, tmp_path / "copy")
    return Layout(tmp_path / "copy")


def test_an_altered_ledger_shows(altered: Layout) -> None:
    assert viewing.ledger_view(altered).broken is None
    with closing(sqlite3.connect(altered.database)) as connection, connection:
        table = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'tidemill%events%'").fetchone()[0]
        connection.execute(f"UPDATE {table} SET who = 'somebody' WHERE sequence = 3")  # noqa: S608 - our own name
    assert viewing.ledger_view(altered).broken == 3


def test_altered_reports_and_bundles_are_not_shown_as_sound(altered: Layout, mill: Mill) -> None:
    path = altered.reports / mill.reports[0].id / "report.json"
    path.write_text(path.read_text().replace("0.85", "0.95"))
    view = viewing.loop_view(altered)
    assert len(view.alarms) == 1
    assert view.newest is not None
    directory = altered.bundles / view.newest.bundle.removeprefix("sha256:")
    record = (directory / "bundle.json").read_text()
    (directory / "bundle.json").write_text(record.replace('"accuracy": 1.0', '"accuracy": 0.5'))
    assert viewing.models_view(altered).versions[0].present is True, "what was read once is kept while the page runs"
    shutil.move(altered.root, altered.root.with_name("elsewhere"))
    moved = Layout(altered.root.with_name("elsewhere"))
    assert viewing.models_view(moved).versions[0].present is False


def test_every_view_is_plain_data(mill: Mill) -> None:
    plain = to_plain(viewing.loop_view(mill.layout))
    assert plain["frame"]["model"] == "digits"
    assert plain["evidence"]["evidence"]["rows"] == 360


def test_a_rollback_without_a_reason_says_none(tmp_path: Path) -> None:
    layout = making.marked(tmp_path)
    for reason in (None, "too many wrong sevens"):
        making.append(layout, "rolled_back", {"from": 2, "to": 1, "reason": reason})
    texts = [each.text for each in map(describe, ledger(layout).events())]
    assert texts == ["from digits/2 to digits/1", "from digits/2 to digits/1: too many wrong sevens"]
