"""The trials of a study as rows, best first where there is one objective, and as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tidemill.config.space import Real, rounded
from tidemill.stages.search.trials import LOST, REASON, SECONDS

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True, slots=True)
class Row:
    """One trial. `state` is complete, pruned, failed, lost, running or waiting; `values` are one for each objective."""

    number: int
    state: str
    values: tuple[float, ...]
    seconds: float | None
    settings: dict[str, Any]
    reason: str


def rows(study: optuna.Study) -> list[Row]:
    """Every trial, in the order they were asked for."""
    return [_row(trial) for trial in study.get_trials(deepcopy=False)]


def _row(trial: optuna.trial.FrozenTrial) -> Row:
    state = "failed" if trial.state.name == "FAIL" else trial.state.name.lower()
    lost = bool(trial.user_attrs.get(LOST))
    values = tuple(trial.values or ())
    if trial.state.name == "PRUNED" and not values and trial.last_step is not None:
        values = (trial.intermediate_values[trial.last_step],)
    settings = trial.params or trial.system_attrs.get("fixed_params", {})
    settings = {name: _written(trial.distributions.get(name), value) for name, value in settings.items()}
    return Row(trial.number, "lost" if lost else state, values, trial.user_attrs.get(SECONDS), dict(settings),
               str(trial.user_attrs.get(REASON, "")))  # fmt: skip


def _written(drawn: Any, value: Any) -> Any:
    """As the trial was trained with it: numbers that were drawn freely are rounded."""
    if hasattr(drawn, "low") and isinstance(value, float):
        return rounded(Real(drawn.low, drawn.high, drawn.step, drawn.log), value)
    return value


def ranked(found: list[Row], *, maximize: bool) -> list[Row]:
    """Finished trials first, the best of them at the top; then the others as they came."""
    order = {"complete": 0, "pruned": 1}
    sign = -1 if maximize else 1
    return sorted(
        found, key=lambda row: (order.get(row.state, 2), sign * row.values[0] if row.values else 0, row.number)
    )


def as_csv(found: list[Row], metrics: list[str]) -> str:
    """trial, state, one column a metric and a setting, seconds, reason."""
    names = list(dict.fromkeys(name for row in found for name in row.settings))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", *metrics, *names, "seconds", "reason"])
    for row in found:
        values = [*row.values, *[""] * (len(metrics) - len(row.values))]
        seconds = "" if row.seconds is None else row.seconds
        writer.writerow([row.number, row.state, *values, *(row.settings.get(name, "") for name in names), seconds,
                         row.reason])  # fmt: skip
    return text.getvalue()
