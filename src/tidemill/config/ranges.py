"""What `checks.ranges` declares of a column."""

from __future__ import annotations

from typing import Any

from tidemill.errors import ConfigError


def ends_of(dataset: str, column: str, ends: list[Any]) -> tuple[Any, Any]:
    """The lowest and the highest value: numbers, dates as text, None for no limit. Raises ConfigError."""
    if len(ends) != 2:
        raise ConfigError(
            f"{dataset}.yaml, checks.ranges.{column}: must be [lowest, highest], not {ends!r}",
            "null stands for no limit",
        )
    return ends[0], ends[1]
