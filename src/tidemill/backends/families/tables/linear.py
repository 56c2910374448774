"""Linear, logistic and Lasso regression as one scikit-learn pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline

from tidemill.backends.families.tables.columns import frame
from tidemill.backends.families.tables.encode import scaled
from tidemill.backends.families.tables.saved import dump_skops, write_config
from tidemill.config import architectures
from tidemill.config.architectures import params_of
from tidemill.errors import DataError
from tidemill.ports import Scored

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from tidemill.config.schema import Config
    from tidemill.domain.bundle import Signature, TabularPreprocessing
    from tidemill.ports import Feed

_NEVER = -1e3  # the intercept of a class that training has not seen: its probability is 0 in float32


@dataclass
class LinearModel:
    """`pipeline`: steps `encode` (a ColumnTransformer to float32 features) and `predict` (the estimator)."""

    signature: Signature
    preprocessing: TabularPreprocessing
    pipeline: Pipeline

    @property
    def params(self) -> int:
        """Coefficients and intercepts."""
        estimator = self.pipeline["predict"]
        return int(np.size(estimator.coef_) + np.size(estimator.intercept_))

    def score(self, feed: Feed) -> Scored:
        """Probabilities [N, classes], or values [N, 1]; the embedding is the standardised features."""
        rows = frame(self.preprocessing, feed)
        features = np.asarray(self.pipeline["encode"].transform(rows), np.float32)
        estimator = self.pipeline["predict"]
        if self.signature.kind == "classification":
            scores = estimator.predict_proba(features)
        else:
            scores = estimator.predict(features).reshape(-1, 1)
        return Scored(scores.astype(np.float32), features)

    def save(self, directory: Path) -> None:
        """pipeline.skops and config.json."""
        write_config(directory, "linear", self.signature, self.preprocessing)
        dump_skops(self.pipeline, directory / "pipeline.skops")


def fit_linear(config: Config, prepared: TabularPreprocessing, rows: pd.DataFrame, target: NDArray[Any]) -> Pipeline:
    """Fits the estimator that `model.kind` names; `target` as `columns.targets` gives it."""
    encode = scaled(prepared)
    features = np.asarray(encode.fit_transform(rows), np.float32)
    if config.model.kind == "lasso":
        estimator: Any = Lasso(alpha=params_of(config.model, architectures.Lasso).alpha, max_iter=10_000)
        estimator.fit(features.astype(np.float64), target)
    elif target.dtype == np.int64:
        estimator = _logistic(config, features, target)
    else:
        estimator = LinearRegression().fit(features.astype(np.float64), target)
    return Pipeline([("encode", encode), ("predict", estimator)])


def _logistic(config: Config, features: NDArray[np.float32], target: NDArray[np.int64]) -> LogisticRegression:
    if len(np.unique(target)) < 2:
        raise DataError("the training split has rows of one class only", "add rows of the others to the training split")
    strength = params_of(config.model, architectures.Linear).l2
    estimator = LogisticRegression(C=1.0 / strength, max_iter=1000)
    return estimator.fit(features.astype(np.float64), target)


def with_all_classes(pipeline: Pipeline, classes: int) -> Pipeline:
    """The logistic regression with a column for each class, also those that training has not seen."""
    estimator = pipeline["predict"]
    seen = estimator.classes_
    if len(seen) == classes:
        return pipeline
    coefficients = np.zeros((classes, estimator.coef_.shape[1]))
    intercepts = np.full(classes, _NEVER)
    if len(seen) == 2:  # one row of coefficients, for the second class against the first
        coefficients[seen[1]], intercepts[seen] = estimator.coef_[0], (0.0, estimator.intercept_[0])
    else:
        coefficients[seen], intercepts[seen] = estimator.coef_, estimator.intercept_
    estimator.coef_, estimator.intercept_, estimator.classes_ = coefficients, intercepts, np.arange(classes)
    return pipeline
