"""Linear, logistic and Lasso regression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline

from tidemill.backends.families.tables.encode import filled, fitted
from tidemill.config.architectures import ARCHITECTURES
from tidemill.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from tidemill.config.schema import Config
    from tidemill.domain.bundle import TabularPreprocessing

_NEVER = -1e3  # the intercept of a class that training has not seen: its probability is 0 in float32


def fit_linear(config: Config, prepared: TabularPreprocessing, rows: pd.DataFrame, target: NDArray[Any]) -> Pipeline:
    """Fits the estimator that `model.kind` names; `target` as `columns.targets` gives it."""
    params = ARCHITECTURES[config.model.kind].params(**config.model.params)
    encode = fitted(filled(prepared, params.numbers, config.seed), rows)
    features = np.asarray(encode.transform(rows), np.float32)
    if config.model.kind == "lasso":
        estimator: Any = Lasso(alpha=params.alpha, max_iter=10_000)
        estimator.fit(features.astype(np.float64), target)
    elif target.dtype == np.int64:
        estimator = _logistic(params.l2, features, target)
    else:
        estimator = LinearRegression().fit(features.astype(np.float64), target)
    return Pipeline([("encode", encode), ("predict", estimator)])


def _logistic(strength: float, features: NDArray[np.float32], target: NDArray[np.int64]) -> LogisticRegression:
    if len(np.unique(target)) < 2:
        raise DataError("the training split has rows of one class only", "add rows of the others to the training split")
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
