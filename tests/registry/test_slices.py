"""Floors per slice, and the metrics that a promotion can be decided by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tidemill.config.schema import PromotionConfig
from tidemill.dataset.read import Examples
from tidemill.errors import ConfigError
from tidemill.stages.slices import slices_of
from tidemill.stages.verdict import accuracy_floors, error_rises, judge, losses, metric_of, parts_of

ROWS = [{"hour": hour, "zone": "a" if hour % 2 else None} for hour in range(24)]
TABLE = Examples(tuple(f"test/{i}" for i in range(24)), ROWS, ("no", "yes") * 12, None)


def test_slices_by_column_by_label_and_by_condition() -> None:
    config = PromotionConfig(
        slice_by=["zone", "label"], slices={"night": "hour >= 22 or hour < 5", "none": "hour > 99"}
    )
    found = slices_of(TABLE, config)
    assert {name: int(rows.sum()) for name, rows in found.items()} == {
        "zone=(none)": 12, "zone=a": 12, "label=no": 12, "label=yes": 12, "night": 7, "none": 0
    }  # fmt: skip
    assert np.flatnonzero(found["night"]).tolist() == [0, 1, 2, 3, 4, 22, 23]


def test_slices_of_sentences_pictures_and_values() -> None:
    texts = Examples(("0", "1"), ["a tide", "mill"], ("x", "y"), None)
    config = PromotionConfig(slices={"short": "length < 5", "tides": "text like '%tide%'"})
    assert [rows.tolist() for rows in slices_of(texts, config).values()] == [[False, True], [True, False]]
    pictures = Examples(("cats/1.png", "dogs/1.png"), [b"1", b"22"], ("cat", "dog"), None)
    config = PromotionConfig(slices={"cats": "name like 'cats/%'", "large": "bytes > 1"})
    assert [rows.tolist() for rows in slices_of(pictures, config).values()] == [[True, False], [False, True]]
    values = Examples(("0", "1"), [{"a": 1.0}, {"a": 2.0}], (), np.array([5.0, 50.0]))
    assert slices_of(values, PromotionConfig(slices={"dear": "value > 9"}))["dear"].tolist() == [False, True]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"slice_by": ["huor"]}, "hour"),
        ({"slices": {"night": "huor > 3"}}, "promotion.slices.night"),
        ({"slices": {"night": "hour >"}}, "promotion.slices.night"),
        ({"slices": {"night": "hour > 'late'"}}, "is a number"),
        ({"slice_by": ["name"]}, ""),
    ],
)
def test_slices_that_cannot_be_are_errors_of_the_configuration(settings: dict[str, Any], said: str) -> None:
    if settings == {"slice_by": ["name"]}:
        many = Examples(tuple(map(str, range(60))), [{"a": 1}] * 60, ("x",) * 60, None)
        with pytest.raises(ConfigError, match="60 values"):
            slices_of(many, PromotionConfig(**settings))
        return
    with pytest.raises(ConfigError) as wrong:
        slices_of(TABLE, PromotionConfig(**settings))
    assert said in str(wrong.value)


def test_a_slice_that_falls_below_its_floor_or_too_far_is_named() -> None:
    night = np.arange(200) < 100
    old, new = np.zeros(200), np.zeros(200)
    new[:30] = 1
    parts = parts_of("accuracy", {"night": night, "day": ~night, "few": np.arange(200) < 5}, new, old)
    check = accuracy_floors("slices", parts, 0.8, PromotionConfig(), 30)
    assert not check.held and "below 0.8: night (1.000 to 0.700)" in check.detail
    assert "too few rows to judge: few (5)" in check.detail and "day" not in check.detail
    assert accuracy_floors("slices", parts, 0.6, PromotionConfig(), 30).held
    deep = accuracy_floors("slices", parts, 0.6, PromotionConfig(max_fall=0.2), 30)
    assert not deep.held and "falls by more than 20 points: night -30.0 points" in deep.detail


def test_an_error_that_rises_too_far_in_a_slice_is_named() -> None:
    far = np.arange(100) < 50
    old, new = np.ones(100), np.where(far, 4.0, 0.25)
    parts = parts_of("rmse", {"far": far, "near": ~far}, new, old)
    assert error_rises(parts, PromotionConfig(max_fall=1.0)).held
    check = error_rises(parts, PromotionConfig(max_fall=0.5))
    assert not check.held and "far (1 to 2)" in check.detail and "near" not in check.detail


def test_losses_are_what_their_names_say() -> None:
    scores = np.array([[0.8, 0.2], [0.4, 0.6], [0.5, 0.5]], np.float32)
    truth = np.array([0, 0, -1])
    assert losses("accuracy", scores, truth).tolist() == [0, 1, 1]
    assert losses("log_loss", scores, truth) == pytest.approx([-np.log(0.8), -np.log(0.4), -np.log(1e-7)], rel=1e-5)
    assert losses("brier", scores, truth) == pytest.approx([0.08, 0.72, 1.5], rel=1e-5)
    values = np.array([[1.0], [4.0]], np.float32)
    assert losses("mae", values, np.array([2.0, 2.0])).tolist() == [1, 2]
    assert losses("rmse", values, np.array([2.0, 2.0])).tolist() == [1, 4]


def test_a_loss_decides_where_decisions_are_the_same() -> None:
    rng = np.random.default_rng(0)
    shared = rng.exponential(0.3, 400)
    new, old = shared * 0.9, shared * (1 + rng.normal(0, 0.1, 400))
    better = judge("log_loss", new, old, PromotionConfig(metric="log_loss"))
    assert better.check.held and better.difference.high < 0 and better.only_champion is None
    assert not judge("log_loss", old, new, PromotionConfig(metric="log_loss")).check.held
    near = PromotionConfig(metric="log_loss", mode="non_inferiority", margin=0.05)
    assert judge("log_loss", old, old, near).check.held
    assert not judge("log_loss", old, new, near).check.held


def test_a_metric_of_the_other_kind_is_refused() -> None:
    assert metric_of("classification", PromotionConfig()) == "accuracy"
    assert metric_of("regression", PromotionConfig(metric="mae")) == "mae"
    with pytest.raises(ConfigError, match="no metric for regression"):
        metric_of("regression", PromotionConfig(metric="brier"))
