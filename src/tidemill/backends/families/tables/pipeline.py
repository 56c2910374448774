"""A model for tables as one scikit-learn pipeline: features, then the estimator."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.pipeline import Pipeline

from tidemill.backends.families.tables.columns import frame
from tidemill.backends.families.tables.saved import dump_skops, write_config
from tidemill.errors import DataError
from tidemill.ports import Scored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.domain.bundle import Signature, TabularPreprocessing
    from tidemill.ports import Feed

PIPELINE = "pipeline.skops"


@dataclass
class PipelineModel:
    """`pipeline`: steps `encode` (a ColumnTransformer to float32 features) and `predict` (the estimator).

    `own` are import path and digest of the project's own code, where the estimator is such.
    """

    signature: Signature
    preprocessing: TabularPreprocessing
    pipeline: Pipeline
    own: tuple[str, str] | None = None

    @property
    def params(self) -> int:
        """The numbers that were learnt, as far as the estimator shows them."""
        return learnt(self.pipeline["predict"])

    def score(self, feed: Feed) -> Scored:
        """Probabilities [N, classes], or values [N, 1]; the embedding is the features.

        A class that training has not seen has the probability 0. Raises DataError for rows without an answer.
        """
        rows = frame(self.preprocessing, feed)
        features = np.asarray(self.pipeline["encode"].transform(rows), np.float32)
        estimator = self.pipeline["predict"]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a row without an answer is told below
                scores = self._scores(estimator, features)
        except ValueError as error:  # neighbours within a radius: a row may have none
            raise DataError(
                f"{type(estimator).__name__} has no answer: {' '.join(str(error).split())[:200]}",
                "change model.params.settings",
            ) from None
        if not np.isfinite(scores).all():
            without = int((~np.isfinite(scores).all(axis=1)).sum())
            raise DataError(
                f"{type(estimator).__name__} has no answer for {without} of {len(scores)} rows",
                "change model.params.settings",
            )
        return Scored(scores.astype(np.float32), features)

    def _scores(self, estimator: Any, features: NDArray[np.float32]) -> NDArray[Any]:
        if self.signature.kind == "classification":
            return _in_order(estimator, np.asarray(estimator.predict_proba(features)), len(self.signature.labels))
        return np.asarray(estimator.predict(features)).reshape(-1, 1)

    def save(self, directory: Path) -> None:
        """pipeline.skops and config.json."""
        path, code = self.own or ("", "")
        write_config(directory, "linear", self.signature, self.preprocessing, own=path, code=code)
        dump_skops(self.pipeline, directory / PIPELINE, also=(path,) if path else ())


def learnt(estimator: Any) -> int:
    """The size of the arrays that fitting left in `estimator` and in what it is made of; a tree counts its nodes."""
    found, todo, seen = 0, [estimator], set()
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, np.ndarray) and each.dtype != object:
            found += each.size
        elif isinstance(each, np.floating | float):
            found += 1
        elif isinstance(each, list | tuple | np.ndarray):
            todo += list(each)
        elif hasattr(each, "node_count"):
            found += int(each.node_count)
        elif type(each).__module__.startswith("sklearn.") and hasattr(each, "__dict__"):
            todo += [value for name, value in vars(each).items() if _is_learnt(name)]
        elif isinstance(each, Pipeline):
            todo += [step for _, step in each.steps]
    return found


def _is_learnt(name: str) -> bool:
    return name.endswith("_") and name not in ("classes_", "feature_names_in_", "n_iter_", "loss_curve_", "t_")


def _in_order(estimator: Any, scores: NDArray[Any], classes: int) -> NDArray[Any]:
    seen = getattr(estimator, "classes_", range(classes))
    if len(seen) == classes:
        return scores
    whole = np.zeros((len(scores), classes), scores.dtype)
    whole[:, seen] = scores
    return whole
