"""A model for tables that the project holds itself: scikit-learn's parts put together, or a class of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tidemill.backends.exporters.onnx import OnnxExporter
from tidemill.backends.families.tables.pipeline import PipelineModel
from tidemill.backends.families.tabular import TabularFamily
from tidemill.bundle.preprocess import Preprocessor
from tidemill.config.schema import Config
from tidemill.dataset.read import PackedDataset
from tidemill.errors import BundleError, ConfigError, StateError

from ..training.samples import Heard, settings

Write = Callable[[str, str], Path]

MODELS = """
import numpy as np
from sklearn.decomposition import PCA
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


def squeezed(components=4):
    return make_pipeline(PCA(components), LogisticRegression())


def odd():
    return make_pipeline(PCA(4), KernelRidge())


class Centre:
    def __init__(self, power=1):
        self.power = power

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.centres_ = np.stack([X[y == each].mean(0) for each in self.classes_])
        return self

    def predict_proba(self, X):
        near = np.exp(-((X[:, None] - self.centres_[None]) ** 2).sum(2) ** (self.power / 2))
        return near / near.sum(1, keepdims=True)


class Silent:
    def fit(self, X, y):
        return self


class Fails(Centre):
    def fit(self, X, y):
        raise RuntimeError("too few rows")
"""


def config(name: str, *more: str) -> Config:
    return settings("tabular", "model=own", f"model.params.path=my_models.{name}", *more)


def same_after_loading(model: PipelineModel, family: TabularFamily, data: PackedDataset, folder: Path) -> None:
    feed = Preprocessor(model.preprocessing).prepare(data.examples("test").inputs)
    model.save(folder)
    np.testing.assert_array_equal(family.load(folder).score(feed).scores, model.score(feed).scores)


def test_parts_of_scikit_learn_are_put_together(source: Write, cancer: PackedDataset, tmp_path: Path) -> None:
    family = TabularFamily(source("my_models.py", MODELS))
    model = family.fit(config("squeezed", "model.params.settings={components: 3}"), cancer, Heard(), tmp_path)
    assert isinstance(model, PipelineModel)
    same_after_loading(model, family, cancer, tmp_path / "saved")
    OnnxExporter().export(model, tmp_path / "model.onnx")
    feed = Preprocessor(model.preprocessing).prepare(cancer.examples("test").inputs)
    (scores,) = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(["scores"], dict(feed))
    np.testing.assert_allclose(scores, model.score(feed).scores, atol=1e-4)


def test_a_class_of_ones_own_is_trained_where_no_export_is_asked_for(
    source: Write, cancer: PackedDataset, tmp_path: Path
) -> None:
    project = source("my_models.py", MODELS)
    family = TabularFamily(project)
    with pytest.raises(ConfigError, match="Centre cannot be written as ONNX") as raised:
        family.check(config("Centre"), cancer)
    assert "export.required=false" in raised.value.remedy
    heard = Heard()
    model = family.fit(config("Centre", "export.required=false"), cancer, heard, tmp_path)
    assert heard.steps[-1][1]["val_accuracy"] > 0.85
    assert isinstance(model, PipelineModel)
    same_after_loading(model, family, cancer, tmp_path / "saved")
    with pytest.raises(ConfigError, match="there is no"):
        TabularFamily(tmp_path / "elsewhere").load(tmp_path / "saved")
    source("my_models.py", MODELS.replace("mean(0)", "max(0)"))
    with pytest.raises(StateError, match="is not the code that this model was trained with"):
        family.load(tmp_path / "saved")


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("Silent", ConfigError, r"makes a Silent without predict_proba\(\)"),
        ("Fails", ConfigError, r"my_models.Fails.fit: RuntimeError: too few rows \(my_models.py, line 38\)"),
        ("odd", ConfigError, r"makes a Pipeline without predict_proba\(\)"),
        ("PCA", ConfigError, r"makes a PCA without predict_proba\(\)"),
    ],
)
def test_what_is_no_model_is_said(
    name: str, error: type[Exception], said: str, source: Write, cancer: PackedDataset, tmp_path: Path
) -> None:
    family = TabularFamily(source("my_models.py", MODELS))
    with pytest.raises(error, match=said):
        family.fit(config(name, "export.required=false"), cancer, Heard(), tmp_path)


def test_a_part_that_has_no_form_is_named(source: Write, diabetes: PackedDataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="KernelRidge cannot be written as ONNX"):
        TabularFamily(source("my_models.py", MODELS)).check(config("odd"), diabetes)


def test_a_saved_model_may_not_name_other_types(source: Write, cancer: PackedDataset, tmp_path: Path) -> None:
    family = TabularFamily(source("my_models.py", MODELS))
    model = family.fit(config("Centre", "export.required=false"), cancer, Heard(), tmp_path)
    model.save(tmp_path / "saved")
    kept = (tmp_path / "saved" / "config.json").read_text()
    (tmp_path / "saved" / "config.json").write_text(kept.replace('"own": "my_models.Centre"', '"own": ""'))
    with pytest.raises(BundleError, match="is refused"):
        family.load(tmp_path / "saved")
