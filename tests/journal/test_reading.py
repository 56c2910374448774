from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tidemill.backends.logs.parquet import ParquetLog
from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.domain.prediction import Feedback, new_prediction_id
from tidemill.domain.record import now
from tidemill.errors import NotFoundError
from tidemill.journal.read import Journal

from .conftest import Make


@pytest.mark.parametrize("sealed", [False, True])
def test_a_prediction_is_found_by_its_id(root: Path, make: Make, sealed: bool) -> None:
    sink = ParquetSink(root)
    logged = [make() for _ in range(50)]
    sink.append(logged)
    if sealed:
        sink.close()

    log = ParquetLog(root)

    assert log.find(logged[17].id) == logged[17]
    assert log.find(logged[0].id) == logged[0]
    if not sealed:
        sink.close()


def test_one_journal_follows_a_spool_into_its_segment(root: Path, make: Make) -> None:
    sink, journal = ParquetSink(root), Journal(root)
    first, second = make(), make()
    sink.append([first])
    assert journal.find(first.id) == first
    sink.append([second])
    assert journal.find(second.id) == second

    sink.close()

    assert journal.find(first.id) == first
    assert set(journal.find_all([first.id, second.id, new_prediction_id()])) == {first.id, second.id}


@pytest.mark.parametrize("asked", ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "nonsense", "../../etc", ""])
def test_an_unknown_id_is_said_to_be_unknown(root: Path, make: Make, asked: str) -> None:
    sink = ParquetSink(root)
    sink.append([make()])
    sink.close()

    with pytest.raises(NotFoundError):
        ParquetLog(root).find(asked)


def test_an_empty_log_has_an_empty_window(root: Path) -> None:
    window = ParquetLog(root).window("digits", version=None, since=None, until=None)

    assert window.num_rows == 0
    assert window.column_names[0] == "id"
    assert window.column_names[-1] == "label"


@pytest.mark.parametrize("sealed", [False, True])
def test_a_window_joins_the_latest_label(root: Path, make: Make, sealed: bool) -> None:
    sink = ParquetSink(root)
    logged = [make(), make(), make(version=2), make(model="wine")]
    sink.append(logged)
    sink.feedback([Feedback(logged[0].id, "4", now(), "digits")])
    sink.feedback([Feedback(logged[0].id, "5", now() + timedelta(seconds=1), "digits")])
    if sealed:
        sink.close()
    log = ParquetLog(root)

    window = log.window("digits", version=1, since=None, until=None)

    assert window["id"].to_pylist() == [logged[0].id, logged[1].id]
    assert window["label"].to_pylist() == ["5", None]
    assert window["embedding"].to_pylist()[0] == [1.5, -2.0, 3.25]
    assert window["input"].to_pylist()[0] == b"\x00\xffpixels"
    assert log.window("digits", version=None, since=None, until=None).num_rows == 3
    assert {key: each.label for key, each in log.labels([logged[0].id, logged[1].id]).items()} == {logged[0].id: "5"}
    if not sealed:
        sink.close()


def test_a_window_has_its_two_ends(root: Path, make: Make) -> None:
    early = ParquetSink(root)
    logged = [make(), make()]
    early.append(logged)
    early.close()
    late = ParquetSink(root)
    logged += [make(), make()]
    late.append(logged[2:])
    log = ParquetLog(root)

    window = log.window("digits", version=None, since=logged[1].at, until=logged[2].at)

    assert window["id"].to_pylist() == [logged[1].id, logged[2].id]
    late.close()


def test_labels_of_no_prediction_are_no_labels(root: Path, make: Make) -> None:
    sink, asked = ParquetSink(root), make()
    sink.append([asked])
    sink.feedback([Feedback(asked.id, "3", now(), "digits")])
    sink.close()

    assert Journal(root).labels([]) == {}
    assert Journal(root).find_all([]) == {}
