"""Scikit-learn's estimators by their names, with their settings checked."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from sklearn.calibration import CalibratedClassifierCV

from tidemill.errors import ConfigError, nearest
from tidemill.process import limit_threads

if TYPE_CHECKING:
    from tidemill.domain.dataset import Kind

_SETTING = "model.params.estimator"
_SEVERAL = (
    "ClassifierChain", "MultiOutputClassifier", "MultiOutputRegressor", "MultiTaskElasticNet", "MultiTaskElasticNetCV",
    "MultiTaskLasso", "MultiTaskLassoCV", "RegressorChain",
)  # fmt: skip
_ONE_COLUMN = ("IsotonicRegression",)
_INNER = ("estimator", "final_estimator", "regressor", "estimators")
"""Settings that are estimators themselves: given by name, or as {NAME: {setting: value}}."""


@cache
def known(kind: Kind) -> Mapping[str, type[Any]]:
    """Every classifier or regressor of scikit-learn by its name."""
    from sklearn.utils import all_estimators

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what importing all of scikit-learn says
        return dict(all_estimators(type_filter="classifier" if kind == "classification" else "regressor"))


def estimator_of(name: str, settings: Mapping[str, Any], kind: Kind, seed: int) -> Any:
    """The estimator, not fitted, with `seed` where it draws numbers and as many threads as this process may use.

    A classifier that gives no probabilities is calibrated (Platt, 1999). Raises ConfigError for a name that
    scikit-learn does not have, that is not made for `kind` or for one target, and for settings it does not have.
    """
    estimator = _made(name, settings, kind, seed, _SETTING)
    if kind == "regression" or hasattr(estimator, "predict_proba"):
        return estimator
    if hasattr(estimator, "decision_function"):
        return CalibratedClassifierCV(estimator, method="sigmoid", cv=3, ensemble=False)
    if name in ("StackingClassifier",):  # it says so only once it is fitted
        return estimator
    raise ConfigError(
        f"{_SETTING}: {name}, so set, gives neither probabilities nor scores to make them of",
        "a VotingClassifier gives them with  voting: soft;  or choose another estimator",
    )


def _made(name: str, settings: Mapping[str, Any], kind: Kind, seed: int, where: str) -> Any:
    _check_name(name, kind, where)
    cls = known(kind)[name]
    parameters = inspect.signature(cls).parameters
    for key in settings:
        if key not in parameters:
            hint = nearest(str(key), parameters, kind="settings")
            raise ConfigError(f"model.params.settings: {name} has no setting {key!r}", hint)
    missing = [key for key, each in parameters.items() if each.default is each.empty and key not in settings]
    if missing:
        raise ConfigError(
            f"{name} needs {missing[0]}",
            f"give it by name:  model.params.settings={{{missing[0]}: {_example(missing[0], kind)}}}",
        )
    given: dict[str, Any] = {key: _value(key, value, kind, seed) for key, value in settings.items()}
    if "random_state" in parameters:
        given.setdefault("random_state", seed)
    if "n_jobs" in parameters:
        given.setdefault("n_jobs", limit_threads())
    if "flatten_transform" in parameters:
        given.setdefault("flatten_transform", False)  # of no effect here; the other way has no ONNX form
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # estimators that scikit-learn will give up
            estimator = cls(**given)
            if hasattr(estimator, "_validate_params"):
                estimator._validate_params()
    except Exception as error:  # InvalidParameterError, and what constructors raise
        raise ConfigError(
            f"{name} refuses: {' '.join(str(error).split())[:300]}", "change model.params.settings"
        ) from None
    return estimator


def _check_name(name: str, kind: Kind, where: str) -> None:
    other: Kind = "regression" if kind == "classification" else "classification"
    endings = ("Regressor", "Classifier") if kind == "classification" else ("Classifier", "Regressor")
    if name not in known(kind):
        if name in known(other):
            fitting = name.replace(*endings)
            hint = f"choose {fitting}" if fitting in known(kind) else nearest(name, known(kind), kind=f"for {kind}")
            raise ConfigError(f"{where}: {name} does {other}, and the data is for {kind}", hint)
        raise ConfigError(
            f"{where}: scikit-learn has no {name!r} for {kind}", nearest(name, known(kind), kind=f"for {kind}")
        )
    if name in _SEVERAL:
        raise ConfigError(f"{where}: {name} predicts several columns at once", "a data set here has one target")
    if name in _ONE_COLUMN:
        raise ConfigError(f"{where}: {name} learns from one column only", "choose another estimator")


def _value(key: str, value: Any, kind: Kind, seed: int) -> Any:
    """A setting as the estimator takes it: names of estimators become estimators."""
    if key not in _INNER or value is None or value in ("deprecated", "passthrough", "drop"):
        return value
    if key == "estimators":
        return [(f"{number}_{_name(each)}", _inner(each, kind, seed)) for number, each in enumerate(_several(value))]
    return _inner(value, kind, seed)


def _inner(value: Any, kind: Kind, seed: int) -> Any:
    name = _name(value)
    settings = value[name] if isinstance(value, Mapping) else {}
    return _made(name, settings or {}, kind, seed, "model.params.settings")


def _several(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [{name: settings} for name, settings in value.items()]
    return list(value) if isinstance(value, list | tuple) else [value]


def _name(value: Any) -> str:
    return str(next(iter(value), "")) if isinstance(value, Mapping) else str(value)


def _example(setting: str, kind: Kind) -> str:
    one, two = (
        ("LogisticRegression", "RandomForestClassifier")
        if kind == "classification"
        else ("Ridge", "RandomForestRegressor")
    )
    return f"[{one}, {two}]" if setting == "estimators" else one
