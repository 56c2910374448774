"""How often a challenger that is worse, equal or better becomes champion, by the test that promotions rest on.

.venv/bin/python benchmarks/promotion.py [--trials N] [--quick] [--json FILE]

Decisions are drawn for both models on the same 2,500 rows, 4 % of which they decide differently: a challenger that is
worse by 1 point may pass in at most 1 % of 1,000 trials, an equal one in at most 5 %, one better by 1 point must in at
least 80 %. `exactly` is the same share summed over all that can be drawn: 1,000 trials are uncertain by about 0.7
points at 5 %, and by 1.3 at 80 %. Each trial goes through the function that `tidemill models promote` decides with
(stages/verdict.py), with the default settings. Below it, for information: the same for "not worse" with its margin of
1 point (there the equal one should pass, and the one at the margin in at most 5 %), and the paired bootstrap for the
logarithmic loss and for errors of values, a quarter of the trials each. `--quick` takes a fifth of all. It takes about
two minutes, and no machine's speed is measured.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from tidemill.config.schema import PromotionConfig
from tidemill.stages.statistics import mcnemar
from tidemill.stages.verdict import Metric, judge

ROWS, DISAGREEMENT, POINT = 2500, 0.04, 0.01
Losses = tuple[NDArray[np.float64], NDArray[np.float64]]
Draw = Callable[[np.random.Generator, float], Losses]


@dataclass(frozen=True)
class Row:
    """Of one kind of challenger: the share of trials in which it became champion, and what it may or must be."""

    test: str
    challenger: str
    trials: int
    passed: float
    exactly: float | None
    bar: str
    held: bool


def decisions(rng: np.random.Generator, gain: float) -> Losses:
    """Errors (0 or 1) of challenger and champion; `gain` is the difference of their accuracies."""
    better = (DISAGREEMENT + gain) / 2
    either = rng.random(ROWS)
    both_wrong = 0.06
    only_new, only_old = either < better, (either >= better) & (either < DISAGREEMENT)
    wrong = either > 1 - both_wrong
    return (only_old | wrong).astype(float), (only_new | wrong).astype(float)


def log_losses(rng: np.random.Generator, gain: float) -> Losses:
    """Skewed losses, a tenth of their spread the models' own; `gain` is a share of the mean."""
    shared = rng.exponential(0.3, ROWS)
    new, old = (np.abs(shared * (1 + rng.normal(0, 0.1, ROWS))) for _ in range(2))
    return new * (1 - gain), old


def squared_errors(rng: np.random.Generator, gain: float) -> Losses:
    """Of values with heavy tails (Student, 5 degrees of freedom), most of the error the same for both."""
    shared = rng.standard_t(5, ROWS)
    new, old = (shared + rng.normal(0, 0.2, ROWS) for _ in range(2))
    return ((1 - gain) * new) ** 2, old**2


def measure(name: str, metric: Metric, draw: Draw, config: PromotionConfig, gain: float, trials: int) -> float:
    """The share of trials that pass."""
    rng = np.random.default_rng([sum(name.encode()), round(1e6 * (1 + gain))])
    return sum(judge(metric, *draw(rng, gain), config).check.held for _ in range(trials)) / trials


def exactly(gain: float) -> float:
    """The share in which McNemar's test passes, over all numbers of discordant rows and all ways they can fall."""
    total = 0.0
    for discordant in range(1, 200):
        falls = binom.pmf(np.arange(discordant + 1), discordant, (DISAGREEMENT + gain) / (2 * DISAGREEMENT))
        passes = [mcnemar(b, discordant - b) < PromotionConfig().alpha for b in range(discordant + 1)]
        total += float(binom.pmf(discordant, ROWS, DISAGREEMENT) * falls[passes].sum())
    return total


def table(trials: int) -> list[Row]:
    superior, equal_enough = PromotionConfig(), PromotionConfig(mode="non_inferiority", margin=POINT)
    plan: list[tuple[str, Metric, Draw, PromotionConfig, float, str, float]] = [
        ("McNemar (the default)", "accuracy", decisions, superior, -POINT, "<=", 0.01),
        ("McNemar (the default)", "accuracy", decisions, superior, 0.0, "<=", 0.05),
        ("McNemar (the default)", "accuracy", decisions, superior, POINT, ">=", 0.80),
        ("not worse, margin 1 point", "accuracy", decisions, equal_enough, -2 * POINT, "<=", 0.01),
        ("not worse, margin 1 point", "accuracy", decisions, equal_enough, -POINT, "<=", 0.065),
        ("not worse, margin 1 point", "accuracy", decisions, equal_enough, 0.0, ">=", 0.75),
        ("bootstrap, log loss", "log_loss", log_losses, superior, -POINT, "<=", 0.01),
        ("bootstrap, log loss", "log_loss", log_losses, superior, 0.0, "<=", 0.065),
        ("bootstrap, log loss", "log_loss", log_losses, superior, POINT, ">=", 0.80),
        ("bootstrap, RMSE", "rmse", squared_errors, superior, -POINT, "<=", 0.01),
        ("bootstrap, RMSE", "rmse", squared_errors, superior, 0.0, "<=", 0.065),
        ("bootstrap, RMSE", "rmse", squared_errors, superior, POINT, ">=", 0.50),
    ]
    rows = []
    for name, metric, draw, config, gain, sign, bar in plan:
        number = trials if metric == "accuracy" else max(1, trials // 4)
        passed = measure(name, metric, draw, config, gain, number)
        sure = exactly(gain) if config is superior and metric == "accuracy" else None
        held = passed <= bar if sign == "<=" else passed >= bar
        unit = "point" if metric == "accuracy" else "%"
        words = "equal" if not gain else f"{'better' if gain > 0 else 'worse'} by {abs(gain) * 100:g} {unit}"
        rows.append(Row(name, words, number, passed, sure, f"{sign} {bar:.1%}", held))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="200 trials")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--data", help="not needed: everything is drawn")
    asked = parser.parse_args()
    rows = table(200 if asked.quick else asked.trials)
    versions = f"Python {platform.python_version()}, NumPy {version('numpy')}, SciPy {version('scipy')}"
    print(f"{versions}; {ROWS:,} paired rows, {DISAGREEMENT:.0%} decided differently")
    print(f"{'test':<28}{'challenger':<20}{'trials':>7}{'passed':>9}{'exactly':>9}   bar")
    for row in rows:
        mark = "held" if row.held else "NOT HELD"
        sure = "" if row.exactly is None else f"{row.exactly:.2%}"
        print(f"{row.test:<28}{row.challenger:<20}{row.trials:>7}{row.passed:>9.1%}{sure:>9}   {row.bar:<9} {mark}")
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
