"""Settings of the models for tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tidemill.config.schema import bounded


@dataclass
class Linear:
    """Linear regression, or logistic regression for classes."""

    l2: float = bounded(1.0, above=0)  # strength of the penalty (classes only)
    numbers: Literal["standard", "bins"] = "standard"  # standardised, or each in 20 bins of as many rows


@dataclass
class Lasso:
    """Linear regression with an L1 penalty (Tibshirani, 1996)."""

    alpha: float = bounded(0.1, above=0)  # strength of the penalty
    numbers: Literal["standard", "bins"] = "standard"  # standardised, or each in 20 bins of as many rows


@dataclass
class XGBoost:
    """Gradient-boosted trees (Chen and Guestrin, 2016)."""

    trees: int = bounded(300, low=1, high=10_000)
    depth: int = bounded(4, low=1, high=100)  # XGBoost's max_depth
    learning_rate: float = bounded(0.1, above=0, high=1)
    subsample: float = bounded(0.9, above=0, high=1)  # share of rows per tree
    column_sample: float = bounded(0.9, above=0, high=1)  # share of features per tree
    min_child_weight: float = bounded(1.0, low=0)
    l1: float = bounded(0.0, low=0)  # XGBoost's reg_alpha
    l2: float = bounded(1.0, low=0)  # XGBoost's reg_lambda
    objective: Literal[
        "auto", "reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "binary:logistic", "multi:softprob"
    ] = "auto"  # "auto": squared error, or the logistic loss of two or of many classes
    patience: int = bounded(20, low=0)  # trees without a better validation loss before it ends; 0: never


@dataclass
class Sklearn:
    """Any regressor or classifier of scikit-learn, by its name there."""

    estimator: str  # RandomForestRegressor, LogisticRegression, SVC, …
    settings: dict[str, Any] = field(default_factory=dict)  # of the estimator, by its own names
    numbers: Literal["auto", "standard", "minmax", "bins", "plain"] = "auto"  # "auto": as the estimator needs them
