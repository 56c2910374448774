"""Where the time of a training step goes, and whether other settings would make it shorter: by trying them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tidemill.ports import Times

Verdict = Literal["data-bound", "host-to-device-bound", "compute-bound", "logging-bound"]

_NAMES: dict[str, Verdict] = {
    "data": "data-bound",
    "transfer": "host-to-device-bound",
    "compute": "compute-bound",
    "logging": "logging-bound",
}
_WORTH = 1.05  # times the present rate: less is noise
_KEPT = 0.85  # of the best rate so far: what is slower is not tried again


@dataclass(frozen=True, slots=True)
class Setting:
    """Overrides to try, as `tidemill train` takes them; none are the present settings."""

    overrides: tuple[str, ...]
    what: str


@dataclass(frozen=True, slots=True)
class Tried:
    """`gain` is the median of `rounds` sessions against the present settings in the same rounds: 0.25 is a quarter.

    `steps_per_second` is what that makes of the present rate, logging counted as over whole epochs.
    """

    setting: Setting
    steps_per_second: float
    rounds: int
    gain: float


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the present settings spend a step on, and every setting that was tried, the best first."""

    verdict: Verdict
    shares: dict[str, float]
    times: Times
    present: float
    tried: tuple[Tried, ...]

    @property
    def best(self) -> Tried | None:
        """The best setting, when it is worth a change."""
        found = self.tried[0]
        return found if found.setting.overrides and 1 + found.gain >= _WORTH else None


Measure = Callable[[Setting], Times]


def shares(times: Times) -> dict[str, float]:
    """The share of each part in the time of the steps; they sum to 1."""
    whole = times.data + times.transfer + times.compute + times.logging
    return {name: getattr(times, name) / whole for name in _NAMES}


def verdict_of(found: dict[str, float]) -> Verdict:
    """Bound by what takes most of a step."""
    return _NAMES[max(found, key=lambda name: found[name])]


def diagnose(
    times: Times, measure: Measure, present: Setting, others: Sequence[Setting], *, rounds: int,
    further: Callable[[Setting], Sequence[Setting]] = lambda _: (),
) -> Diagnosis:  # fmt: skip
    """What `times`, of the present settings, say; and what is gained by `others`.

    `present` and all of them are clocked in turn, `rounds` times, so that noise meets all alike. After each round only
    those near the best are tried again; `further` names settings near the best of the first one.
    """
    rates: dict[Setting, list[float]] = {each: [] for each in (present, *others)}

    def ratio(setting: Setting) -> float:
        """To the present settings: of the same rounds, for the machine is not always as busy."""
        pairs = zip(rates[setting], rates[present], strict=False)
        return statistics.median(mine / usual for mine, usual in pairs)

    alive = [present, *others]
    for number in range(rounds):
        for setting in alive:
            rates[setting].append(rate(measure(setting)))
        if number == 0:
            new = [each for each in further(max(alive, key=ratio)) if each not in rates]
            for setting in new:
                rates[setting] = [rate(measure(setting))]
            alive += new
        best = max(map(ratio, alive))
        alive = [each for each in alive if each == present or ratio(each) >= _KEPT * best]
    usual = statistics.median(rates[present])
    tried = [Tried(each, usual * ratio(each), len(seen), ratio(each) - 1) for each, seen in rates.items()]
    tried.sort(key=lambda each: (each.rounds, each.steps_per_second), reverse=True)
    found = shares(times)
    return Diagnosis(verdict_of(found), found, times, usual, tuple(tried))


def rate(times: Times) -> float:
    """Steps per second."""
    return times.steps / (times.data + times.transfer + times.compute + times.logging)
