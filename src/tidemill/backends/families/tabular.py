"""Tabular regression and classification: pipelines by scikit-learn, trees by XGBoost."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.backends.families._chain import Chain
from tidemill.backends.families.imported import check_unchanged
from tidemill.backends.families.tables.columns import declared, frame, inputs, preprocessing, targets
from tidemill.backends.families.tables.linear import fit_linear, with_all_classes
from tidemill.backends.families.tables.links import link_pipeline
from tidemill.backends.families.tables.pipeline import PIPELINE, PipelineModel
from tidemill.backends.families.tables.ready import Ready, make_ready
from tidemill.backends.families.tables.saved import load_skops, read_config
from tidemill.backends.families.tables.sklearn import chosen_estimator, fit_estimator, own_code
from tidemill.backends.families.tables.trees import TreesModel, boost, load_trees, objective_of
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


@dataclass(frozen=True)
class TabularFamily:
    """Models for tables, by `model.kind`; `root` is the project that holds own models."""

    root: Path = Path()
    made: dict[tuple[str, str], Ready] = field(default_factory=dict, repr=False, compare=False)

    def check(self, config: Config, data: PackedDataset) -> None:
        """Before anything is trained. Raises ConfigError when the model is not made for the kind of target, and
        when it could not be exported though `export.required` asks for it."""
        kind = data.version.kind
        if kind not in ARCHITECTURES[config.model.kind].kinds:
            fitting = [name for name, each in ARCHITECTURES.items() if "tabular" in each.tasks and kind in each.kinds]
            raise ConfigError(
                f"model.kind={config.model.kind} does no {kind}, which {data.version.tag} is",
                f"choose one of them:  {', '.join(f'model={name}' for name in fitting)}",
            )
        if config.model.kind in ("sklearn", "own"):
            chosen_estimator(config, kind, self.root)
        elif config.model.kind == "xgboost":
            objective_of(config, len(data.version.classes))

    def fit(self, config: Config, data: PackedDataset, report: Reporter, workdir: Path) -> PipelineModel | TreesModel:
        """Raises what `check` raises."""
        self.check(config, data)
        if config.model.kind == "xgboost":
            return _trees(config, data, self._ready(config, data), report, Chain(workdir))
        prepared = preprocessing(data, declared(config))
        prepare = Preprocessor(prepared)
        labels = data.version.classes
        feeds = {split.name: prepare.prepare_table(_features(data, split.name))
                 for split in data.version.splits if split.rows and split.name in ("train", "val")}  # fmt: skip
        target = {split: targets(data, split, labels) for split in feeds}
        model = self._pipeline(config, data, prepared, feeds, target, report)
        link_pipeline(Chain(workdir), model.pipeline)
        return model

    def _ready(self, config: Config, data: PackedDataset) -> Ready:
        """Of the data version that was trained on last: a search trains on the same one again and again."""
        ranges = declared(config)
        key = data.version.digest, repr(sorted(ranges.items()))
        if key not in self.made:
            self.made.clear()
            self.made[key] = make_ready(data, ranges)
        return self.made[key]

    def _pipeline(
        self, config: Config, data: PackedDataset, prepared: TabularPreprocessing, feeds: Mapping[str, Feed],
        target: dict[str, Any], report: Reporter,
    ) -> PipelineModel:  # fmt: skip
        report.progress(0, 1, "fitting")
        labels, rows = data.version.classes, frame(prepared, feeds["train"])
        if config.model.kind in ("sklearn", "own"):
            estimator = chosen_estimator(config, data.version.kind, self.root)
            pipeline = fit_estimator(config, estimator, prepared, rows, target["train"], self.root)
        else:
            pipeline = fit_linear(config, prepared, rows, target["train"])
            pipeline = with_all_classes(pipeline, len(labels)) if labels else pipeline
        width = pipeline["encode"].transform(rows.iloc[:1]).shape[1]
        signature = _signature(data, prepared, width)
        model = PipelineModel(signature, prepared, pipeline, own_code(config, self.root))
        report.progress(1, 1, "fitting")
        report.metrics(_quality(model, feeds, target), 1)
        return model

    def load(self, directory: Path) -> PipelineModel | TreesModel:
        """What `save` of either wrote."""
        config, signature, prepared = read_config(directory)
        match config["model"]:
            case "linear":
                return self._load_pipeline(directory, config, signature, prepared)
            case "trees":
                return load_trees(directory, signature, prepared)
        raise BundleError(f"{directory} holds a model of the unknown kind {config['model']!r}", "train it again")

    def _load_pipeline(
        self, directory: Path, config: Mapping[str, Any], signature: Signature, prepared: TabularPreprocessing
    ) -> PipelineModel:
        path, code = config.get("own"), config.get("code")
        if not path or not code:
            return PipelineModel(signature, prepared, load_skops(directory / PIPELINE))
        check_unchanged(path, self.root, code)
        return PipelineModel(signature, prepared, load_skops(directory / PIPELINE, also=(path,)), (path, code))


def _features(data: PackedDataset, split: str) -> Any:
    return data.table(split, [column.name for column in data.version.features])


def _trees(config: Config, data: PackedDataset, ready: Ready, report: Reporter, chain: Chain) -> TreesModel:
    train, val, classes = ready.parts["train"], ready.parts.get("val"), len(data.version.classes)
    booster = boost(config, train, val, classes=classes, report=report, chain=chain)
    signature = _signature(data, ready.prepared, ready.width)
    return TreesModel(signature, ready.prepared, ready.encoder, booster, ready.standardiser)


def _signature(data: PackedDataset, prepared: TabularPreprocessing, width: int) -> Signature:
    labels: Sequence[str] = data.version.classes
    outputs = (Tensor("scores", "float32", (-1, len(labels) or 1)), Tensor("embedding", "float32", (-1, width)))
    return Signature("tabular", data.version.kind, tuple(inputs(prepared)), outputs, tuple(labels))


def _quality(model: PipelineModel, feeds: Mapping[str, Feed], target: dict[str, Any]) -> dict[str, float]:
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
