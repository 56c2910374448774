"""Values that cannot be: outside of the range that the data set's settings declare for a column."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tidemill.dataset.checks.finding import EXAMPLES, Inspection
from tidemill.dataset.checks.schema import arrow_type
from tidemill.domain.dataset import Column
from tidemill.errors import ConfigError, nearest

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray


class _Range(NamedTuple):
    low: pa.Scalar | None
    high: pa.Scalar | None
    words: str


class Ranges:
    """Takes batches of rows in, and remembers those that hold an impossible value.

    Raises ConfigError for a range of a column that is not there, or that its type has no order for.
    """

    def __init__(self, declared: Mapping[str, tuple[Any, Any]], columns: Sequence[Column]) -> None:
        types = {column.name: column.type for column in columns}
        for name in declared:
            if name not in types:
                raise ConfigError(
                    f"data.checks.ranges.{name}: there is no column {name!r}", nearest(name, types, kind="columns")
                )
        self._ranges = {name: _range(name, ends, types[name]) for name, ends in declared.items()}
        self._rows: list[NDArray[np.int64]] = []
        self._found: dict[str, list[str]] = {name: [] for name in declared}
        self._counts: dict[str, int] = dict.fromkeys(declared, 0)

    def add(self, batch: pa.RecordBatch, rows: NDArray[np.int64]) -> None:
        """Take rows in, whose numbers are `rows`, from 0. A missing value is not impossible."""
        import pyarrow as pa
        import pyarrow.compute as pc

        for name, (low, high, _) in self._ranges.items():
            column = batch.column(name)
            if pa.types.is_null(column.type):
                continue
            below = pc.less(column, low) if low is not None else None
            above = pc.greater(column, high) if high is not None else None
            sides = [side for side in (below, above) if side is not None]
            if not sides:
                continue
            bad = sides[0] if len(sides) == 1 else pc.or_(*sides)
            at = np.flatnonzero(bad.fill_null(False).to_numpy(zero_copy_only=False))
            if len(at):
                self._rows.append(rows[at])
                self._counts[name] += len(at)
                room = EXAMPLES - len(self._found[name])
                self._found[name] += [f"row {rows[i] + 1:,}: {name} = {column[i].as_py()}" for i in at[:room].tolist()]

    def report(self, inspection: Inspection) -> NDArray[np.int64]:
        """Say what was found; returns the rows to leave out."""
        bad = {name: count for name, count in self._counts.items() if count}
        if not bad:
            return np.empty(0, np.int64)
        rows = np.unique(np.concatenate(self._rows))
        said = [f"{name} {self._ranges[name].words} in {count:,}" for name, count in bad.items()]
        inspection.add(
            "impossible", len(rows),
            f"{len(rows):,} row{'' if len(rows) == 1 else 's'} hold{'s' if len(rows) == 1 else ''} impossible values: "
            + "; ".join(said),
            f"correct them, declare another range {inspection.policy.setting('ranges: …')},  or leave the rows out:  "
            "--on-problem leave-out",
            examples=_in_turn([self._found[name] for name in bad]), columns=bad,
        )  # fmt: skip
        return rows if inspection.leaves_out("impossible") else rows[:0]


def _range(name: str, ends: Sequence[Any], kind: str) -> _Range:
    import pyarrow as pa

    where = f"data.checks.ranges.{name}"
    if len(ends) != 2:
        raise ConfigError(f"{where}: must be [lowest, highest], not {list(ends)!r}", "null stands for no limit")
    found = arrow_type(kind)
    if found is None or not (
        pa.types.is_temporal(found) or kind.startswith(("int", "uint", "float", "double", "half"))
    ):
        raise ConfigError(f"{where}: column {name!r} holds {kind}, which has no range", "take it out")
    low, high = (None if end is None else _scalar(where, end, found) for end in ends)
    if low is not None and high is not None and low.as_py() > high.as_py():
        raise ConfigError(f"{where}: {ends[0]} is above {ends[1]}", "write the lowest value first")
    words = "below" if high is None else "above" if low is None else "outside of"
    shown = " to ".join(str(end) for end in ends if end is not None)
    return _Range(low, high, f"{words} {shown}")


def _scalar(where: str, end: Any, kind: pa.DataType) -> pa.Scalar:
    import pyarrow as pa

    try:
        if pa.types.is_temporal(kind):
            return pa.scalar(datetime.datetime.fromisoformat(str(end))).cast(kind)
        return pa.scalar(float(end))
    except (ValueError, TypeError, pa.ArrowException):
        what = "a date such as 2020-01-31" if pa.types.is_temporal(kind) else "a number"
        raise ConfigError(f"{where}: {end!r} is not {what}", "write  [lowest, highest]") from None


def _in_turn(lists: Sequence[Sequence[str]]) -> list[str]:
    """One of each list, then the second of each, and so on."""
    longest = max(len(each) for each in lists)
    return [each[at] for at in range(longest) for each in lists if at < len(each)]
