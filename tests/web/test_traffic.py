"""Traffic by time, from a log that is being written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.domain.digest import Digest
from tidemill.domain.prediction import Feedback, Prediction, new_prediction_id
from tidemill.domain.record import now
from tidemill.project.viewing.traffic import Traffic

DIGEST = Digest.of_bytes(b"bundle")


def answered(at: datetime, *, model: str = "digits", latency: float = 2.0) -> Prediction:
    return Prediction(new_prediction_id(), at, model, 1, DIGEST, DIGEST, b"asked", (0.25, 0.75), "1", (0.5,), latency)


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[ParquetSink]:
    made = ParquetSink(tmp_path)
    yield made
    made.close()


def test_an_empty_log_is_no_traffic(tmp_path: Path) -> None:
    seen = Traffic(tmp_path / "none").traffic("digits", now())
    assert (seen.total, seen.hour, seen.rate, seen.p50, seen.last) == (0, 0, 0.0, None, None)
    assert Traffic(tmp_path / "none").latest("digits") is None


def test_answers_are_counted_by_age_while_the_writer_lives(sink: ParquetSink, tmp_path: Path) -> None:
    at = now()
    ages = (1, 2, 90, 4000)
    sink.append([answered(at - timedelta(seconds=age), latency=float(age)) for age in ages])
    sink.append([answered(at, model="letters")])
    seen = Traffic(tmp_path).traffic("digits", at)
    assert (seen.total, seen.hour, seen.rate) == (4, 3, 0.2)
    assert sum(bucket.answers for bucket in seen.buckets) == 3
    assert seen.span == 120
    assert seen.buckets[-1].answers + seen.buckets[-2].answers == 2
    assert seen.p50 == pytest.approx(2.0)
    assert seen.last == at - timedelta(seconds=1)


def test_a_spool_that_is_sealed_meanwhile_counts_once(tmp_path: Path) -> None:
    sink, traffic, at = ParquetSink(tmp_path), Traffic(tmp_path), now()
    first = answered(at)
    sink.append([first])
    sink.feedback([Feedback(first.id, "1", at + timedelta(seconds=5), "digits")])
    assert traffic.traffic("digits", at).total == 1
    sink.append([answered(at)])
    assert traffic.traffic("digits", at).total == 2
    sink.close()
    assert not list((tmp_path / "spool").glob("*.spool"))
    seen = traffic.traffic("digits", at)
    assert (seen.total, seen.hour) == (2, 2)
    assert traffic.labels("digits", at).labelled == 1
    assert Traffic(tmp_path).traffic("digits", at) == seen


def test_a_spool_beside_its_segment_counts_once(tmp_path: Path) -> None:
    sink, at = ParquetSink(tmp_path), now()
    sink.append([answered(at), answered(at)])
    (spool,) = (tmp_path / "spool").glob("*.spool")
    content = spool.read_bytes()
    sink.close()
    spool.write_bytes(content)  # as if the writer had been killed between sealing it and removing it
    assert Traffic(tmp_path).traffic("digits", at).total == 2


def test_the_newest_answers_come_first_and_whole(sink: ParquetSink, tmp_path: Path) -> None:
    at = now()
    made = [answered(at - timedelta(seconds=60 - i)) for i in range(5)]
    sink.append(made)
    traffic = Traffic(tmp_path)
    assert [each.id for each in traffic.newest("digits", 3)] == [each.id for each in reversed(made)][:3]
    assert traffic.newest("digits", 1)[0].input == b"asked"
    assert traffic.latest("digits") == made[-1].id


def test_a_label_that_is_corrected_counts_once(sink: ParquetSink, tmp_path: Path) -> None:
    at = now()
    one, two = answered(at), answered(at)
    sink.append([one, two])
    for seconds, label in ((10, "0"), (20, "1")):
        sink.feedback([Feedback(one.id, label, at + timedelta(seconds=seconds), "digits")])
    sink.feedback([Feedback("no id", "1", at, "digits")])
    labels = Traffic(tmp_path).labels("digits", at + timedelta(seconds=30))
    assert labels.labelled == 1
    assert labels.delay == pytest.approx(20, abs=1)
    assert sum(labels.buckets) == 1
