"""A bundle that the first release wrote opens, passes its golden requests and answers, and always must."""

from __future__ import annotations

import pytest

from tests.bundle.conftest import EXAMPLE
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.golden import read_golden, replay
from tidemill.bundle.predictor import Predictor
from tidemill.bundle.read import OpenBundle, open_bundle, read_record
from tidemill.bundle.reference import read_reference
from tidemill.domain.digest import Digest

DIGEST = Digest("sha256:fbcdfca8fa7fe6e95762ed8ca29da33dfcc3aee49df2529e84a131a117332fb9")
SETOSA = {"sepal length": 5.0, "petal length": 1.4, "petal width mm": 2, "colour": "blue"}


@pytest.fixture
def opened() -> OpenBundle:
    return open_bundle(EXAMPLE, expected=DIGEST)


@pytest.fixture
def predictor(opened: OpenBundle) -> Predictor:
    return Predictor(opened, OnnxRuntime().load(opened.directory, opened.bundle, threads=1))


def test_it_opens_and_its_record_is_what_was_written(opened: OpenBundle) -> None:
    bundle = opened.bundle
    assert (bundle.protocol, bundle.name, bundle.task) == (1, "iris", "tabular")
    assert bundle.signature.labels == ("setosa", "versicolor", "virginica")
    assert bundle.lineage.dataset == "iris-v1.0.0"
    assert bundle.parity.held
    assert read_record(EXAMPLE) == (bundle, DIGEST)


def test_golden_requests_replay(opened: OpenBundle, predictor: Predictor) -> None:
    replay(opened, predictor.session)
    rows = read_golden(opened)
    assert len(rows) == opened.bundle.golden.rows == 6
    assert {row.output for row in rows} == set(opened.bundle.signature.labels)


def test_it_answers(predictor: Predictor) -> None:
    (answer,) = predictor.predict([SETOSA])
    assert answer.output == "setosa"
    assert list(answer.scores) == ["setosa", "versicolor", "virginica"]
    assert sum(answer.scores.values()) == pytest.approx(1, abs=1e-5)


def test_a_null_and_a_batch_give_the_answers_that_each_gives_alone(predictor: Predictor) -> None:
    rows = [SETOSA, SETOSA | {"petal length": None}, SETOSA | {"colour": "white", "petal length": 5.9}]
    together = predictor.score(rows)
    assert together.scores.shape == (3, 3) and together.embedding.shape == (3, 6)
    for index, row in enumerate(rows):
        assert predictor.score([row]).scores[0] == pytest.approx(together.scores[index], abs=1e-6)


def test_the_reference_sample_has_inputs_answers_labels_and_embeddings(opened: OpenBundle) -> None:
    table = read_reference(opened)
    assert table.num_rows == 30
    assert table.column_names == ["input", "scores", "output", "label", "embedding"]
    agree = [a == b for a, b in zip(table["output"].to_pylist(), table["label"].to_pylist(), strict=True)]
    assert sum(agree) / 30 == pytest.approx(opened.bundle.metrics["accuracy"])
