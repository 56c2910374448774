"""Every estimator of scikit-learn: trained, saved, loaded and exported, or refused by name; never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_iris

from tidemill.backends.exporters.onnx import OnnxExporter
from tidemill.backends.families.tables.estimators import estimator_of, known
from tidemill.backends.families.tables.pipeline import PipelineModel
from tidemill.backends.families.tabular import TabularFamily
from tidemill.bundle.preprocess import Preprocessor
from tidemill.dataset.read import PackedDataset
from tidemill.domain.dataset import Kind
from tidemill.errors import ConfigError, DataError

from ..training.samples import Heard, packed, settings

MADE_OF_OTHERS = {
    "FixedThresholdClassifier": "estimator: LogisticRegression",
    "OneVsOneClassifier": "estimator: LogisticRegression",
    "OneVsRestClassifier": "estimator: LogisticRegression",
    "OutputCodeClassifier": "estimator: LogisticRegression",
    "SelfTrainingClassifier": "estimator: LogisticRegression",
    "StackingClassifier": "estimators: [GaussianNB, {DecisionTreeClassifier: {max_depth: 3}}]",
    "StackingRegressor": "estimators: [Ridge, {DecisionTreeRegressor: {max_depth: 3}}]",
    "TunedThresholdClassifierCV": "estimator: LogisticRegression",
    "VotingClassifier": "estimators: [LogisticRegression, GaussianNB], voting: soft",
    "VotingRegressor": "estimators: [Ridge, DecisionTreeRegressor]",
}
FITTING = {"CCA": "n_components: 1", "PLSCanonical": "n_components: 1", "RadiusNeighborsClassifier": "radius: 50",
           "RadiusNeighborsRegressor": "radius: 50", "QuadraticDiscriminantAnalysis": "reg_param: 0.1",
           "Lars": "n_nonzero_coefs: 5"}  # fmt: skip
WITHOUT_A_FORM = {
    "CCA", "DummyClassifier", "DummyRegressor", "FixedThresholdClassifier", "GaussianProcessClassifier", "KernelRidge",
    "LabelPropagation", "LabelSpreading", "NearestCentroid", "PLSCanonical",
    "RadiusNeighborsClassifier", "RadiusNeighborsRegressor", "SelfTrainingClassifier", "TransformedTargetRegressor",
}  # fmt: skip
NOT_FOR_ONE_TARGET = {
    "ClassifierChain", "IsotonicRegression", "MultiOutputClassifier", "MultiOutputRegressor", "MultiTaskElasticNet",
    "MultiTaskElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV", "RegressorChain",
}  # fmt: skip
NOT_FOR_THREE_CLASSES = {"FixedThresholdClassifier", "TunedThresholdClassifierCV"}

NAMES: list[tuple[Kind, str]] = [("classification", name) for name in known("classification")]
NAMES += [("regression", name) for name in known("regression")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, PackedDataset]:
    folder = tmp_path_factory.mktemp("estimators")
    found: dict[Kind, PackedDataset] = {}
    kinds: list[tuple[Kind, Callable[..., Any]]] = [("classification", load_iris), ("regression", load_diabetes)]
    for kind, load in kinds:
        table = load(as_frame=True).frame.sample(140, random_state=0).reset_index(drop=True)
        if kind == "classification":
            table["target"] = table["target"].map({0: "setosa", 1: "versicolor", 2: "virginica"})
        table["group"] = pd.Series(["a", "b", "c", None] * 35)
        file = folder / f"{kind}.parquet"
        table.to_parquet(file)
        found[kind] = packed(file, folder / kind, "tabular", target="target", kind=kind)
    return found


def fitted(data: PackedDataset, folder: Path, name: str, *more: str) -> PipelineModel:
    given = {**MADE_OF_OTHERS, **FITTING}.get(name, "")
    config = settings(
        "tabular", "model=sklearn", f"model.params.estimator={name}", f"model.params.settings={{{given}}}", *more
    )
    model = TabularFamily().fit(config, data, Heard(), folder)
    assert isinstance(model, PipelineModel)
    return model


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_each_is_trained_saved_loaded_and_exported_or_refused_by_name(
    kind: Kind, name: str, data: dict[Kind, PackedDataset], tmp_path: Path
) -> None:
    if name in NOT_FOR_ONE_TARGET:
        with pytest.raises(ConfigError, match=name):
            fitted(data[kind], tmp_path, name)
        return
    if name == "OutputCodeClassifier":
        with pytest.raises(ConfigError, match="neither probabilities nor scores"):
            fitted(data[kind], tmp_path, name)
        return
    if name in WITHOUT_A_FORM:
        with pytest.raises(ConfigError, match=rf"{name} cannot be written as ONNX"):
            fitted(data[kind], tmp_path, name)
    if name in NOT_FOR_THREE_CLASSES:
        with pytest.raises(ConfigError, match=f"{name} refuses"):
            fitted(data[kind], tmp_path, name, "export.required=false")
        return
    model = fitted(data[kind], tmp_path, name, f"export.required={str(name not in WITHOUT_A_FORM).lower()}")
    feed = Preprocessor(model.preprocessing).prepare(data[kind].examples("test").inputs)
    scored = model.score(feed)
    assert np.isfinite(scored.scores).all()
    if kind == "classification":
        np.testing.assert_allclose(scored.scores.sum(axis=1), 1, atol=1e-5)
    assert model.params >= 0
    model.save(tmp_path / "saved")
    np.testing.assert_array_equal(TabularFamily().load(tmp_path / "saved").score(feed).scores, scored.scores)
    if name not in WITHOUT_A_FORM:
        OnnxExporter().export(model, tmp_path / "model.onnx")
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
        scores, embedding = session.run(["scores", "embedding"], dict(feed))
        np.testing.assert_allclose(scores, scored.scores, atol=1e-4 * max(1.0, float(scored.scores.std())))
        np.testing.assert_allclose(embedding, scored.embedding, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "given", "said", "remedy"),
    [
        ("RandomForestClasifier", "", "no 'RandomForestClasifier'", "RandomForestClassifier"),
        ("RandomForestRegressor", "", "RandomForestRegressor does regression", "choose RandomForestClassifier"),
        ("Ridge", "", "Ridge does regression", ""),
        ("SVC", "D: 3", "SVC has no setting 'D'", "C"),
        ("SVC", "C: -1", "SVC refuses: The 'C' parameter of SVC must be a float in the range", "change"),
        ("VotingClassifier", "", "VotingClassifier needs estimators", "[LogisticRegression"),
        ("VotingClassifier", "estimators: [SVC]", "neither probabilities nor scores", "voting: soft"),
        ("VotingClassifier", "estimators: [SVM]", "no 'SVM'", "SVC"),
        ("MultiOutputClassifier", "", "several columns", "one target"),
        ("StackingClassifier", "estimators: [KernelRidge]", "KernelRidge does regression", ""),
        ("BaggingClassifier", "estimator: {NearestCentroid: {}}", "NearestCentroid cannot be written as ONNX", "false"),
        ("LinearDiscriminantAnalysis", "solver: eigen, shrinkage: 7", "refuses: The 'shrinkage' parameter", "change"),
    ],
)
def test_what_does_not_fit_is_one_line(
    name: str, given: str, said: str, remedy: str, data: dict[Kind, PackedDataset], tmp_path: Path
) -> None:
    config = settings(
        "tabular", "model=sklearn", f"model.params.estimator={name}", f"model.params.settings={{{given}}}"
    )
    with pytest.raises(ConfigError) as raised:
        TabularFamily().fit(config, data["classification"], Heard(), tmp_path)
    assert said in raised.value.headline
    assert "\n" not in raised.value.headline
    assert remedy in raised.value.remedy


def test_seed_and_threads_are_set_and_may_be_given() -> None:
    forest = estimator_of("RandomForestClassifier", {}, "classification", 7)
    assert (forest.random_state, forest.n_jobs) == (7, int(forest.n_jobs))
    assert estimator_of("RandomForestClassifier", {"random_state": 3, "n_jobs": 1}, "classification", 7).n_jobs == 1
    voting = estimator_of("VotingRegressor", {"estimators": ["ExtraTreeRegressor", "Ridge"]}, "regression", 7)
    assert [each.random_state for _, each in voting.estimators] == [7, 7]


def test_a_neighbourhood_that_may_be_empty_has_no_answer(data: dict[Kind, PackedDataset], tmp_path: Path) -> None:
    for kind, name in (("classification", "RadiusNeighborsClassifier"), ("regression", "RadiusNeighborsRegressor")):
        given = ["model=sklearn", f"model.params.estimator={name}", "model.params.settings={radius: 1e-6}"]
        config = settings("tabular", *given, "export.required=false")
        with pytest.raises(DataError, match=f"{name} has no answer"):
            TabularFamily().fit(config, data[kind], Heard(), tmp_path)  # type: ignore[index]  # one of the two


def test_a_class_that_training_lacks_has_probability_0_in_the_graph_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "raw").mkdir()
    for split in ("train", "val", "test"):
        labels = rng.choice(["a", "b", "c"] if split == "test" else ["a", "c"], 100)
        columns = {"x": rng.normal(size=100), "y": rng.normal(size=100), "target": labels}
        pd.DataFrame(columns).to_parquet(tmp_path / "raw" / f"{split}.parquet")
    data = packed(tmp_path / "raw", tmp_path / "packed", "tabular", target="target")
    config = settings("tabular", "model=sklearn", "model.params.estimator=RandomForestClassifier")
    model = TabularFamily().fit(config, data, Heard(), tmp_path)
    feed = Preprocessor(model.preprocessing).prepare(data.examples("test").inputs)
    scores = model.score(feed).scores
    assert scores.shape[1] == 3
    assert not scores[:, 1].any()
    OnnxExporter().export(model, tmp_path / "model.onnx")
    (graph,) = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(["scores"], dict(feed))
    np.testing.assert_allclose(graph, scores, atol=1e-5)


def test_bins_bear_wild_values_and_are_the_same_in_the_graph(
    table: Callable[..., PackedDataset], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    miles = np.round(rng.exponential(3, 2000), 1)
    miles[::400] = 1e5
    data = table("regression", miles=miles, flat=np.where(rng.random(2000) < 0.9, 0.0, 1.0),
                 target=np.minimum(miles, 20) * 3 + rng.normal(size=2000))  # fmt: skip
    errors = {}
    for numbers in ("standard", "bins"):
        config = settings("tabular", "model=linear", f"model.params.numbers={numbers}")
        heard = Heard()
        model = TabularFamily().fit(config, data, heard, tmp_path)
        errors[numbers] = heard.steps[-1][1]["train_rmse"]
    assert errors["bins"] < errors["standard"] / 2
    feed = Preprocessor(model.preprocessing).prepare(data.examples("train").inputs)
    OnnxExporter().export(model, tmp_path / "model.onnx")
    scored = model.score(feed)
    scores, embedding = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(["scores", "embedding"], dict(feed))
    np.testing.assert_array_equal(embedding, scored.embedding)
    np.testing.assert_allclose(scores, scored.scores, atol=1e-3)
