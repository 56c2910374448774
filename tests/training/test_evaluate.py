"""Figures of an evaluation, against values worked out by hand or by scikit-learn."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss, matthews_corrcoef, r2_score

from tidemill.dataset.read import Examples
from tidemill.domain.bundle import Signature
from tidemill.errors import DataError
from tidemill.ports import Scored
from tidemill.stages.evaluate import evaluate, score_inputs, write_evaluation

LABELS = ("a", "b", "c", "d")
CLASSES = Signature("tabular", "classification", (), (), LABELS)
VALUES = Signature("tabular", "regression", (), (), ())


def scored(scores: np.ndarray) -> Scored:
    return Scored(scores.astype(np.float32), np.zeros((len(scores), 2), np.float32))


def labelled(labels: list[str]) -> Examples:
    return Examples(tuple(map(str, range(len(labels)))), [""] * len(labels), tuple(labels), None)


def test_figures_agree_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    scores = random.dirichlet(np.ones(4), 200)
    truth = random.integers(0, 3, 200)  # no row of class d
    evaluation = evaluate(CLASSES, scored(scores), labelled([LABELS[each] for each in truth]))
    answer = scores.argmax(axis=1)
    assert evaluation.metrics["accuracy"] == pytest.approx((answer == truth).mean())
    assert evaluation.metrics["macro_f1"] == pytest.approx(f1_score(truth, answer, labels=[0, 1, 2], average="macro"))
    assert evaluation.metrics["mcc"] == pytest.approx(matthews_corrcoef(truth, answer))
    assert evaluation.metrics["log_loss"] == pytest.approx(log_loss(truth, scores, labels=range(4)), rel=1e-5)
    assert evaluation.per_class["d"]["support"] == 0
    assert sum(map(sum, evaluation.confusion)) == evaluation.rows == 200


def test_the_worst_classes_come_first() -> None:
    truth = ["a"] * 4 + ["b"] * 4 + ["c"] * 4
    answers = [0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 2]
    evaluation = evaluate(CLASSES, scored(np.eye(4)[answers]), labelled(truth))
    assert evaluation.worst() == [("c", 0.25), ("b", 0.5)]
    assert evaluation.confusion[1] == (2, 2, 0, 0)


def test_values_have_errors_and_r2() -> None:
    truth = np.array([1.0, 2.0, 4.0])
    examples = Examples(("1", "2", "3"), ["", "", ""], (), truth)
    evaluation = evaluate(VALUES, scored(np.array([[1.0], [3.0], [4.0]])), examples)
    assert evaluation.metrics["rmse"] == pytest.approx((1 / 3) ** 0.5)
    assert evaluation.metrics["mae"] == pytest.approx(1 / 3)
    assert evaluation.metrics["r2"] == pytest.approx(r2_score(truth, [1.0, 3.0, 4.0]))


def test_a_class_that_the_model_does_not_know_is_named() -> None:
    with pytest.raises(DataError, match="'z'"):
        evaluate(CLASSES, scored(np.eye(4)[:1]), labelled(["z"]))


def test_inputs_are_scored_in_parts_and_in_order() -> None:
    sizes = []

    def answer(part: object) -> Scored:
        sizes.append(len(part))  # type: ignore[arg-type]  # a list of sentences
        return scored(np.array([[float(each)] for each in part]))  # type: ignore[attr-defined]  # a list of sentences

    found = score_inputs(answer, [str(each) for each in range(10_000)])
    assert max(sizes) < 10_000
    np.testing.assert_array_equal(found.scores[:, 0], np.arange(10_000))
    with pytest.raises(DataError):
        score_inputs(answer, [])


def test_tables_and_picture_are_written(tmp_path: Path) -> None:
    evaluation = evaluate(CLASSES, scored(np.eye(4)), labelled(list(LABELS)))
    write_evaluation(evaluation, tmp_path)
    assert json.loads((tmp_path / "evaluation.json").read_text())["metrics"]["accuracy"] == 1.0
    rows = list(csv.reader((tmp_path / "per_class.csv").read_text().splitlines()))
    assert rows[1] == ["a", "1.0", "1.0", "1.0", "1.0"]
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")
