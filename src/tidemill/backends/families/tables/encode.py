"""Rows to the float32 features that the estimator sees, with scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tidemill.backends.families.tables.columns import categories, numbers

if TYPE_CHECKING:
    from tidemill.domain.bundle import TabularPreprocessing


def scaled(prepared: TabularPreprocessing) -> ColumnTransformer:
    """For linear models: numbers with their gaps filled by the mean and standardised, categories one-hot."""
    steps: list[tuple[str, Any]] = []
    if any(each.nullable for each in prepared.columns if each.type != "category"):
        steps.append(("fill", SimpleImputer(keep_empty_features=True)))
    steps.append(("scale", StandardScaler()))
    return _transformer(prepared, Pipeline(steps))


def plain(prepared: TabularPreprocessing) -> ColumnTransformer:
    """For trees: numbers as they are (NaN for a gap), categories one-hot."""
    return _transformer(prepared, "passthrough")


def standardiser() -> Pipeline:
    """From a tree's features to its embedding: gaps filled by the mean, all standardised."""
    return Pipeline([("fill", SimpleImputer(keep_empty_features=True)), ("scale", StandardScaler())])


def _transformer(prepared: TabularPreprocessing, of_numbers: Any) -> ColumnTransformer:
    parts: list[tuple[str, Any, list[str]]] = []
    if numbers(prepared):
        parts.append(("numbers", of_numbers, numbers(prepared)))
    names, values = categories(prepared)
    if names:
        one_hot = OneHotEncoder(categories=values, handle_unknown="ignore", sparse_output=False, dtype=np.float32)
        parts.append(("categories", one_hot, names))
    return ColumnTransformer(parts, sparse_threshold=0, verbose_feature_names_out=False)
