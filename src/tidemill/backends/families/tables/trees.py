"""Gradient-boosted trees by XGBoost, trained on the very float32 features that the graph computes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from tidemill.backends.families.tables.columns import frame
from tidemill.backends.families.tables.saved import dump_skops, write_config
from tidemill.config.architectures import XGBoost, params_of
from tidemill.ports import Scored
from tidemill.process import limit_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.config.schema import Config
    from tidemill.domain.bundle import Signature, TabularPreprocessing
    from tidemill.ports import Feed, Reporter

BOOSTER = "model.ubj"


@dataclass
class TreesModel:
    """`encoder` makes float32 features of the rows, `booster` scores them, `standardiser` makes them the embedding."""

    signature: Signature
    preprocessing: TabularPreprocessing
    encoder: ColumnTransformer
    booster: xgboost.Booster
    standardiser: Pipeline

    @property
    def params(self) -> int:
        """The leaves and splits of all trees."""
        return len(self.booster.trees_to_dataframe())

    def features(self, feed: Feed) -> NDArray[np.float32]:
        """float32 [N, F]; NaN for a gap."""
        return np.asarray(self.encoder.transform(frame(self.preprocessing, feed)), np.float32)

    def score(self, feed: Feed) -> Scored:
        """Probabilities [N, classes], or values [N, 1]; the embedding is the standardised features."""
        features = self.features(feed)
        raw = self.booster.inplace_predict(features)
        if raw.ndim == 1 and self.signature.kind == "classification":
            raw = np.stack((1 - raw, raw), axis=1)  # binary:logistic gives the second class alone
        embedding = np.asarray(self.standardiser.transform(features), np.float32)
        return Scored(raw.reshape(len(features), -1).astype(np.float32), embedding)

    def save(self, directory: Path) -> None:
        """model.ubj, encoder.skops, standardiser.skops and config.json."""
        write_config(directory, "trees", self.signature, self.preprocessing)
        dump_skops(self.encoder, directory / "encoder.skops")
        dump_skops(self.standardiser, directory / "standardiser.skops")
        self.booster.save_model(directory / BOOSTER)


class Part:
    """Features float32 [N, F] and target [N] of one split, as XGBoost keeps them."""

    def __init__(self, features: NDArray[np.float32], target: NDArray[Any]) -> None:
        self.matrix = xgboost.DMatrix(features, label=target, nthread=limit_threads())


def boost(config: Config, train: Part, val: Part | None, *, classes: int, report: Reporter) -> xgboost.Booster:
    """The booster, cut after the tree with the best validation loss when `patience` ended the training."""
    params = params_of(config.model, XGBoost)
    objective: dict[str, Any] = {"objective": "reg:squarederror", "eval_metric": "rmse"}
    if classes == 2:
        objective = {"objective": "binary:logistic", "eval_metric": ["error", "logloss"]}
    elif classes:
        objective = {"objective": "multi:softprob", "num_class": classes, "eval_metric": ["merror", "mlogloss"]}
    settings = {
        **objective, "max_depth": params.depth, "eta": params.learning_rate, "subsample": params.subsample,
        "colsample_bytree": params.column_sample, "min_child_weight": params.min_child_weight, "lambda": params.l2,
        "seed": config.seed, "nthread": limit_threads(), "tree_method": "hist", "verbosity": 0,
    }  # fmt: skip
    evals = [(train.matrix, "train"), *([(val.matrix, "val")] if val is not None else [])]
    booster = xgboost.train(
        settings, train.matrix, params.trees, evals=evals, verbose_eval=False,
        early_stopping_rounds=params.patience if params.patience and val is not None else None,
        callbacks=[_Report(report, params.trees)],
    )  # fmt: skip
    best = booster.attr("best_iteration")
    return booster if best is None else booster[: int(best) + 1]


_NAMES = {"rmse": "rmse", "logloss": "loss", "mlogloss": "loss", "error": "accuracy", "merror": "accuracy"}


class _Report(xgboost.callback.TrainingCallback):
    """Hands the metrics of about fifty trees, evenly spread, to a Reporter."""

    def __init__(self, report: Reporter, trees: int) -> None:
        super().__init__()
        self._report, self._trees, self._every = report, trees, max(1, trees // 50)

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self._report.progress(epoch + 1, self._trees, f"tree {epoch + 1}/{self._trees}")
        if (epoch + 1) % self._every == 0 or epoch == 0:
            metrics = {}
            for split, found in evals_log.items():
                for name, values in found.items():
                    value = float(values[-1])
                    metrics[f"{split}_{_NAMES[name]}"] = 1 - value if name.endswith("error") else value
            self._report.metrics(metrics, epoch + 1)
        return False
