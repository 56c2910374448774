"""The ledger: one order, nothing lost, and no line can be changed unseen."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from tidemill.backends.ledgers import _migrations
from tidemill.backends.ledgers.sql import SqlLedger
from tidemill.domain.record import now
from tidemill.domain.registry import GENESIS, Event, event_digest, fold
from tidemill.errors import GateError, InputError, StorageError

WRITERS, LINES = 16, 100


def anything(_: Sequence[Event]) -> None:
    """A check that refuses nothing."""


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def ledger(uri: str) -> SqlLedger:
    return SqlLedger(uri)


def test_lines_are_read_as_they_were_written(ledger: SqlLedger) -> None:
    payload = {"version": 1, "text": "größe", "nested": {"a": [1, 2.5, None, True]}}
    first = ledger.append("decided", "digits", payload, check=anything)
    second = ledger.append("decided", "iris", {}, check=anything)
    assert (first.sequence, first.previous, second.sequence, second.previous) == (1, GENESIS, 2, first.digest)
    assert ledger.events() == [first, second]
    assert ledger.events("iris") == [second]
    assert ledger.events("none") == []
    assert first.payload == payload
    assert ledger.verify() == 2


def test_a_check_sees_the_models_lines_and_can_refuse(ledger: SqlLedger) -> None:
    line = ledger.append("decided", "digits", {"n": 1}, check=anything)
    ledger.append("decided", "iris", {}, check=anything)
    seen: list[Event] = []

    def refuse(events: Sequence[Event]) -> None:
        seen.extend(events)
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        ledger.append("decided", "digits", {"n": 2}, check=refuse)
    assert seen == [line]
    assert len(ledger.events()) == 2
    assert ledger.append("decided", "digits", {"n": 2}, check=anything).sequence == 3


def _writer(uri: str, number: int) -> list[str]:
    program = (
        "from tidemill.backends.ledgers.sql import SqlLedger\n"
        f"ledger = SqlLedger({uri!r})\n"
        f"for line in range({LINES}):\n"
        f"    ledger.append('decided', 'm', {{'writer': {number}, 'line': line}}, check=lambda events: None)\n"
    )
    return [sys.executable, "-c", program]


def test_sixteen_writers_lose_nothing(uri: str) -> None:
    """Also the first of them all make the tables at once."""
    writers = [subprocess.Popen(_writer(uri, number)) for number in range(WRITERS)]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * WRITERS
    ledger = SqlLedger(uri)
    assert ledger.verify() == WRITERS * LINES
    for number in range(WRITERS):
        mine = [event.payload["line"] for event in ledger.events("m") if event.payload["writer"] == number]
        assert mine == list(range(LINES))


def test_a_killed_writer_leaves_whole_lines(uri: str) -> None:
    SqlLedger(uri)
    for number in range(3):
        writer = subprocess.Popen(_writer(uri, number))
        while not any(event.payload["writer"] == number for event in SqlLedger(uri).events()):
            assert writer.poll() is None
        writer.kill()
        writer.wait()
        before = SqlLedger(uri).verify()
        SqlLedger(uri).append("decided", "m", {"writer": -1}, check=anything)
        assert SqlLedger(uri).verify() == before + 1


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("UPDATE tidemill_events SET payload = '{\"n\": 9}' WHERE sequence = 2", 2),
        ("UPDATE tidemill_events SET who = 'nobody' WHERE sequence = 3", 3),
        ("UPDATE tidemill_events SET at = '2020-01-01T00:00:00+00:00' WHERE sequence = 1", 1),
        ("UPDATE tidemill_events SET model = 'other' WHERE sequence = 4", 4),
        ("DELETE FROM tidemill_events WHERE sequence = 2", 2),
        ("DELETE FROM tidemill_events WHERE sequence = 1", 1),
    ],
)
def test_a_changed_line_shows(ledger: SqlLedger, tmp_path: Path, statement: str, line: int) -> None:
    for number in range(4):
        ledger.append("decided", "m", {"n": number}, check=anything)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        database.execute(statement)
        database.commit()
    with pytest.raises(GateError, match=f"altered at line {line} "):
        ledger.verify()


def test_a_line_that_was_changed_with_its_own_hash_shows_in_the_next(ledger: SqlLedger, tmp_path: Path) -> None:
    for number in range(3):
        ledger.append("decided", "m", {"n": number}, check=anything)
    old = ledger.events()[1]
    forged = event_digest(old.sequence, old.at, old.who, old.kind, old.model, {"n": 9}, old.previous)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        database.execute("UPDATE tidemill_events SET payload = '{\"n\": 9}', digest = ? WHERE sequence = 2", (forged,))
        database.commit()
    with pytest.raises(GateError, match="line 3"):
        ledger.verify()


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (("DELETE FROM tidemill_events WHERE sequence = 4",), "ends at line 3, and had 4"),
        (("DELETE FROM tidemill_events",), "ends at line 0, and had 4"),
        (("DELETE FROM tidemill_head",), "what its last line was is gone"),
        (("UPDATE tidemill_events SET payload = 'x' WHERE sequence = 2",), "line 2, which cannot be read"),
        (("UPDATE tidemill_events SET digest = 'x' WHERE sequence = 3",), "line 3"),
    ],
)
def test_an_end_that_was_cut_off_and_a_line_that_cannot_be_read_show(
    ledger: SqlLedger, tmp_path: Path, statements: tuple[str, ...], said: str
) -> None:
    for number in range(4):
        ledger.append("decided", "m", {"n": number}, check=anything)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()
    with pytest.raises(GateError, match=said):
        ledger.verify()


def test_a_ledger_from_before_its_end_was_kept_is_taken_as_it_is(uri: str) -> None:
    SqlLedger(uri).append("decided", "m", {}, check=anything)
    with sa.create_engine(uri).begin() as connection:
        for table in ("tidemill_head", "tidemill_aliases"):
            connection.execute(sa.text(f"DROP TABLE {table}"))
        connection.execute(sa.text("DELETE FROM tidemill_migrations WHERE name IN ('m003_head', 'm004_aliases')"))
    assert SqlLedger(uri).verify() == 1
    SqlLedger(uri).append("decided", "m", {}, check=anything)
    assert SqlLedger(uri).verify() == 2


def test_time_never_runs_backwards(ledger: SqlLedger, tmp_path: Path) -> None:
    """A clock that was a day ahead, and was set right."""
    ledger.append("decided", "m", {}, check=anything)
    ahead = (now() + timedelta(days=1)).isoformat()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        database.execute("UPDATE tidemill_events SET at = ?", (ahead,))
        database.commit()
    assert ledger.append("decided", "m", {}, check=anything).at.isoformat() == ahead


def test_each_migration_runs_once_and_a_new_one_is_taken(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    SqlLedger(uri).append("decided", "m", {}, check=anything)

    def m005_marks(connection: sa.Connection) -> None:
        connection.execute(sa.text("CREATE TABLE tidemill_marks (mark INTEGER)"))

    steps: tuple[Callable[[sa.Connection], None], ...] = (*_migrations.STEPS, m005_marks)
    monkeypatch.setattr(_migrations, "STEPS", steps)
    for _ in range(2):
        assert len(SqlLedger(uri).events()) == 1
    with sa.create_engine(uri).connect() as connection:
        names = connection.execute(sa.text("SELECT name FROM tidemill_migrations ORDER BY name")).scalars().all()
    assert names == ["m001_events", "m002_events_by_model", "m003_head", "m004_aliases", "m005_marks"]


def test_a_file_that_is_no_database_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"this is no database, whatever it is called" * 100)
    with pytest.raises(StorageError, match="database"):
        SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}")
    with pytest.raises(StorageError, match="database"):
        SqlLedger(f"sqlite:///{tmp_path / 'none' / 'ledger.db'}")


def test_folding_follows_the_stack(ledger: SqlLedger) -> None:
    digest = "sha256:" + "a" * 64
    for number in (1, 2, 3):
        ledger.append("registered", "m", {"version": number, "bundle": digest, "run": "r"}, check=anything)
    for number in (1, 3):
        ledger.append("promoted", "m", {"version": number}, check=anything)
    ledger.append("rolled_back", "m", {"from": 3, "to": 1}, check=anything)
    events = ledger.events("m")
    assert fold(events).champion == 1
    assert fold(events, until=events[4].at).champion == 3
    assert fold(events[:3]).champion is None and fold(events[:3]).challenger == 3
