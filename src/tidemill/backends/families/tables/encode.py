"""Rows to the float32 features that the estimator sees, with scikit-learn."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import KBinsDiscretizer, MinMaxScaler, OneHotEncoder, StandardScaler

from tidemill.backends.families.tables.columns import categories, numbers

if TYPE_CHECKING:
    import pandas as pd

    from tidemill.domain.bundle import TabularPreprocessing


BINS = 20


def filled(prepared: TabularPreprocessing, numbers: str, seed: int = 0) -> ColumnTransformer:
    """For models that know no gaps: these filled by the mean, categories one-hot.

    `numbers` are then "standard" (mean 0, deviation 1), "minmax" (in [0, 1]), "bins" (one-hot for one of 20 bins of as
    many rows each: a few wild values do no harm, and the answer need not be straight) or "plain".
    """
    steps: list[tuple[str, Any]] = []
    if any(each.nullable for each in prepared.columns if each.type != "category"):
        steps.append(("fill", SimpleImputer(keep_empty_features=True)))
    match numbers:
        case "standard":
            steps.append(("scale", StandardScaler()))
        case "minmax":
            steps.append(("scale", MinMaxScaler(clip=True)))
        case "bins":
            steps.append(("scale", KBinsDiscretizer(
                BINS, encode="onehot-dense", quantile_method="linear", dtype=np.float32, random_state=seed,
            )))  # fmt: skip
    return _transformer(prepared, Pipeline(steps) if steps else "passthrough")


def fitted(encoder: ColumnTransformer, rows: pd.DataFrame) -> ColumnTransformer:
    """`encoder`, fitted to `rows`.

    Edges of bins become float32, in which the graph compares: a value on an edge must fall on the same side.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Bins whose width are too small")  # many rows of one value
        encoder.fit(rows)
    for _, part, _ in encoder.transformers_:
        scale = part.named_steps.get("scale") if isinstance(part, Pipeline) else None
        if isinstance(scale, KBinsDiscretizer):
            for edges in scale.bin_edges_:
                edges[:] = edges.astype(np.float32)
    return encoder


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
