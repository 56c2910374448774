"""Artefacts of the rows' tracker share their bytes with what was kept, and no keeping changes another's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.backends.trackers._owner import account, author
from tidemill.backends.trackers._rows import RowTracker
from tidemill.files import link_or_copy
from tidemill.project.database import ensure_database
from tidemill.project.layout import Layout


def test_keeping_again_under_one_name_leaves_what_was_kept_first(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "project")
    ensure_database(layout)
    tracker = RowTracker(layout.database, experiment="rows", artifacts=layout.artifacts)
    run = tracker.start("one", {}, {})
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "note.txt").write_text(f"note {number}")
        tracker.keep(run, folder / "note.txt", "notes")
    (kept,) = layout.artifacts.rglob("note.txt")
    assert kept.read_text() == "note 2"
    assert (tmp_path / "1" / "note.txt").read_text() == "note 1", "its bytes were shared"


def test_a_second_name_of_the_file_itself_stays(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    for _ in range(2):
        link_or_copy(tmp_path / "a", tmp_path / "b")
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"a": "a", "b": "a"}


def test_an_account_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54321)
    assert account() == "54321"
    author.cache_clear()
    assert author()[0] == "54321"
    author.cache_clear()
