"""Single rows out of many files, with what was kept of them between calls."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.domain.prediction import Feedback, Prediction, new_prediction_id
from tidemill.domain.record import now
from tidemill.errors import NotFoundError, StorageError
from tidemill.journal.lookup import FEW, Lookup
from tidemill.journal.read import Journal
from tidemill.ports import Answered, Asked

from .conftest import Make


def sealed(root: Path, predictions: list[Prediction], labels: dict[str, str] | None = None) -> None:
    sink = ParquetSink(root)
    sink.append(predictions)
    for id, label in (labels or {}).items():
        sink.feedback([Feedback(id, label, now(), "digits")])
    sink.close()


def settle(root: Path) -> None:
    """As a folder looks in which nothing happened lately."""
    past = time.time() - 3600
    for folder in root.iterdir():
        os.utime(folder, (past, past))


def test_it_finds_what_a_journal_finds(root: Path, make: Make) -> None:
    logged = [make(output=str(number)) for number in range(5000)]  # three row groups
    sealed(root, logged, {logged[7].id: "1", logged[4500].id: "2"})
    sealed(root, [make()], {logged[7].id: "3"})
    settle(root)
    lookup, journal = Lookup(root), Journal(root)
    for number in (0, 7, 2047, 2048, 4999):
        assert lookup.find(logged[number].id) == logged[number]
    ids = [logged[number].id for number in (7, 4500, 11)]
    assert lookup.find_all([*ids, new_prediction_id()]) == journal.find_all(ids)
    assert {id: each.label for id, each in lookup.labels(ids).items()} == {ids[0]: "3", ids[1]: "2"}
    assert lookup.labels(ids) == journal.labels(ids)
    many = [each.id for each in logged[: FEW + 10]]
    assert set(lookup.find_all(many)) == set(many) and set(lookup.labels(many)) == {ids[0]}


def test_what_is_sealed_between_two_calls_is_seen(root: Path, make: Make) -> None:
    first = make()
    sealed(root, [first], {first.id: "1"})
    settle(root)
    lookup = Lookup(root)
    assert lookup.find(first.id) == first and lookup.labels([first.id])[first.id].label == "1"
    sink, second = ParquetSink(root), make()
    sink.append([second])
    sink.feedback([Feedback(first.id, "2", now() + timedelta(seconds=1), "digits")])
    assert lookup.find(second.id) == second and lookup.labels([first.id])[first.id].label == "2"
    sink.close()
    assert lookup.find(second.id) == second and lookup.labels([first.id])[first.id].label == "2"


def test_a_list_of_files_is_kept_only_where_the_folder_rests(root: Path, make: Make) -> None:
    first, second = make(), make()
    sealed(root, [first])
    lookup = Lookup(root)
    assert lookup.find(first.id) == first
    (path,) = (root / "predictions").glob("*.parquet")
    before = (root / "predictions").stat()
    sealed(root, [second])
    os.utime(root / "predictions", ns=(before.st_atime_ns, before.st_mtime_ns))  # both within one tick of the clock
    assert lookup.find(second.id) == second and lookup.find(first.id) == first
    assert path.exists()


def test_a_file_put_in_anothers_place_is_read_by_its_own_footer(root: Path, make: Make) -> None:
    logged = [make(output=str(number)) for number in range(3000)]
    sealed(root, logged)
    settle(root)
    lookup = Lookup(root)
    assert lookup.find(logged[2999].id) == logged[2999]
    (path,) = (root / "predictions").glob("*.parquet")
    table = pq.read_table(path)
    beside = path.with_suffix(".new")
    pq.write_table(table.set_column(8, "output", table["input_digest"]), beside, row_group_size=2048)
    beside.rename(path)
    assert lookup.find(logged[2999].id) == replace(logged[2999], output=logged[2999].input_digest)


def test_a_footer_that_does_not_say_how_far_it_reaches(root: Path, make: Make) -> None:
    logged = [make() for _ in range(30)]
    sealed(root, logged, {logged[3].id: "1"})
    for path in root.glob("*/*.parquet"):
        pq.write_table(pq.read_table(path), path, write_statistics=False)
    lookup = Lookup(root)
    assert lookup.find(logged[3].id) == logged[3] and set(lookup.labels([logged[3].id])) == {logged[3].id}


def answered(sink: ParquetSink, contents: list[bytes]) -> list[str]:
    """A batch of pictures as the server logs it."""
    ids = [new_prediction_id() for _ in contents]
    scores, embedding = np.ones((len(ids), 2), np.float32), np.ones((len(ids), 3), np.float32)
    asked = [Asked("file", 1, content, 0.5) for content in contents]
    at = int(time.time() * 1e6)
    sink.answered([Answered("digits", 1, "sha256:" + "0" * 64, at, ids, ["3"] * len(ids), scores, embedding, asked)])
    return ids


@pytest.fixture
def sink(root: Path) -> Iterator[ParquetSink]:
    sink = ParquetSink(root)
    yield sink
    sink.close()


def test_of_a_running_spool_it_reads_what_is_asked_for(root: Path, make: Make, sink: ParquetSink) -> None:
    ids = [id for _ in range(40) for id in answered(sink, [os.urandom(100_000) for _ in range(4)])]
    single = make()
    sink.append([single])
    sink.feedback([Feedback(ids[50], "7", now(), "digits")])
    lookup = Lookup(root)
    tracemalloc.start()
    found, labels = lookup.find(ids[50]), lookup.labels([ids[50]])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20  # of 16 MB: a batch, no more
    journal = Journal(root)
    assert found == journal.find(ids[50]) and labels == journal.labels([ids[50]]) and labels
    more = answered(sink, [b"a picture"] * 3)
    some = [ids[0], ids[-1], single.id, more[1]]
    assert lookup.find_all([*some, new_prediction_id()]) == journal.find_all(some)
    assert lookup.predictions().equals(journal.predictions())


@pytest.mark.parametrize(
    "tail", [b"\x02", bytes(64), b"\xff\xff\xff\x7f" + bytes(40), b"\x30\0\0\0abcd\x02\xff\xff\xff\xff"]
)
def test_what_is_no_frame_ends_a_spool(root: Path, sink: ParquetSink, tail: bytes) -> None:
    (first,) = answered(sink, [b"one"])
    with next(root.glob("spool/*.spool")).open("ab") as spool:
        spool.write(tail)
    lookup = Lookup(root)
    assert lookup.find(first).input == b"one"
    with pytest.raises(NotFoundError):
        lookup.find(new_prediction_id())


def test_an_altered_batch_says_so_and_the_others_are_found(root: Path, sink: ParquetSink) -> None:
    (first,), (second,) = answered(sink, [b"one picture"]), answered(sink, [b"another"])
    spool = next(root.glob("spool/*.spool"))
    spool.write_bytes(spool.read_bytes().replace(b"one picture", b"one picturE"))
    lookup = Lookup(root)
    assert lookup.find(second).input == b"another"
    with pytest.raises(StorageError, match="was altered"):
        lookup.find(first)
