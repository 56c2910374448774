"""What a column is like, from batches that stream by: the memory needed does not grow with the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

SAMPLE = 20_000
DISTINCT = 20_000
_TOP = 20
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """One column: `low`, `high`, `mean`, `sd` and `quantiles` (at QUANTILES) of numbers; dates have `low` and `high`
    as text; `top` are the most frequent values with their rows. `distinct` stops at 20,000."""

    type: str
    rows: int
    nulls: int
    distinct: int
    low: float | str | None = None
    high: float | str | None = None
    mean: float | None = None
    sd: float | None = None
    quantiles: tuple[float, ...] = ()
    top: Mapping[str, int] = field(default_factory=dict)


class Profiler:
    """Collects the cells of one column and describes them."""

    def __init__(self, type_: str) -> None:
        self._type = type_
        self._rows = self._nulls = self._count = 0
        self._mean = self._squares = 0.0
        self._low: float | str | None = None
        self._high: float | str | None = None
        self._values: Counter[object] = Counter()
        self._full = False  # more different values than are counted
        self._sample = Sample()

    def add(self, cells: pa.Array) -> None:
        """Take cells in. Of numbers every one counts; quantiles are those of a fair sample of 20,000."""
        import pyarrow as pa
        import pyarrow.compute as pc

        self._rows += len(cells)
        self._nulls += cells.null_count
        present = cells.drop_null()
        if not len(present) or pa.types.is_binary(present.type):
            return
        self._count_values(present)
        if pa.types.is_integer(present.type) or pa.types.is_floating(present.type):
            self._add_numbers(present.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
        elif pa.types.is_temporal(present.type) and not pa.types.is_duration(present.type):
            ends = pc.min_max(present)
            self._widen(*(str(ends[side].cast(pa.string())) for side in ("min", "max")))
            if pa.types.is_timestamp(present.type) or pa.types.is_date(present.type):
                self._sample.add(present.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy() / 1e6)

    @property
    def sample(self) -> NDArray[np.float64]:
        """Up to 20,000 of the numbers, each as likely as any other; of dates the seconds since 1970."""
        return self._sample.values()

    def describe(self) -> ColumnProfile:
        """The column as it is so far."""
        top = {_shown(value): rows for value, rows in self._values.most_common(_TOP)}
        measured = self._count > 0
        sample = self.sample
        return ColumnProfile(
            self._type, self._rows, self._nulls, len(self._values), self._low, self._high,
            self._mean if measured else None,
            float(np.sqrt(self._squares / self._count)) if measured else None,
            tuple(float(value) for value in np.quantile(sample, QUANTILES)) if measured else (),
            top,
        )  # fmt: skip

    def _count_values(self, present: pa.Array) -> None:
        counted = present.value_counts()
        values, counts = counted.field("values"), counted.field("counts").to_pylist()
        if len(values) > DISTINCT or self._full:
            self._full = True
            known = self._values
            if len(known) < DISTINCT:  # remember what there is room for; the rest is beyond counting
                room = DISTINCT - len(known)
                for value, count in zip(values.slice(0, room).to_pylist(), counts, strict=False):
                    known[value] += count
            return
        for value, count in zip(values.to_pylist(), counts, strict=True):
            self._values[value] += count
        self._full = len(self._values) > DISTINCT

    def _add_numbers(self, values: NDArray[np.float64]) -> None:
        mean, size = float(values.mean()), len(values)
        total = self._count + size
        apart = mean - self._mean
        self._squares += float(((values - mean) ** 2).sum()) + apart**2 * self._count * size / total
        self._mean += apart * size / total
        self._count = total
        self._widen(float(values.min()), float(values.max()))
        self._sample.add(values)

    def _widen(self, low: float | str, high: float | str) -> None:
        self._low = low if self._low is None else min(self._low, low)
        self._high = high if self._high is None else max(self._high, high)


class Sample:
    """A fair sample of bounded size: every value draws a number, and the lowest numbers stay. The same each time."""

    def __init__(self, size: int = SAMPLE) -> None:
        self._size = size
        self._random = np.random.default_rng(0)
        self._keys = np.empty(0)
        self._values = np.empty(0)

    def add(self, values: NDArray[np.float64]) -> None:
        """Take values in."""
        keys = self._random.random(len(values))
        if len(self._keys) >= self._size:
            low = keys < self._keys.max()
            keys, values = keys[low], values[low]
        keys, values = np.concatenate([self._keys, keys]), np.concatenate([self._values, values])
        if len(keys) > self._size:
            chosen = np.argpartition(keys, self._size)[: self._size]
            keys, values = keys[chosen], values[chosen]
        self._keys, self._values = keys, values

    def values(self) -> NDArray[np.float64]:
        """The sample, in no order."""
        return self._values


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)[:80]
