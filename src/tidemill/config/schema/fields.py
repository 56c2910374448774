"""How a setting is declared: a dataclass field, with the range of its number."""

from __future__ import annotations

from dataclasses import field
from typing import Any


def bounded(default: Any, *, low: float | None = None, high: float | None = None, above: float | None = None) -> Any:
    """A dataclass field whose number must lie in [low, high], and be greater than `above`."""
    return field(default=default, metadata={"low": low, "high": high, "above": above})


def limits(*, low: float | None = None, high: float | None = None, longest: int | None = None) -> dict[str, Any]:
    """Metadata of a field that is a list: one to `longest` values, each number in [low, high]."""
    return {"low": low, "high": high, "above": None, "longest": longest}
