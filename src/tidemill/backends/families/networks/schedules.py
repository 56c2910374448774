"""How the learning rate goes over the steps of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from tidemill.config.schema import SchedulerConfig

_FIRST, _LAST = 1 / 25, 1 / 250_000  # one_cycle: share of the rate at its ends, as torch's OneCycleLR has them
_SHARES = ("one_cycle", "cosine", "linear", "exponential")  # schedules that know `warmup`


@dataclass(frozen=True)
class Course:
    """The optimizer's steps: `total` of them, `epoch` in each epoch; the first `frozen` train the head alone.

    After those the schedule begins anew, over what is left, at `factor` times the rate.
    """

    total: int
    epoch: int
    frozen: int = 0
    factor: float = 1.0


class Schedule:
    """Sets the rate of every group of `optimizer` before each step; `done` steps lie behind it."""

    def __init__(self, optimizer: Optimizer, settings: SchedulerConfig, course: Course) -> None:
        self._optimizer, self._settings, self._course = optimizer, settings, course
        self._base = [float(group["lr"]) for group in optimizer.param_groups]
        self.done = 0
        self._scale, self._best, self._waited = 1.0, math.inf, 0  # of plateau
        self._apply()

    def step(self) -> None:
        """One step of the optimizer is done."""
        self.done += 1
        self._apply()

    def close_epoch(self, loss: float | None) -> None:
        """An epoch is done, with this validation loss; only `plateau` listens (as torch's ReduceLROnPlateau)."""
        if self._settings.name != "plateau" or loss is None:
            return
        if loss < self._best * (1 - 1e-4):
            self._best, self._waited = loss, 0
        else:
            self._waited += 1
        if self._waited > self._settings.patience:
            self._scale, self._waited = self._scale * self._settings.factor, 0
        self._apply()

    def state(self) -> dict[str, Any]:
        """As plain values."""
        return {"done": self.done, "scale": self._scale, "best": self._best, "waited": self._waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.done, self._scale = state["done"], state["scale"]
        self._best, self._waited = state["best"], state["waited"]
        self._apply()

    def _apply(self) -> None:
        course = self._course
        if self.done < course.frozen:
            share = rate(self._settings, self.done, course.frozen, course.epoch)
        else:
            share = rate(self._settings, self.done - course.frozen, course.total - course.frozen, course.epoch)
            share *= course.factor if course.frozen else 1.0
        for group, base in zip(self._optimizer.param_groups, self._base, strict=True):
            group["lr"] = base * share * self._scale


def rate(settings: SchedulerConfig, step: int, total: int, epoch: int) -> float:  # noqa: PLR0911 - one a name
    """The share of the full rate at `step` of `total`, with `epoch` steps in an epoch."""
    warm = settings.warmup_steps or (settings.warmup * total if settings.name in _SHARES else 0)
    if settings.name == "one_cycle":
        return _one_cycle(step, warm - 1, total - 1)
    rise = min(round(warm), total)
    if step < rise:
        return (step + 1) / (rise + 1)
    place = min(1.0, (step - rise) / max(1, total - rise))
    low = settings.lowest
    match settings.name:
        case "cosine":
            place = place * (settings.restarts + 1) % 1 if place < 1 else 1.0
            return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * place))
        case "linear":
            return low + (1 - low) * (1 - place)
        case "exponential":
            return float((low or 1e-3) ** place)
        case "step":
            return float(settings.factor ** (step // epoch // settings.step_epochs))
        case _:
            return 1.0


def _one_cycle(step: int, top: float, end: float) -> float:
    """Smith and Topin (2018): from 1/25 up to 1 at `top`, then down to almost nothing at `end`, along cosines."""
    start, stop, place = (_FIRST, 1.0, step / top) if step < top else (1.0, _LAST, (step - top) / max(end - top, 1.0))
    return stop + (start - stop) * 0.5 * (1 + math.cos(math.pi * min(1.0, place)))
