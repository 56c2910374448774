"""The pictures of a drift report: SVG as text, in the page's colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidemill.domain.drift import QualityEstimate

_WIDTH, _HEIGHT = 360, 150
_BOTTOM = 122
_BINS = 28


def figure(title: str, body: str, *, height: int = _HEIGHT, width: int = _WIDTH) -> str:
    """An SVG that fills its column; `title` is what a screen reader says."""
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title, quote=True)}">{body}</svg>'


def text(x: float, y: float, words: str, *, anchor: str = "start", style: str = "") -> str:
    """A line of text whose `style` is a class name."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{style}">{escape(words)}</text>'


def intervals(lines: Sequence[tuple[str, QualityEstimate]], formatted: Sequence[str]) -> str:
    """Each quality as a point with its 95 % interval, on one axis; the first one's value is drawn through all."""
    low = min(quality.low for _, quality in lines)
    high = max(quality.high for _, quality in lines)
    margin = (high - low or abs(high) or 1.0) * 0.08
    left, right = 150.0, 590.0

    def place(value: float) -> float:
        return left + (value - low + margin) / (high - low + 2 * margin) * (right - left)

    height = 34 * len(lines) + 12
    centre = place(lines[0][1].value)
    parts = [f'<path d="M{centre:.1f} 6V{height - 6}" class="rule"/>']
    for row, ((name, quality), words) in enumerate(zip(lines, formatted, strict=True)):
        y = 24 + 34 * row
        tone = ("base", "estimate", "label")[min(row, 2)] if len(lines) == 3 else _tone(quality)
        parts += [
            text(left - 14, y + 4, name, anchor="end"),
            f'<path d="M{place(quality.low):.1f} {y}H{place(quality.high):.1f}" class="whisker {tone}"/>',
            f'<circle cx="{place(quality.value):.1f}" cy="{y}" r="5.5" class="dot {tone}"/>',
            text(right + 14, y + 4, words),
        ]
    return figure("quality with 95 % intervals", "".join(parts), height=height, width=820)


def _tone(quality: QualityEstimate) -> str:
    return {"reference": "base", "labels": "label"}.get(quality.method, "estimate")


def distribution(name: str, reference: NDArray[Any], window: NDArray[Any]) -> str:
    """Reference (filled) against window (line): a histogram of numbers, or bars of categories."""
    if reference.dtype.kind in "fiu" and window.dtype.kind in "fiu":
        return _histogram(name, reference[np.isfinite(reference)], window[np.isfinite(window)])
    return _bars(name, reference.astype(str), window.astype(str))


def _histogram(name: str, reference: NDArray[Any], window: NDArray[Any]) -> str:
    both = np.concatenate([reference, window]).astype(np.float64)
    low, high = np.quantile(both, [0.005, 0.995]) if len(both) else (0.0, 1.0)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _BINS + 1)
    shares = [np.histogram(values.clip(low, high), edges)[0] / max(1, len(values)) for values in (reference, window)]
    return histogram(name, edges, (shares[0], shares[1]), ("reference", "window"))


def histogram(
    name: str, edges: NDArray[np.float64], shares: tuple[NDArray[np.float64], NDArray[np.float64]],
    sides: tuple[str, str], shown: Callable[[float], str] = lambda value: f"{value:.3g}",
) -> str:  # fmt: skip
    """The shares in bins between `edges` [B + 1], of the first side filled [B] and of the second as a line [B]."""
    top = max(float(max(share.max() for share in shares)), 1e-9)
    steps = [_steps(share / top) for share in shares]
    body = (
        f'<path d="{steps[0]}L{_WIDTH - 8} {_BOTTOM}L8 {_BOTTOM}z" class="area"/><path d="{steps[1]}" class="line"/>'
        f'<path d="M8 {_BOTTOM}H{_WIDTH - 8}" class="axis"/>'
        + text(8, _HEIGHT - 10, shown(float(edges[0])), style="soft")
        + text(_WIDTH - 8, _HEIGHT - 10, shown(float(edges[-1])), anchor="end", style="soft")
    )
    return figure(f"distribution of {name}, {sides[0]} and {sides[1]}", body)


def _steps(heights: NDArray[np.float64]) -> str:
    width = (_WIDTH - 16) / len(heights)
    points = [f"M8 {_BOTTOM}"]
    for index, height in enumerate(heights):
        points.append(f"V{_BOTTOM - 108 * height:.1f}H{8 + (index + 1) * width:.1f}")
    return "".join(points)


def _bars(name: str, reference: NDArray[Any], window: NDArray[Any]) -> str:
    """The twelve most frequent categories, side by side."""
    values, codes = np.unique(np.concatenate([reference, window]), return_inverse=True)
    shares = [np.bincount(part, minlength=len(values)) / max(1, len(part))
              for part in np.split(codes, [len(reference)])]  # fmt: skip
    shown = np.sort(np.argsort(-(shares[0] + shares[1]), kind="stable")[:12])
    names = [str(values[value]) for value in shown]
    return bars(name, names, (shares[0][shown], shares[1][shown]), ("reference", "window"))


def bars(
    name: str, values: Sequence[str], shares: tuple[NDArray[np.float64], NDArray[np.float64]], sides: tuple[str, str]
) -> str:
    """The shares of `values` [C], both sides [C] beside each other."""
    top = max(float(shares[0].max(initial=0)), float(shares[1].max(initial=0)), 1e-9)
    slot = (_WIDTH - 16) / max(1, len(values))
    parts = [f'<path d="M8 {_BOTTOM}H{_WIDTH - 8}" class="axis"/>']
    for index, value in enumerate(values):
        for side, (share, style) in enumerate(zip(shares, ("area", "bar"), strict=True)):
            height = 108 * share[index] / top
            x = 8 + index * slot + slot * (0.1 + 0.4 * side)
            parts.append(f'<rect x="{x:.1f}" y="{_BOTTOM - height:.1f}" width="{slot * 0.4:.1f}" '
                         f'height="{height:.1f}" rx="1.5" class="{style}"/>')  # fmt: skip
        parts.append(text(8 + (index + 0.5) * slot, _HEIGHT - 10, value[: max(1, int(slot / 7))], anchor="middle",
                          style="soft"))  # fmt: skip
    return figure(f"share of each {name}, {sides[0]} and {sides[1]}", "".join(parts))


def reliability(
    reference: tuple[NDArray[np.float64], NDArray[np.bool_]], window: tuple[NDArray[np.float64], NDArray[np.bool_]]
) -> str:
    """How often answers of a confidence are right, by tenths of the rows: reference as a line, window as dots."""
    size, left, top = 180.0, 44.0, 10.0

    def place(confidence: float, share: float) -> str:
        return f"{left + confidence * size:.1f} {top + (1 - share) * size:.1f}"

    parts = [f'<path d="M{place(0, 0)}L{place(1, 1)}" class="rule"/>',
             f'<path d="M{place(0, 1)}L{place(0, 0)}L{place(1, 0)}" class="axis" fill="none"/>']  # fmt: skip
    known = _binned(*reference)
    parts.append(f'<path d="M{"L".join(place(*point) for point in known)}" class="estimate curve"/>')
    parts += [_dot(place(*point), 3.0, "estimate") for point in known]
    parts += [_dot(place(*point), 4.0, "label") for point in _binned(*window)]
    for share in (0.0, 0.5, 1.0):
        parts.append(text(left - 8, top + (1 - share) * size + 4, f"{share:.0%}", anchor="end", style="soft"))
        parts.append(text(left + share * size, top + size + 18, f"{share:.0%}", anchor="middle", style="soft"))
    parts.append(text(left + size + 16, top + 20, "right, by confidence", style="soft"))
    parts.append(text(left + size + 16, top + 44, "— reference"))
    parts.append(text(left + size + 16, top + 66, "○ window, labelled"))
    return figure("share of right answers by confidence", "".join(parts), height=220, width=_WIDTH)


def _dot(place: str, radius: float, tone: str) -> str:
    x, y = place.split()
    return f'<circle cx="{x}" cy="{y}" r="{radius}" class="dot {tone}"/>'


def _binned(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Mean confidence and share right of up to ten groups of equal size."""
    if not len(confidence):
        return []
    order = np.argsort(confidence, kind="stable")
    groups = np.array_split(order, min(10, max(1, len(order) // 10)))
    return [(float(confidence[group].mean()), float(correct[group].mean())) for group in groups]
