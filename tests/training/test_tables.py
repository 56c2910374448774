"""Tabular models: what they learn, gaps, categories, withheld classes, saving without pickle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator

from tidemill.backends.families.tables.pipeline import PipelineModel
from tidemill.backends.families.tables.trees import TreesModel
from tidemill.backends.families.tabular import TabularFamily
from tidemill.bundle.preprocess import Preprocessor
from tidemill.dataset.read import PackedDataset
from tidemill.errors import BundleError, ConfigError, DataError
from tidemill.stages.evaluate import Evaluation, evaluate

from .samples import Heard, settings

Packer = Callable[..., PackedDataset]


def fit(data: PackedDataset, heard: Heard, folder: Path, *overrides: str) -> PipelineModel | TreesModel:
    return TabularFamily().fit(settings("tabular", *overrides), data, heard, folder)


def on_test(model: PipelineModel | TreesModel, data: PackedDataset) -> Evaluation:
    examples = data.examples("test")
    return evaluate(model.signature, model.score(Preprocessor(model.preprocessing).prepare(examples.inputs)), examples)


@pytest.mark.parametrize("kind", ["linear", "xgboost"])
def test_breast_cancer(kind: str, cancer: PackedDataset, heard: Heard, tmp_path: Path) -> None:
    model = fit(cancer, heard, tmp_path, f"model={kind}")
    assert on_test(model, cancer).metrics["accuracy"] > 0.9
    assert "val_accuracy" in heard.steps[-1][1]
    assert model.params > 0


@pytest.mark.parametrize("kind", ["linear", "lasso", "xgboost"])
def test_diabetes(kind: str, diabetes: PackedDataset, heard: Heard, tmp_path: Path) -> None:
    model = fit(diabetes, heard, tmp_path, f"model={kind}")
    assert on_test(model, diabetes).metrics["r2"] > 0.25
    assert model.signature.labels == ()


@pytest.mark.parametrize("kind", ["linear", "xgboost"])
def test_saved_and_loaded_it_answers_the_same(kind: str, cancer: PackedDataset, heard: Heard, tmp_path: Path) -> None:
    model = fit(cancer, heard, tmp_path, f"model={kind}")
    feed = Preprocessor(model.preprocessing).prepare(cancer.examples("test").inputs)
    before = model.score(feed)
    model.save(tmp_path / "saved")
    after = TabularFamily().load(tmp_path / "saved")
    np.testing.assert_array_equal(after.score(feed).scores, before.scores)
    np.testing.assert_array_equal(after.score(feed).embedding, before.embedding)
    assert after.signature == model.signature
    assert not [path for path in (tmp_path / "saved").iterdir() if path.suffix in (".pkl", ".pickle", ".joblib")]


@pytest.mark.parametrize("kind", ["linear", "xgboost"])
def test_gaps_categories_and_flags(kind: str, table: Packer, heard: Heard, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    number = random.normal(size=400)
    colour = random.choice(["red", "green", "blue"], 400)
    flag = random.random(400) > 0.5
    target = np.where((colour == "red") ^ flag, "yes", "no")
    gaps = np.where(random.random(400) < 0.1, np.nan, number)
    data = table("classification", number=gaps, colour=colour, flag=flag, whole=np.arange(400) % 7, target=target)
    model = fit(data, heard, tmp_path, f"model={kind}")
    assert [(each.name, each.type, each.nullable) for each in model.preprocessing.columns] == [
        ("number", "float", True), ("colour", "category", False),
        ("flag", "category", False), ("whole", "integer", False),
    ]  # fmt: skip
    scored = model.score(Preprocessor(model.preprocessing).prepare(data.examples("test").inputs))
    assert np.isfinite(scored.embedding).all()
    assert scored.embedding.shape[1] == model.signature.outputs[1].shape[1] == 1 + 3 + 2 + 1
    assert on_test(model, data).metrics["accuracy"] > (0.9 if kind == "xgboost" else 0.4)


@pytest.mark.parametrize("kind", ["linear", "xgboost"])
@pytest.mark.parametrize("seen", [2, 3])
def test_a_class_that_training_lacks_has_no_probability(
    kind: str, seen: int, cancer: PackedDataset, heard: Heard, tmp_path: Path
) -> None:
    random = np.random.default_rng(1)
    classes = np.arange(300) % seen
    raw = tmp_path / "raw"
    raw.mkdir()
    import pandas as pd

    from .samples import packed

    for split in ("train", "val", "test"):
        labels = np.where(np.arange(300) % 10 == 0, 4, classes) if split == "test" else classes
        frame = pd.DataFrame({"x": labels + random.normal(0, 0.1, 300), "target": [f"c{each}" for each in labels]})
        frame.to_parquet(raw / f"{split}.parquet")
    data = packed(raw, tmp_path / "packed", "tabular", target="target", kind="classification")
    model = fit(data, heard, tmp_path, f"model={kind}")
    assert model.signature.labels == (*(f"c{each}" for each in range(seen)), "c4")
    evaluation = on_test(model, data)
    assert evaluation.per_class["c4"]["recall"] == 0
    assert evaluation.metrics["accuracy"] > 0.88


def test_the_same_seed_gives_the_same_trees(cancer: PackedDataset, heard: Heard, tmp_path: Path) -> None:
    def train(seed: int) -> bytes:
        model = fit(cancer, heard, tmp_path, "model.params.trees=10", f"seed={seed}")
        assert isinstance(model, TreesModel)
        return bytes(model.booster.save_raw("ubj"))

    assert train(1) == train(1)
    assert train(1) != train(2)


def test_trees_end_early_on_validation(cancer: PackedDataset, heard: Heard, tmp_path: Path) -> None:
    model = fit(cancer, heard, tmp_path, "model.params.trees=2000", "model.params.patience=5")
    assert isinstance(model, TreesModel)
    assert model.booster.num_boosted_rounds() < 1000


def test_lasso_does_no_classes(cancer: PackedDataset, heard: Heard, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        fit(cancer, heard, tmp_path, "model=lasso")
    assert "model=linear" in raised.value.remedy


def test_text_that_is_no_category_is_refused(table: Packer, heard: Heard, tmp_path: Path) -> None:
    streets = [f"street {number % 600}" for number in range(1200)]
    data = table("regression", street=streets, x=np.arange(1200.0), target=np.arange(1200.0))
    with pytest.raises(DataError, match="'street' has 600 different values"):
        fit(data, heard, tmp_path)


class Stranger(BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """A type that nobody listed."""


def test_a_file_with_another_type_is_refused(diabetes: PackedDataset, heard: Heard, tmp_path: Path) -> None:
    fit(diabetes, heard, tmp_path, "model=linear").save(tmp_path / "saved")
    skops.io.dump(Stranger(), tmp_path / "saved" / "pipeline.skops")
    with pytest.raises(BundleError, match="refused"):
        TabularFamily().load(tmp_path / "saved")
