"""Tabular regression and classification: linear models by scikit-learn, trees by XGBoost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.backends.families.tables.columns import frame, inputs, preprocessing, targets
from tidemill.backends.families.tables.encode import plain, standardiser
from tidemill.backends.families.tables.linear import LinearModel, fit_linear, with_all_classes
from tidemill.backends.families.tables.saved import load_skops, read_config
from tidemill.backends.families.tables.trees import BOOSTER, Part, TreesModel, boost
from tidemill.bundle.preprocess import Preprocessor
from tidemill.config.architectures import ARCHITECTURES
from tidemill.domain.bundle import Signature, Tensor
from tidemill.errors import BundleError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tidemill.config.schema import Config
    from tidemill.dataset.read import PackedDataset
    from tidemill.domain.bundle import TabularPreprocessing
    from tidemill.ports import Feed, ModelFamily, Reporter


class TabularFamily:
    """`model.kind`: linear, lasso or xgboost."""

    def fit(self, config: Config, data: PackedDataset, report: Reporter, workdir: Path) -> LinearModel | TreesModel:
        """Raises ConfigError when the model is not made for the kind of target."""
        kind = data.version.kind
        if kind not in ARCHITECTURES[config.model.kind].kinds:
            fitting = [name for name, each in ARCHITECTURES.items() if "tabular" in each.tasks and kind in each.kinds]
            raise ConfigError(
                f"model.kind={config.model.kind} does no {kind}, which {data.version.tag} is",
                f"choose one of them:  {', '.join(f'model={name}' for name in fitting)}",
            )
        prepared = preprocessing(data)
        prepare = Preprocessor(prepared)
        labels = data.version.classes
        feeds = {split.name: prepare.prepare_table(_features(data, split.name))
                 for split in data.version.splits if split.rows and split.name in ("train", "val")}  # fmt: skip
        target = {split: targets(data, split, labels) for split in feeds}
        if config.model.kind == "xgboost":
            return _trees(config, data, prepared, feeds, target, report)
        return _linear(config, data, prepared, feeds, target, report)

    def load(self, directory: Path) -> LinearModel | TreesModel:
        """What `save` of either wrote."""
        model, signature, prepared = read_config(directory)
        match model:
            case "linear":
                return LinearModel(signature, prepared, load_skops(directory / "pipeline.skops"))
            case "trees":
                import xgboost

                booster = xgboost.Booster()
                try:
                    booster.load_model(directory / BOOSTER)
                except (xgboost.core.XGBoostError, OSError) as error:
                    raise BundleError(
                        f"{directory / BOOSTER}: {str(error).splitlines()[0]}", "train it again"
                    ) from None
                encoder, standard = (
                    load_skops(directory / "encoder.skops"),
                    load_skops(directory / "standardiser.skops"),
                )
                return TreesModel(signature, prepared, encoder, booster, standard)
        raise BundleError(f"{directory} holds a model of the unknown kind {model!r}", "train it again")


def _features(data: PackedDataset, split: str) -> Any:
    return data.table(split, [column.name for column in data.version.features])


def _linear(
    config: Config, data: PackedDataset, prepared: TabularPreprocessing, feeds: Mapping[str, Feed],
    target: dict[str, Any], report: Reporter,
) -> LinearModel:  # fmt: skip
    report.progress(0, 1, "fitting")
    pipeline = fit_linear(config, prepared, frame(prepared, feeds["train"]), target["train"])
    labels = data.version.classes
    if labels:
        pipeline = with_all_classes(pipeline, len(labels))
    width = int(pipeline["predict"].n_features_in_)
    model = LinearModel(_signature(data, prepared, width), prepared, pipeline)
    report.progress(1, 1, "fitting")
    report.metrics(_quality(model, feeds, target), 1)
    return model


def _trees(
    config: Config, data: PackedDataset, prepared: TabularPreprocessing, feeds: Mapping[str, Feed],
    target: dict[str, Any], report: Reporter,
) -> TreesModel:  # fmt: skip
    encoder = plain(prepared)
    features = {"train": np.asarray(encoder.fit_transform(frame(prepared, feeds["train"])), np.float32)}
    if "val" in feeds:
        features["val"] = np.asarray(encoder.transform(frame(prepared, feeds["val"])), np.float32)
    parts = {split: Part(*_seen(features[split], target[split], target["train"])) for split in features}
    booster = boost(config, parts["train"], parts.get("val"), classes=len(data.version.classes), report=report)
    standard = standardiser().fit(features["train"])
    signature = _signature(data, prepared, features["train"].shape[1])
    return TreesModel(signature, prepared, encoder, booster, standard)


def _seen(features: Any, target: Any, trained: Any) -> tuple[Any, Any]:
    """Without the rows of classes that training has not seen: they say nothing about when to stop."""
    if target.dtype != np.int64:
        return features, target
    known = np.isin(target, np.unique(trained))
    return features[known], target[known]


def _signature(data: PackedDataset, prepared: TabularPreprocessing, width: int) -> Signature:
    labels: Sequence[str] = data.version.classes
    outputs = (Tensor("scores", "float32", (-1, len(labels) or 1)), Tensor("embedding", "float32", (-1, width)))
    return Signature("tabular", data.version.kind, tuple(inputs(prepared)), outputs, tuple(labels))


def _quality(model: LinearModel, feeds: Mapping[str, Feed], target: dict[str, Any]) -> dict[str, float]:
    found = {}
    for split, feed in feeds.items():
        scores = model.score(feed).scores
        if model.signature.kind == "regression":
            found[f"{split}_rmse"] = float(np.sqrt(np.mean((scores[:, 0] - target[split]) ** 2)))
        else:
            found[f"{split}_accuracy"] = float(np.mean(scores.argmax(1) == target[split]))
    return found


if TYPE_CHECKING:
    _fits: type[ModelFamily] = TabularFamily
