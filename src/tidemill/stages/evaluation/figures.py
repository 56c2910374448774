"""How the figures of an evaluation are written for people."""

from __future__ import annotations

from tidemill.stages.evaluation.intervals import Interval

METRICS = {"accuracy": "accuracy", "macro_f1": "macro F1", "mcc": "Matthews' correlation", "log_loss": "log loss",
           "rmse": "RMSE", "mae": "MAE", "r2": "R²"}  # fmt: skip
_NEAR_ONE = ("mcc", "log_loss", "r2")
_SHARES = ("accuracy", "macro_f1", "precision", "recall", "f1")


def show(name: str, value: float) -> str:
    """A share in percent, a figure near 1 with three decimals, an error in the target's unit with four digits."""
    if name in _SHARES:
        return f"{value:.1%}"
    return f"{value:.3f}" if name in _NEAR_ONE else f"{value:.4g}"


def interval(name: str, found: Interval | None) -> str:
    """From where to where, in the way of `show`; empty where it is not known."""
    return "" if found is None else f"[{show(name, found.low).rstrip('%')}, {show(name, found.high)}]"
