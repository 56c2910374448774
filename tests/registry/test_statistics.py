"""The paired tests: against independent computation, and in the long run."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tidemill.stages.statistics import bootstrap, mcnemar, paired_difference, wald_non_inferiority


@pytest.mark.parametrize("pair", [(0, 0), (1, 0), (0, 5), (7, 3), (60, 40), (1500, 1400), (0, 3000)])
def test_mcnemar_is_the_binomial_tail_with_half_of_its_first_term(pair: tuple[int, int]) -> None:
    b, c = pair
    exact = stats.binomtest(b, b + c, 0.5, alternative="greater").pvalue if b + c else 1.0
    half = stats.binom.pmf(b, b + c, 0.5) / 2 if b + c else 0.0
    assert mcnemar(b, c) == pytest.approx(float(exact - half), rel=1e-9)


def test_the_level_holds_and_the_power_suffices_over_all_outcomes() -> None:
    """Not drawn but summed: every number of discordant rows of 2,500, and every way in which they can fall."""

    def promoted(gain: float) -> float:
        total = 0.0
        for discordant in range(40, 180):
            here = stats.binom.pmf(discordant, 2500, 0.04)
            share = stats.binom.pmf(range(discordant + 1), discordant, (0.04 + gain) / 0.08)
            passes = [mcnemar(b, discordant - b) < 0.05 for b in range(discordant + 1)]
            total += here * share[passes].sum()
        return float(total)

    assert promoted(-0.01) < 1e-4
    assert 0.045 < promoted(0.0) < 0.05
    assert promoted(0.01) > 0.80


def _draws(gain: float, *, trials: int, rows: int, disagreement: float = 0.04) -> list[tuple[int, int]]:
    rng = np.random.default_rng(0)
    better = (disagreement + gain) / 2
    return [
        tuple(counts[:2].tolist())
        for counts in rng.multinomial(rows, [better, disagreement - better, 1 - disagreement], trials)
    ]


def test_an_equal_challenger_is_rarely_promoted_and_a_worse_one_hardly_ever() -> None:
    equal = sum(mcnemar(b, c) < 0.05 for b, c in _draws(0.0, trials=2000, rows=2500))
    worse = sum(mcnemar(b, c) < 0.05 for b, c in _draws(-0.01, trials=2000, rows=2500))
    assert equal <= 0.06 * 2000
    assert worse <= 0.01 * 2000


def test_a_challenger_better_by_a_point_is_mostly_promoted() -> None:
    better = sum(mcnemar(b, c) < 0.05 for b, c in _draws(0.01, trials=1000, rows=2500))
    assert better >= 0.75 * 1000


@pytest.mark.parametrize(("rows", "gain"), [(60, 0.0), (360, 0.01), (2500, -0.01)])
def test_the_interval_covers_the_truth(rows: int, gain: float) -> None:
    intervals = [paired_difference(b, c, rows) for b, c in _draws(gain, trials=2000, rows=rows)]
    covered = sum(low <= gain <= high for _, low, high in intervals)
    assert covered >= 0.93 * 2000
    assert all(low <= value <= high for value, low, high in intervals)


def test_non_inferiority_holds_its_level_at_the_margin() -> None:
    passed = sum(wald_non_inferiority(b, c, 2500, 0.01) < 0.05 for b, c in _draws(-0.01, trials=2000, rows=2500))
    assert passed <= 0.065 * 2000
    powered = sum(wald_non_inferiority(b, c, 2500, 0.01) < 0.05 for b, c in _draws(0.0, trials=1000, rows=2500))
    assert powered >= 0.75 * 1000
    assert wald_non_inferiority(0, 0, 300, 0.01) < wald_non_inferiority(0, 3, 300, 0.01)


def test_the_bootstrap_agrees_with_the_figures_and_is_the_same_each_time() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 1, 500)
    new, old = (truth + rng.normal(0, 0.1, 500)) ** 2, (truth * 1.5) ** 2
    difference, p_value = bootstrap(new, old, root=True)
    assert difference.value == pytest.approx(math.sqrt(new.mean()) - math.sqrt(old.mean()))
    assert difference.low < difference.value < difference.high < 0
    assert p_value < 0.01
    assert bootstrap(new, old, root=True) == (difference, p_value)
    assert bootstrap(old, new, root=True)[1] > 0.99
    assert bootstrap(new, new, root=True)[1] == 1.0


def test_the_bootstrap_holds_its_level() -> None:
    rng = np.random.default_rng(1)
    passed = 0
    for _ in range(300):
        errors = rng.normal(0, 1, (2, 200)) ** 2
        passed += bootstrap(errors[0], errors[1], root=True, draws=200)[1] < 0.05
    assert passed <= 0.09 * 300
