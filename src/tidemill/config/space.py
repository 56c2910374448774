"""What a sweep may try, one dimension a setting: Hydra's grammar as typed values.

`a,b` and `choice(a,b)` are a Choice; `range(1,9,2)` a Whole, its stop left out as Hydra does it; `range(0.1,0.5,0.1)` a
Real with a step; `interval(0.1,1)` a Real, both ends in, or a Whole for `int(interval(1,8))` and for settings that are
whole numbers. The tag `log` spreads it evenly over its orders of magnitude: `tag(log,interval(1e-4,1e-1))`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from tidemill.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Choice:
    """One of these values, in no order; texts, numbers, switches, or the choices of a group."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `low` to `high`, both in."""

    low: int
    high: int
    step: int = 1
    log: bool = False


@dataclass(frozen=True, slots=True)
class Real:
    """A number from `low` to `high`, both in; with `step` only low + k·step."""

    low: float
    high: float
    step: float | None = None
    log: bool = False


Dimension = Choice | Whole | Real


def dimension(override: Override, *, whole: bool = False, names: Sequence[str] = ()) -> Dimension:
    """The values that a sweep stands for. With `whole` the setting is a whole number; `names` are a group's choices.

    Raises ConfigError for a sweep that holds nothing, or whose ends are in the wrong order.
    """
    line, sweep = str(override.input_line), cast("Any", override.value())
    if isinstance(sweep, Glob):
        return _choice(line, sweep.filter(list(names)))
    if isinstance(sweep, ChoiceSweep):
        if isinstance(sweep.list, Glob):
            return _choice(line, sweep.list.filter(list(names)))
        return _choice(line, [Override._convert_value(each) for each in sweep.list])
    if isinstance(sweep, RangeSweep):
        return _range(line, sweep)
    if isinstance(sweep, IntervalSweep):
        return _interval(line, sweep, whole)
    raise ConfigError(f"{line}: is one value, not several", "give a list, range(), choice() or interval()")


def _choice(line: str, values: Sequence[Any]) -> Choice:
    if not values:
        raise ConfigError(f"{line}: stands for no value at all", "check the list or the pattern")
    return Choice(tuple(values))


def _range(line: str, sweep: RangeSweep) -> Whole | Real:
    try:
        values = list(sweep.range())
    except (HydraException, ValueError) as error:
        raise ConfigError(f"{line}: {error}", "check the range: its step must lead from start to stop") from None
    if not values:
        raise ConfigError(f"{line}: stands for no value at all", "check the range: its stop is left out")
    low, high, log = min(values), max(values), "log" in sweep.tags
    if log:
        _check_log(line, low)
    if isinstance(low, int) and isinstance(sweep.step, int):
        return Whole(low, int(high), 1 if log else abs(sweep.step), log)
    return Real(low, high, None if log else abs(float(sweep.step)), log)


def _interval(line: str, sweep: IntervalSweep, whole: bool) -> Whole | Real:
    low, high = sweep.start, sweep.end
    assert low is not None and high is not None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"{line}: an interval goes from a lower to a higher number", "check its two ends")
    log = "log" in sweep.tags
    if log:
        _check_log(line, low)
    if whole or (isinstance(low, int) and isinstance(high, int) and "int(" in line):
        return Whole(math.ceil(low), math.floor(high), 1, log)
    return Real(float(low), float(high), None, log)


def _check_log(line: str, low: float) -> None:
    if low <= 0:
        raise ConfigError(f"{line}: with the tag log it must begin above 0", "leave the tag out, or raise its start")


def points(found: Dimension, number: int) -> list[Any]:
    """All values of a discrete dimension; of a continuous one `number` of them, both ends among them."""
    if isinstance(found, Choice):
        return list(found.values)
    if isinstance(found, Whole) and not found.log and found.step != 1:
        return list(range(found.low, found.high + 1, found.step))
    if isinstance(found, Real) and found.step is not None:
        return [
            float(f"{found.low + i * found.step:.12g}") for i in range(round((found.high - found.low) / found.step) + 1)
        ]
    if isinstance(found, Whole) and not found.log and found.high - found.low < number:
        return list(range(found.low, found.high + 1))
    shares = [i / (number - 1) for i in range(number)]
    if found.log:
        low, high = math.log(found.low), math.log(found.high)
        spread = [math.exp(low + share * (high - low)) for share in shares]
    else:
        spread = [found.low + share * (found.high - found.low) for share in shares]
    spread[0], spread[-1] = found.low, found.high
    if isinstance(found, Whole):
        return list(dict.fromkeys(round(value) for value in spread))
    return [float(f"{value:.6g}") for value in spread]


def size(found: Dimension) -> int | None:
    """How many values it has; None for a continuous one."""
    if isinstance(found, Whole):
        return (found.high - found.low) // found.step + 1
    return None if isinstance(found, Real) and found.step is None else len(every(found))


def every(found: Dimension) -> list[Any]:
    """All values of a discrete dimension."""
    return list(range(found.low, found.high + 1, found.step)) if isinstance(found, Whole) else points(found, 2)


def rounded(found: Dimension, value: Any) -> Any:
    """A drawn number as it is written: six digits say enough, and stay within the ends."""
    if isinstance(found, Real) and isinstance(value, float):
        return min(max(float(f"{value:.6g}"), found.low), found.high)
    return value


def ends(found: Dimension) -> list[Any]:
    """Values that stand for all: if these are allowed, so is what lies between."""
    return list(found.values) if isinstance(found, Choice) else [found.low, found.high]
