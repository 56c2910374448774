"""Which of scikit-learn's estimators can be written as ONNX: known before anything is trained."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline

from tidemill.errors import ConfigError

_UNFAITHFUL = ("GaussianProcessClassifier", "RadiusNeighborsClassifier", "RadiusNeighborsRegressor")
"""The converter knows them; what it writes does not run, or has no answer where the estimator has one."""
_PARTS = ("estimator", "final_estimator", "regressor", "base_estimator")


def unconvertible(estimator: Any) -> str | None:
    """The name of the first part of `estimator`, not fitted, that has no ONNX form; None when all have one."""
    from skl2onnx._supported_operators import sklearn_operator_name_map

    name = type(estimator).__name__
    if type(estimator) is Pipeline:
        parts = [step for _, step in estimator.steps if step != "passthrough"]
        return next((each for each in map(unconvertible, parts) if each is not None), None)
    if type(estimator) not in sklearn_operator_name_map or name in _UNFAITHFUL:
        return name
    parts = [value for key, value in estimator.get_params(deep=False).items() if key in _PARTS]
    parts += [part for _, part in getattr(estimator, "estimators", None) or []]
    found = [unconvertible(part) for part in parts if hasattr(part, "get_params")]
    return next((each for each in found if each is not None), None)


def check_convertible(estimator: Any) -> None:
    """Raises ConfigError for an estimator that has no ONNX form, so that its version could not be registered."""
    name = unconvertible(estimator)
    if name is not None:
        raise ConfigError(
            f"{name} cannot be written as ONNX, so no version of it could be registered or served",
            "export.required=false  trains and evaluates it all the same; or choose another estimator",
        )
