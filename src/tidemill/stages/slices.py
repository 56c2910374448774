"""Slices of a data version's rows: by the values of a column, and by declared conditions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.domain.where import Where, check_name, parse_where
from tidemill.errors import ConfigError, InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.config.schema import PromotionConfig
    from tidemill.dataset.read import Examples

_MOST = 50
"""A column with more values than this makes no slices."""


def slices_of(examples: Examples, config: PromotionConfig) -> dict[str, NDArray[np.bool_]]:
    """The rows [N] of each slice, by its name; `column=value` for the values of a column.

    A row has its columns by name (of a sentence: `text` and `length`; of a picture: `bytes`), beside `name`, and
    `label` or `value`. Raises ConfigError for a name that rows do not have, and for a condition that makes no sense.
    """
    if not config.slice_by and not config.slices:
        return {}
    conditions = {name: _condition(name, text) for name, text in config.slices.items()}
    rows = [_row(examples, index) for index in range(len(examples.names))]
    known = {name for row in rows for name in row}
    for name in config.slice_by:
        _known("promotion.slice_by", name, known)
    found: dict[str, NDArray[np.bool_]] = {}
    for name in config.slice_by:
        found |= _by_value(name, rows)
    for name, condition in conditions.items():
        for each in condition.names:
            _known(f"promotion.slices.{name}", each, known)
        found[name] = _mask(name, condition, rows)
    return found


def _row(examples: Examples, index: int) -> dict[str, Any]:
    given = examples.inputs[index]
    if isinstance(given, Mapping):
        row = {**given}
    elif isinstance(given, str):
        row = {"text": given, "length": len(given)}
    else:
        row = {"bytes": len(given)}
    row.setdefault("name", examples.names[index])
    if examples.values is None:
        row.setdefault("label", examples.labels[index])
    else:
        row.setdefault("value", float(examples.values[index]))
    return row


def _condition(name: str, text: str) -> Where:
    try:
        return parse_where(text)
    except InputError as error:
        raise ConfigError(f"promotion.slices.{name}: {error.headline}", error.remedy) from None


def _known(setting: str, name: str, known: set[str]) -> None:
    try:
        check_name(name, known, kind="what a row has")
    except InputError as error:
        raise ConfigError(f"{setting}: {error.headline}", error.remedy) from None


def _by_value(column: str, rows: list[dict[str, Any]]) -> dict[str, NDArray[np.bool_]]:
    values = ["" if row.get(column) is None else str(row[column]) for row in rows]
    distinct = sorted(set(values))
    if len(distinct) > _MOST:
        raise ConfigError(
            f"promotion.slice_by: {column} has {len(distinct):,} values, at most {_MOST} make slices",
            f"declare slices of it, as  promotion.slices.high='{column} > 10'",
        )
    array = np.asarray(values)
    return {f"{column}={value or '(none)'}": array == value for value in distinct}


def _mask(name: str, condition: Where, rows: list[dict[str, Any]]) -> NDArray[np.bool_]:
    try:
        return np.fromiter((condition.matches(row) for row in rows), bool, len(rows))
    except InputError as error:
        raise ConfigError(f"promotion.slices.{name}: {error.headline}", error.remedy) from None
