"""Pictures as data, and the words beside them."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from tidemill.domain.record import now
from tidemill.project.viewing.records import (
    Change,
    DriftCell,
    DriftMap,
    DriftRow,
    LineageView,
    Node,
    QualityPoint,
    QualityView,
)
from tidemill.web import formats
from tidemill.web.pictures.chain import chain
from tidemill.web.pictures.chart import chart
from tidemill.web.pictures.heat import heat, strength
from tidemill.web.pictures.spark import bars, spark

AT = now()
CELL = DriftCell("R", AT, "brightness", "KS", 0.1, 0.5, 0.001, False)


def quality(*values: float, share: bool = True) -> QualityView:
    points = tuple(
        QualityPoint(AT + timedelta(minutes=i), 1 + i // 2, (v, v - 0.02, v + 0.02), (v, v - 0.1, v + 0.1), 100, 20)
        for i, v in enumerate(values)
    )
    return QualityView("accuracy" if share else "rmse", share, "CBPE", points, {1: 0.7, 2: 0.9}, (Change(AT, 2, 0.98),))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (1284, "1,284"), (3.14159, "3.14"), (-0.5, "−0.5"), (float("nan"), "–"), (412.4, "412")],
)
def test_numbers_read_well(value: float | None, shown: str) -> None:
    assert formats.number(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.42, "0.4 s"), (38, "38 s"), (2460, "41 min"), (8040, "2 h 14 min"), (277_200, "3 d 5 h")]
)
def test_durations_read_well(seconds: float, shown: str) -> None:
    assert formats.duration(seconds) == shown


def test_shares_are_percent_and_differences_points() -> None:
    assert formats.measure(0.9861, share=True) == "98.6 %"
    assert formats.difference(0.192, share=True) == "+19.2"
    assert formats.interval(-0.01, 0.234, share=True) == " [−1.0, 23.4]"
    assert formats.p_value(3e-19) == "p < 1e-18"
    assert formats.short("0123456789", 5) == "01…89"


def test_a_chart_keeps_everything_inside_its_box() -> None:
    drawn = chart(quality(0.99, 0.97, 0.62, 0.98), 700)
    for mark in (*drawn.estimates, *drawn.labelled):
        assert drawn.left <= mark.x <= drawn.width
        assert 0 <= mark.high <= mark.y <= mark.low <= drawn.bottom
    assert len(drawn.segments) == 2, "a line for each version"
    assert [limit.text for limit in drawn.limits] == ["limit 70", "limit 90"]
    assert drawn.limits[0].right == drawn.limits[1].left, "each holds while its version serves"
    assert drawn.takeovers[0].text == "/2 takes over"
    assert drawn.takeovers[0].tested is not None
    assert drawn.takeovers[0].tested.y == drawn.estimates[-1].y, "both are 98 %"


def test_one_report_is_a_point_with_its_interval() -> None:
    drawn = chart(quality(0.95), 380)
    assert drawn.segments == ()
    assert drawn.estimates[0].alone
    assert len(drawn.x_ticks) == 1


def test_equal_values_and_errors_have_an_axis() -> None:
    drawn = chart(quality(55.0, 55.0, share=False), 700)
    assert len({tick.at for tick in drawn.y_ticks}) >= 2


def test_the_map_tells_drift_from_noise() -> None:
    fired = dataclasses.replace(CELL, p_value=1e-9, drifted=True)
    assert strength(CELL) < 0.3
    assert 0.55 <= strength(fired) <= 1
    assert strength(dataclasses.replace(CELL, p_value=0.0)) == 1
    drawn = heat(DriftMap((AT,), (DriftRow("brightness", (fired,)), DriftRow("size", (None,))), 0), 380)
    assert len(drawn.cells) == 1
    assert "brightness" in drawn.cells[0].title
    assert drawn.spoken.endswith("drift in brightness")


@pytest.mark.parametrize("count", [1, 7, 8, 11])
def test_lineage_boxes_do_not_overlap_or_leave_the_picture(count: int) -> None:
    drawn = chain(LineageView("ID", tuple(Node("kind", str(i), "", True) for i in range(count))))
    for one, two in zip(drawn.wide, drawn.wide[1:], strict=False):
        assert one.x + one.width < two.x or one.y + 68 < two.y
    assert all(box.x + box.width <= 1240 and box.y + 68 <= drawn.height for box in drawn.wide)
    assert f"{count} of {count} rechecked" in drawn.spoken


def test_sparks_and_bars_stand_on_nothing_too() -> None:
    assert spark([]).line == ""
    assert spark([None, 2.0, 4.0]).line.count("L") == 2
    assert [bar.height for bar in bars([0, 10])] == [1.5, 48.0]
