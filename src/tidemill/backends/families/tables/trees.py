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
from tidemill.backends.families.tables.links import TreeLinks
from tidemill.backends.families.tables.saved import dump_skops, load_skops, write_config
from tidemill.config.architectures import XGBoost, params_of
from tidemill.errors import BundleError, ConfigError
from tidemill.ports import Remarked, Scored
from tidemill.process import limit_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.backends.families._chain import Chain
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


def boost(
    config: Config, train: Part, val: Part | None, *, classes: int, report: Reporter, chain: Chain
) -> xgboost.Booster:  # fmt: skip
    """The booster, cut after the tree with the best validation loss when `patience` ended the training."""
    params = params_of(config.model, XGBoost)
    objective = objective_of(config, classes)
    settings = {
        **objective, "max_depth": params.depth, "eta": params.learning_rate, "subsample": params.subsample,
        "colsample_bytree": params.column_sample, "min_child_weight": params.min_child_weight, "lambda": params.l2,
        "alpha": params.l1,
        "seed": config.seed, "nthread": limit_threads(), "tree_method": "hist", "verbosity": 0,
    }  # fmt: skip
    evals = [(train.matrix, "train"), *([(val.matrix, "val")] if val is not None else [])]
    booster = xgboost.train(
        settings, train.matrix, params.trees, evals=evals, verbose_eval=False,
        early_stopping_rounds=params.patience if params.patience and val is not None else None,
        callbacks=[_Report(report, params.trees), TreeLinks(chain)],
    )  # fmt: skip
    best = booster.attr("best_iteration")
    if best is None:
        return booster
    grown = booster.num_boosted_rounds()
    if grown < params.trees and isinstance(report, Remarked):
        kept = f"the first {int(best) + 1} are kept"
        report.remark(f"stopped after {grown} trees: no better for {params.patience}; {kept}")
    return booster[: int(best) + 1]


def objective_of(config: Config, classes: int) -> dict[str, Any]:
    """XGBoost's objective and what it measures. Raises ConfigError for one that is not made for so many classes."""
    chosen: str = params_of(config.model, XGBoost).objective
    fitting: tuple[str, ...] = ("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror")
    if classes:
        fitting = ("binary:logistic", "multi:softprob") if classes == 2 else ("multi:softprob",)
    if chosen == "auto":
        chosen = fitting[0]
    if chosen not in fitting:
        what = f"{classes} classes" if classes else "a regression"
        raise ConfigError(f"model.params.objective={chosen} is not made for {what}", f"choose {' or '.join(fitting)}")
    if not classes:
        return {"objective": chosen, "eval_metric": "mae" if chosen == "reg:absoluteerror" else "rmse"}
    if chosen == "binary:logistic":
        return {"objective": chosen, "eval_metric": ["error", "logloss"]}
    return {"objective": chosen, "num_class": classes, "eval_metric": ["merror", "mlogloss"]}


def load_trees(directory: Path, signature: Signature, prepared: TabularPreprocessing) -> TreesModel:
    """What `TreesModel.save` wrote. Raises BundleError."""
    booster = xgboost.Booster()
    try:
        booster.load_model(directory / BOOSTER)
    except (xgboost.core.XGBoostError, OSError) as error:
        raise BundleError(f"{directory / BOOSTER}: {str(error).splitlines()[0]}", "train it again") from None
    encoder, standard = load_skops(directory / "encoder.skops"), load_skops(directory / "standardiser.skops")
    return TreesModel(signature, prepared, encoder, booster, standard)


_NAMES = {
    "mae": "mae",
    "rmse": "rmse",
    "logloss": "loss",
    "mlogloss": "loss",
    "error": "accuracy",
    "merror": "accuracy",
}


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
