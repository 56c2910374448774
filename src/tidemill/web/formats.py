"""Numbers and times as the page writes them; every function here is a filter in the templates."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from tidemill.domain.record import now


def number(value: float | None) -> str:
    """Whole numbers with thousands; others with three significant digits; `–` for None and NaN."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", "−")
    if abs(value) >= 100:
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−")


def measure(value: float | None, share: bool) -> str:
    """A metric: in percent when it is a share, else with four significant digits."""
    if value is None or math.isnan(value):
        return "–"
    return f"{100 * value:.1f} %" if share else f"{value:,.4g}".replace("-", "−")


def difference(value: float | None, share: bool) -> str:
    """A signed difference of two metrics; points of percent when they are shares."""
    if value is None or math.isnan(value):
        return "–"
    shown = f"{100 * abs(value):.1f}" if share else number(abs(value))
    return ("+" if value >= 0 else "−") + shown


def interval(low: float | None, high: float | None, share: bool) -> str:
    """An interval of differences, ` [15.3, 23.4]`; empty where there is none."""
    if low is None or high is None:
        return ""
    factor = 100 if share else 1
    ends = (f"{factor * end:.1f}" if share else number(end) for end in (low, high))
    return f" [{', '.join(ends)}]".replace("-", "−")


def p_value(value: float | None) -> str:
    """A p-value as one reads it: `p 0.0004`, `p < 1e-18`."""
    if value is None:
        return "–"
    if value >= 0.0001:
        return f"p {value:.2g}"
    return f"p < 1e{math.ceil(math.log10(value)):d}" if value > 0 else "p < 1e-300"


def duration(seconds: float | None) -> str:
    """`0.4 s`, `38 s`, `41 min`, `2 h 14 min`, `3 d 4 h`."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def since(at: datetime) -> str:
    """How long ago, without seconds that would change at every look: `just now`, `4 min`, `2 h 14 min`."""
    passed = (now() - at).total_seconds()
    if passed < 60:
        return "just now"
    return f"{passed // 60:.0f} min" if passed < 5400 else duration(passed)


def clock(at: datetime) -> str:
    """Local time of day; with the day when it is not today's."""
    local, today = at.astimezone(), now().astimezone()
    if local.date() == today.date():
        return local.strftime("%H:%M")
    form = "%-d %b %H:%M" if abs(today - local) < timedelta(days=300) else "%-d %b %Y"
    return local.strftime(form)


def precise(at: datetime) -> str:
    """Local date and time to the second, for titles."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def short(text: str, length: int = 16) -> str:
    """The text, its middle left out when it is longer than `length`."""
    if len(text) <= length:
        return text
    head = length // 2
    return text[:head] + "…" + text[len(text) - (length - 1 - head) :]


def cut(text: str, length: int = 80) -> str:
    """The text, its end left out when it is longer than `length`."""
    return text if len(text) <= length else text[: length - 1] + "…"


def digest(text: str) -> str:
    """A digest, or a hash without its prefix, as a person compares it: `9f3c…e1a0`."""
    return short(text.removeprefix("sha256:"), 9)
