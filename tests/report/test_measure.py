"""What a report holds: splits, calibration, residuals and mistakes, against values worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tidemill.dataset.read import PackedDataset
from tidemill.domain.bundle import Signature
from tidemill.domain.record import from_plain, to_plain
from tidemill.errors import GateError
from tidemill.stages.evaluation.measure import measure
from tidemill.stages.evaluation.mistakes import SHOWN
from tidemill.stages.evaluation.records import EvaluationReport

from .conftest import NOBODY, answers, classifier

Table = Callable[..., PackedDataset]
VALUES = Signature("tabular", "regression", (), (), ())


def surely(share: float) -> Callable[[Sequence[Any]], NDArray[Any]]:
    """Says 'yes' with `share` where x is positive, else 'no' with the same."""

    def scores(rows: Sequence[Any]) -> NDArray[Any]:
        positive = np.array([row["x"] > 0 for row in rows])
        yes = np.where(positive, share, 1 - share)
        return np.column_stack([1 - yes, yes])

    return scores


def classes(table: Table, rows: int = 600) -> PackedDataset:
    """y is 'yes' where x is positive, but for every fourth row."""
    x = np.where(np.arange(rows) % 2 == 0, 1.0, -1.0) * (1 + np.arange(rows))
    right = np.arange(rows) % 8 >= 2
    return table(x=x, y=np.where((x > 0) == right, "yes", "no"))


def test_all_splits_are_judged_and_the_test_split_whole(table: Table) -> None:
    data = classes(table)
    report, scored, examples = measure(
        classifier("tabular", ("no", "yes")), answers(surely(0.9)), data, rows=50, about=NOBODY
    )
    assert [split.name for split in report.splits] == ["train", "val", "test"]
    assert [split.evaluation.rows for split in report.splits] == [50, 50, data.split("test").rows]
    assert [split.rows for split in report.splits] == [data.split(name).rows for name in ("train", "val", "test")]
    assert len(scored.scores) == len(examples.names) == report.test.rows
    interval = report.test.intervals["accuracy"]
    assert interval.method == "wilson" and interval.low < report.test.metrics["accuracy"] < interval.high
    assert report.splits[0].evaluation.metrics["accuracy"] == pytest.approx(0.75, abs=0.2)
    assert from_plain(EvaluationReport, to_plain(report)) == report


def test_no_other_split_is_scored_where_that_is_not_asked_for(table: Table) -> None:
    report, _, _ = measure(
        classifier("tabular", ("no", "yes")), answers(surely(0.9)), classes(table), rows=0, about=NOBODY
    )
    assert [split.name for split in report.splits] == ["test"]


def test_calibration_compares_confidence_with_what_was_right(table: Table) -> None:
    report, _, _ = measure(
        classifier("tabular", ("no", "yes")), answers(surely(0.9)), classes(table), rows=0, about=NOBODY
    )
    assert report.calibration is not None
    filled = [each for each in report.calibration.bins if each.rows]
    assert [(each.rows, each.right) for each in filled] == [(report.test.rows, report.test.rows - report.wrong)]
    assert report.calibration.ece == pytest.approx(0.9 - report.test.metrics["accuracy"], abs=1e-6)


def test_the_surest_mistakes_come_first(table: Table) -> None:
    def scores(rows: Sequence[Any]) -> NDArray[Any]:
        sure = np.array([0.5 + 0.49 * abs(row["x"]) / 601 for row in rows])
        yes = np.array([row["x"] > 0 for row in rows])
        return np.column_stack([np.where(yes, 1 - sure, sure), np.where(yes, sure, 1 - sure)])

    report, _, examples = measure(
        classifier("tabular", ("no", "yes")), answers(scores), classes(table), rows=0, about=NOBODY
    )
    rows: Sequence[Any] = examples.inputs
    pairs = zip(rows, examples.labels, strict=True)
    wrong = sorted((abs(row["x"]) for row, label in pairs if (row["x"] > 0) != (label == "yes")), reverse=True)
    assert report.wrong == len(wrong)
    assert [abs(float(each.cells["x"])) for each in report.mistakes] == wrong[:SHOWN]
    assert all(each.answer != each.label and each.score > each.truth_score for each in report.mistakes)


def too_much(rows: Sequence[Any]) -> NDArray[Any]:
    """x, and from 100 on 3 more."""
    return np.array([[row["x"] + 3.0 * (row["x"] > 100)] for row in rows])


def test_errors_of_values_by_decile(table: Table) -> None:
    y = np.arange(500.0)
    data = table(x=y, y=y)
    report, _, examples = measure(VALUES, answers(too_much), data, rows=100, about=NOBODY)
    assert report.residuals is not None and examples.values is not None
    deciles = report.residuals.deciles
    assert len(deciles) == 10 and sum(each.rows for each in deciles) == report.test.rows
    assert deciles[0].low == examples.values.min() and deciles[-1].high == examples.values.max()
    assert (deciles[0].bias, deciles[-1].bias, deciles[-1].mae, deciles[-1].rmse) == pytest.approx((0, 3, 3, 3))
    assert sum(report.residuals.counts) == report.test.rows
    assert report.test.intervals["mae"].low <= report.test.metrics["mae"] <= report.test.intervals["mae"].high


def test_a_split_with_a_class_that_the_model_does_not_know_is_left_out(pictures: Callable[..., PackedDataset]) -> None:
    data = pictures(("a", "b"), 8, only_train=("new",))
    report, _, _ = measure(
        classifier("image", ("a", "b")), answers(lambda inputs: np.full((len(inputs), 2), 0.5)), data, rows=10,
        about=NOBODY,
    )  # fmt: skip
    assert [split.name for split in report.splits] == ["val", "test"]


def test_answers_that_are_no_numbers_are_an_error(table: Table) -> None:
    x = np.arange(200.0)
    answer = answers(lambda rows: np.array([[np.nan if row["x"] % 2 else 1.0] for row in rows]))
    with pytest.raises(GateError, match="no number for"):
        measure(VALUES, answer, table(x=x, y=x), rows=10, about=NOBODY)
