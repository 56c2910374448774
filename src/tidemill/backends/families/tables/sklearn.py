"""Models for tables by any estimator of scikit-learn, or by one of the project's own."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from tidemill.backends.families.imported import imported, made, told
from tidemill.backends.families.tables.convertible import check_convertible
from tidemill.backends.families.tables.encode import filled, fitted
from tidemill.backends.families.tables.estimators import estimator_of
from tidemill.config.architectures import Own, Sklearn, params_of
from tidemill.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from tidemill.config.schema import Config
    from tidemill.domain.bundle import TabularPreprocessing
    from tidemill.domain.dataset import Kind

_FOLDS = 3  # rows of a class that calibration needs


def chosen_estimator(config: Config, kind: Kind, root: Path) -> Any:
    """The estimator that the settings name, not fitted.

    Raises ConfigError when there is none, and when it has no ONNX form though `export.required` asks for one.
    """
    if config.model.kind == "sklearn":
        params = params_of(config.model, Sklearn)
        estimator = estimator_of(params.estimator, params.settings, kind, config.seed)
    else:
        estimator = _own(params_of(config.model, Own), kind, root)
    if config.export.required:
        check_convertible(estimator)
    return estimator


def own_code(config: Config, root: Path) -> tuple[str, str] | None:
    """Import path and digest of the project's own code that `config` names."""
    if config.model.kind != "own":
        return None
    path = params_of(config.model, Own).path
    return path, str(imported(path, root).digest)


def _own(params: Own, kind: Kind, root: Path) -> Any:
    code = imported(params.path, root)
    estimator = made(code, params.path, params.settings)
    verb = "predict_proba" if kind == "classification" else "predict"
    for name in ("fit", verb):
        if not callable(getattr(estimator, name, None)):
            raise ConfigError(
                f"model.params.path: {params.path} makes a {type(estimator).__name__} without {name}()",
                f"give it fit(X, y) and {verb}(X), as scikit-learn has them",
            )
    return estimator


def fit_estimator(
    config: Config, estimator: Any, prepared: TabularPreprocessing, rows: pd.DataFrame, target: NDArray[Any], root: Path
) -> Pipeline:
    """The pipeline of `PipelineModel`. Raises ConfigError or DataError with what the estimator itself says."""
    numbers = config.model.params["numbers"]
    encode = fitted(filled(prepared, _numbers(estimator) if numbers == "auto" else numbers, config.seed), rows)
    features = np.asarray(encode.transform(rows), np.float32)
    _check_classes(estimator, target)
    try:
        # threads: processes would each load scikit-learn anew, and copy the table
        with joblib.parallel_config(backend="threading"), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", FutureWarning)  # estimators that scikit-learn will give up
            warnings.filterwarnings("ignore", module="sklearn")
            estimator.fit(features.astype(np.float64), target)
    except Exception as error:  # scikit-learn's checks raise by many classes; one's own code by any
        raise ConfigError(_refusal(config, estimator, error, root), "change model.params") from None
    return Pipeline([("encode", encode), ("predict", estimator)])


def _check_classes(estimator: Any, target: NDArray[Any]) -> None:
    if target.dtype != np.int64:
        return
    counts = np.unique_counts(target).counts
    if len(counts) < 2:
        raise DataError("the training split has rows of one class only", "add rows of the others to the training split")
    if type(estimator).__name__ == "CalibratedClassifierCV" and counts.min() < _FOLDS:
        raise DataError(
            f"a class has {counts.min()} training rows; probabilities need {_FOLDS} of each",
            "add rows, or choose an estimator that gives probabilities itself",
        )


def _numbers(estimator: Any) -> str:
    """Trees split numbers as they are; what takes no negative ones gets them in [0, 1]; all else is standardised."""
    if type(estimator).__module__.startswith(("sklearn.tree", "sklearn.ensemble._forest", "sklearn.ensemble._hist",
                                              "sklearn.ensemble._gb")):  # fmt: skip
        return "plain"
    try:
        positive = get_tags(estimator).input_tags.positive_only
    except (AttributeError, TypeError):  # an estimator made of others that has none yet
        positive = False
    return "minmax" if positive else "standard"


def _refusal(config: Config, estimator: Any, error: Exception, root: Path) -> str:
    params: Mapping[str, Any] = config.model.params
    if config.model.kind == "own":
        return f"{params['path']}.fit: {told(error, imported(params['path'], root))}"
    said = " ".join(str(error).split()) or type(error).__name__
    return f"{params['estimator']} refuses: {said[:300]}"
