"""Batches of every form: their rows one by one, some of them, and as columns are the same."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.domain.prediction import new_prediction_ids
from tidemill.journal.batches import batch_payload, read_batch
from tidemill.journal.columns import batch_table, to_table
from tidemill.journal.read import Journal
from tidemill.ports import Answered, Asked

from .conftest import DIGEST

_ROWS = orjson.dumps({"inputs": [{"b": 1.5, "a": "x"}, {"b": 1e-7, "a": None}]})
_TEXTS = orjson.dumps({"inputs": ["a sentence", "größer"]})
_PLAIN = orjson.dumps([{"ids": [1, 2]}, {"ids": [3]}])
_PIXELS = bytes(range(2 * 4 * 4))
FORMS: dict[str, list[Asked]] = {
    "file": [Asked("file", 1, b"\x89PNG", 0.5), Asked("file", 1, b"", 1.5)],
    "rows": [Asked("rows", 2, _ROWS, 0.5), Asked("rows", 2, _ROWS, 2.5)],
    "texts": [Asked("texts", 2, _TEXTS, 0.5)],
    "pixels": [Asked("pixels", 2, _PIXELS, 0.5, (4, 4, 1))],
    "plain": [Asked("plain", 2, _PLAIN, 0.5)],
    "mixed": [Asked("rows", 2, _ROWS, 0.5), Asked("file", 1, b"x" * (1 << 20), 1.0), Asked("file", 1, b"y" * 9, 3.0)],
}


def _answered(asked: list[Asked], classes: int = 3) -> Answered:
    rows = sum(each.rows for each in asked)
    chance = np.random.default_rng(rows)
    scores, embedding = (chance.random((rows, width), np.float32) for width in (classes, 5))
    outputs = [str(number) for number in range(rows)]
    at = time.time_ns() // 1000
    return Answered("m", 3, DIGEST, at, new_prediction_ids(rows), outputs, scores, embedding, asked)


@pytest.mark.parametrize("form", FORMS)
def test_columns_hold_what_the_rows_hold(form: str) -> None:
    payloads = [batch_payload(_answered(FORMS[form], classes)) for classes in (3, 2)]
    rows: list[dict[str, Any]] = [row for payload in payloads for row in read_batch(payload)]

    assert batch_table(payloads).equals(to_table("predictions", rows))
    assert len(rows) == 2 * sum(each.rows for each in FORMS[form])


@pytest.mark.parametrize("form", FORMS)
def test_some_rows_of_a_batch_are_those_of_the_whole(form: str) -> None:
    payload = batch_payload(_answered(FORMS[form]))
    rows = list(read_batch(payload))

    for wanted in ({0}, {1}, set(range(1, len(rows))), set()):
        assert list(read_batch(payload, wanted)) == [row for at, row in enumerate(rows) if at in wanted]


def test_inputs_of_tensors_are_no_requests() -> None:
    assert [row["input"] for row in read_batch(batch_payload(_answered(FORMS["plain"])))] == [None, None]
    assert all(row["input"] for row in read_batch(batch_payload(_answered(FORMS["rows"]))))


def test_rows_are_found_in_a_running_spool_and_in_a_sealed_one(root: Path) -> None:
    sink = ParquetSink(root)
    batches = [_answered(asked) for asked in FORMS.values()]
    sink.answered(batches)
    ids = [each.ids[-1] for each in batches] + batches[0].ids
    before = Journal(root).find_all(ids)
    sink.close()

    assert set(before) == set(ids)
    assert Journal(root).find_all(ids) == before


def test_a_spool_that_cannot_be_sealed_holds_up_no_other(root: Path) -> None:
    sink = ParquetSink(root)
    writer = sink._writer
    for number in range(3):
        sink.answered([_answered(FORMS["file"])])
        if number < 2:
            with writer._lock:
                writer._change()
    first, second = writer._finished
    first.path.write_bytes(b"no spool at all")
    sink.close()

    assert first.path.exists()
    assert not second.path.exists()
    assert len(list((root / "predictions").glob("*.parquet"))) == 2
