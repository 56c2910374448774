"""The pictures of an evaluation report: SVG as text, in the page's colours; a large matrix as a picture in the page."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from tidemill.stages.evaluation.intervals import wilson
from tidemill.stages.evaluation.matrix import cut, heat_map, shares, short
from tidemill.stages.report_charts import figure, text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.stages.evaluate import Evaluation
    from tidemill.stages.evaluation.records import Calibration, Decile, Residuals

DRAWN = 24  # classes: a larger matrix is a picture without words
_CELL, _LABEL = 30, 14  # units; characters
_PLOT, _LEFT, _TOP = 220.0, 52.0, 12.0


def matrix(evaluation: Evaluation, name: str) -> str:
    """The confusion matrix of a split, each row shaded by its share."""
    confusion = np.array(evaluation.confusion)
    title = f"confusion matrix of {name}"
    if len(confusion) > DRAWN:
        address = base64.b64encode(heat_map(confusion)).decode()
        return f'<img class="heat" src="data:image/png;base64,{address}" alt="{escape(title, quote=True)}">'
    names = [cut(label, _LABEL) for label in evaluation.labels]
    left = 14 + 7.4 * max(map(len, names))
    side = _CELL * len(names)
    parts = [f'<path d="M{left:.0f} 4h{side}v{side}h-{side}z" class="axis"/>']
    share = shares(confusion)
    parts += [_cell(left, row, column, int(confusion[row, column]), float(share[row, column]))
              for row, column in zip(*confusion.nonzero(), strict=True)]  # fmt: skip
    for index, label in enumerate(names):
        middle = 4 + _CELL * (index + 0.5)
        parts.append(text(left - 7, middle + 4, label, anchor="end"))
        parts.append(_upright(left + middle, side + 12, label))
    return figure(title, "".join(parts), height=round(side + left + 6), width=round(left + side + 6))


def _cell(left: float, row: int, column: int, count: int, share: float) -> str:
    x, y = left + _CELL * column, 4 + _CELL * row
    tone = "miss" if row != column else "hit"
    return (
        f'<path d="M{x:.0f} {y}h{_CELL}v{_CELL}h-{_CELL}z" class="{tone}" fill-opacity="{math.sqrt(share):.2f}"/>'
        + text(x + _CELL / 2, y + _CELL / 2 + 4, short(count), anchor="middle", style="on" if share > 0.3 else "")
    )


def _upright(x: float, y: float, words: str) -> str:
    return f'<text text-anchor="end" transform="translate({x:.0f} {y})rotate(-90)">{escape(words)}</text>'


def calibration(found: Calibration) -> str:
    """A reliability diagram: how many answers of a confidence are right, with Wilson's intervals, and how many."""
    place = _Square((0.0, 1.0), (0.0, 1.0))
    most = max(each.rows for each in found.bins) or 1
    parts = [place.axes(lambda value: f"{value:.0%}"), f'<path d="{place.line((0, 0), (1, 1))}" class="rule"/>']
    width = _PLOT / len(found.bins)
    for index, each in enumerate(found.bins):
        if not each.rows:
            continue
        height = 0.25 * _PLOT * each.rows / most
        bar = f"M{_LEFT + width * index + 1:.1f} {_TOP + _PLOT:.1f}v-{height:.1f}h{width - 2:.1f}v{height:.1f}z"
        share, spread = each.right / each.rows, wilson(each.right, each.rows)
        whisker = place.line((each.confidence, spread.low), (each.confidence, spread.high))
        parts += [
            f'<path d="{bar}" class="area"/>',
            f'<path d="{whisker}" class="curve line"/>',
            place.dot(each.confidence, share, 4.5, "label"),
        ]
    return figure("share of right answers by confidence", "".join(parts), height=268, width=290)


def scatter(found: Residuals) -> str:
    """What was answered against what is true."""
    points = np.array(found.points)
    low, high = _range(points.ravel())
    place = _Square((low, high), (low, high))
    parts = [place.axes(_number), f'<path d="{place.line((low, low), (high, high))}" class="rule"/>',
             *(place.point(*each) for each in points.clip(low, high).tolist())]  # fmt: skip
    return figure("answers against the truth", "".join(parts), height=268, width=290)


def errors_by_answer(found: Residuals) -> str:
    """The error against the answer: a pattern here is something the model could still learn."""
    points = np.array(found.points)
    answers, errors = points[:, 1], points[:, 1] - points[:, 0]
    widest = float(np.abs(_range(errors)).max())
    place = _Square(_range(answers), (-widest, widest))
    low, high = place.x
    parts = [place.axes(_number), f'<path d="{place.line((low, 0), (high, 0))}" class="rule"/>']
    parts += [place.point(*each) for each in zip(answers.clip(low, high), errors.clip(-widest, widest), strict=True)]
    return figure("errors against answers", "".join(parts), height=268, width=290)


def errors(found: Residuals) -> str:
    """How the errors are spread."""
    counts, most = np.array(found.counts), max(found.counts) or 1
    place = _Square((found.edges[0], found.edges[-1]), (0.0, float(most)))
    width = _PLOT / len(counts)
    bars = "".join(f"M{_LEFT + width * index:.1f} {_TOP + _PLOT:.1f}v-{_PLOT * count / most:.1f}h{width:.1f}"
                   f"v{_PLOT * count / most:.1f}z" for index, count in enumerate(counts.tolist()) if count)  # fmt: skip
    parts = [f'<path d="{bars}" class="area"/>', place.axes(_number),
             f'<path d="{place.line((0, 0), (0, most))}" class="rule"/>']  # fmt: skip
    return figure("how the errors are spread", "".join(parts), height=268, width=290)


def deciles(found: Sequence[Decile]) -> str:
    """The mean absolute error of each tenth of the rows, the lowest values first, and the mean error as a dot."""
    top = max(max(each.mae, abs(each.bias)) for each in found) or 1.0
    place = _Square((0.0, float(len(found))), (-top, top))
    width = _PLOT / len(found)
    parts = [place.axes(lambda value: "", _number), f'<path d="{place.line((0, 0), (len(found), 0))}" class="rule"/>']
    for index, each in enumerate(found):
        height = _PLOT / 2 * each.mae / top
        parts.append(f'<path d="M{_LEFT + width * index + 2:.1f} {_TOP + _PLOT / 2:.1f}v-{height:.1f}h{width - 4:.1f}'
                     f'v{height:.1f}z" class="area"/>')  # fmt: skip
        parts.append(place.dot(index + 0.5, each.bias, 4, "label"))
    parts += [text(_LEFT, 256, "lowest", style="soft"), text(_LEFT + _PLOT, 256, "highest", anchor="end", style="soft")]
    return figure("error by decile of the truth", "".join(parts), height=268, width=290)


class _Square:
    """A square plot: from values of `x` and `y` to places on it."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x, self.y = x, y

    def at(self, x: float, y: float) -> str:
        across, up = (x - self.x[0]) / (self.x[1] - self.x[0]), (y - self.y[0]) / (self.y[1] - self.y[0])
        return f"{_LEFT + _PLOT * across:.1f} {_TOP + _PLOT * (1 - up):.1f}"

    def line(self, start: tuple[float, float], end: tuple[float, float]) -> str:
        return f"M{self.at(*start)}L{self.at(*end)}"

    def dot(self, x: float, y: float, radius: float, tone: str) -> str:
        across, up = self.at(x, y).split()
        return f'<circle cx="{across}" cy="{up}" r="{radius}" class="dot {tone}"/>'

    def point(self, x: float, y: float) -> str:
        across, up = self.at(x, y).split()
        return f'<circle cx="{across}" cy="{up}" r="2.4" class="point"/>'

    def axes(self, across: Callable[[float], str], up: Callable[[float], str] | None = None) -> str:
        """The frame, and the ends and the middle of both axes in words."""
        parts = [f'<path d="M{_LEFT} {_TOP}v{_PLOT}h{_PLOT}" class="axis"/>']
        for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
            x, y = (low + share * (high - low) for low, high in (self.x, self.y))
            parts.append(text(_LEFT + share * _PLOT, _TOP + _PLOT + 20, across(x), anchor=anchor, style="soft"))
            parts.append(text(_LEFT - 8, _TOP + (1 - share) * _PLOT + 4, (up or across)(y), anchor="end", style="soft"))
        return "".join(parts)


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = (float(each) for each in np.quantile(values, [0.002, 0.998]))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) > 1e-12 else "0"
