"""The statistics of a paired comparison: two models on the same rows."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Z = 1.959963984540054
"""The normal distribution's 97.5 % point."""


class Difference(NamedTuple):
    """Challenger minus champion, with its 95 % interval."""

    value: float
    low: float
    high: float


def mcnemar(only_challenger: int, only_champion: int) -> float:
    """One-sided mid-p value: how likely so many rows, or more, that only the challenger has right are by chance.

    Under equality each discordant row falls to either with probability 1/2 (McNemar, Psychometrika 12, 1947), so that
    the value is P(X > b) + P(X = b)/2, X ~ Binomial(b + c, 1/2). The exact test, which counts the whole of P(X = b),
    spends 4 % of an allowed 5 % at a hundred such rows, and finds less (Fagerland, Lydersen and Laake, BMC Medical
    Research Methodology 13:91, 2013). Without any discordant row nothing speaks for a difference: 1.
    """
    number = only_challenger + only_champion
    if not number:
        return 1.0
    first = term = tail = math.comb(number, only_challenger)
    for k in range(only_challenger, number):
        term = term * (number - k) // (k + 1)
        tail += term
    return float(Fraction(2 * tail - first, 2 ** (number + 1)))


def paired_difference(only_challenger: int, only_champion: int, rows: int) -> Difference:
    """Difference of two accuracies on the same rows, with Agresti and Min's adjusted Wald interval.

    Half a row is added to each cell of the 2 x 2 table: b' = b + 1/2, c' = c + 1/2, n' = n + 2; the interval is
    (b' - c')/n' ± z sqrt(b' + c' - (b' - c')²/n') / n' (Agresti and Min, Statistics in Medicine 24, 2005, p. 732).
    """
    b, c, n = only_challenger + 0.5, only_champion + 0.5, rows + 2
    centre = (b - c) / n
    reach = Z * math.sqrt(max(0.0, b + c - (b - c) ** 2 / n)) / n
    return Difference((only_challenger - only_champion) / rows, max(-1.0, centre - reach), min(1.0, centre + reach))


def bootstrap(
    challenger: NDArray[np.float64],
    champion: NDArray[np.float64],
    *,
    margin: float = 0.0,
    root: bool = False,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[Difference, float]:
    """Difference of two mean losses, and the one-sided p-value that it is not below `margin`.

    Both arguments are losses [N] of the same rows, lower is better; with `root` they are squared errors, and the roots
    of their means are compared. Rows are drawn with replacement, the same for both (percentile interval: Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13). The p-value is the share of draws at or above `margin`,
    with one added above and below (Davison and Hinkley, 1997, 4.2); and it is at least Student's for the rows'
    differences: with few rows percentiles are too sure of themselves (Hesterberg, The American Statistician 69, 2015).
    """
    found = _drawn(np.stack([challenger, champion], axis=1), draws, np.random.default_rng(seed))
    present = np.array([challenger.mean(), champion.mean()])
    if root:
        found, present = np.sqrt(found), np.sqrt(present)
    differences = found[:, 0] - found[:, 1]
    low, high = np.quantile(differences, [0.025, 0.975])
    value = float(present[0] - present[1])
    p_value = (1 + int((differences >= margin).sum())) / (draws + 1)
    slope = 0.5 / present if root and present.all() else np.ones(2)  # of the root: the delta method
    influence = slope[0] * challenger - slope[1] * champion
    return Difference(value, float(low), float(high)), max(p_value, _student(influence, value - margin))


def _drawn(losses: NDArray[np.float64], draws: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Means of `losses` [N, 2] over `draws` samples of N rows with replacement: [draws, 2]."""
    rows = len(losses)
    found = np.empty((draws, 2))
    for draw in range(draws):
        counts = np.bincount(generator.integers(0, rows, rows), minlength=rows)
        found[draw] = counts @ losses / rows
    return found


def _student(values: NDArray[np.float64], mean: float) -> float:
    """P(T <= mean / standard error), T with N - 1 degrees of freedom; where nothing varies 0 or 1, by the sign."""
    rows = len(values)
    error = float(values.std(ddof=1)) / math.sqrt(rows) if rows > 1 else 0.0
    if error == 0:
        return 0.0 if mean < 0 and rows > 1 else 1.0
    from scipy.special import stdtr

    return float(stdtr(rows - 1, mean / error))


def wald_non_inferiority(only_challenger: int, only_champion: int, rows: int, margin: float) -> float:
    """One-sided p-value against "the challenger is worse by `margin` or more".

    z = ((b - c)/n + margin) / se with the unrestricted standard error of a paired difference, half a row added to
    each discordant cell (Liu, Hsueh, Hsieh and Chen, Statistics in Medicine 21, 2002, the Wald-type test).
    """
    b, c, n = only_challenger + 0.5, only_champion + 0.5, rows + 1
    difference = (b - c) / n
    error = math.sqrt(max(b + c - (b - c) ** 2 / n, 1e-12)) / n
    return 0.5 * math.erfc((difference + margin) / error / math.sqrt(2))
