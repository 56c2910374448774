"""The difference of two data versions as records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tidemill.dataset.profile import ColumnProfile
from tidemill.domain.digest import Digest

What = Literal["added", "removed", "relabelled", "changed"]


@dataclass(frozen=True, slots=True)
class SplitDiff:
    """One split. `changed` rows kept their name and have other content, `renamed` the reverse, `relabelled` have the
    same content and another label. `classes` gives the rows of each class before and after."""

    name: str
    before: int
    after: int
    added: int
    removed: int
    changed: int
    relabelled: int
    renamed: int
    classes: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class ColumnDiff:
    """A column of a table before and after; None where that version lacks it.

    `values` are what the charts show: the 29 edges of 28 bins of numbers (of dates: seconds since 1970), or the
    categories; `shares` of the rows that have a value, before and after.
    """

    name: str
    before: ColumnProfile | None
    after: ColumnProfile | None
    values: tuple[float, ...] | tuple[str, ...]
    shares: tuple[tuple[float, ...], tuple[float, ...]]

    @property
    def apart(self) -> float:
        """How far apart both sides are, from 0 to 1: half the sum of the differences of `shares` (total variation), or
        the difference of the shares of missing values, whichever is more; 1 where one side lacks the column."""
        if self.before is None or self.after is None:
            return 1.0
        missing = [side.nulls / max(1, side.rows) for side in (self.before, self.after)]
        moved = sum(abs(a - b) for a, b in zip(*self.shares, strict=True)) / 2
        return max(moved, abs(missing[0] - missing[1]))


@dataclass(frozen=True, slots=True)
class RowSample:
    """A row that differs. `row` counts from 0 in the split: of the new version, or of the old one when it is removed.
    `label` is the new one, `was` the one before of a relabelled row. `text` is a text, or a table's row in words."""

    what: What
    split: str
    row: int
    name: str
    label: str
    was: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class DatasetDiff:
    """From version `old` to `new`, by tag and digest; `columns_retyped` maps a name to its type before and after.
    `columns` are those of tables; `samples` some rows of each kind of change."""

    old: str
    new: str
    old_digest: Digest
    new_digest: Digest
    splits: tuple[SplitDiff, ...]
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    columns_retyped: Mapping[str, tuple[str, str]]
    columns: tuple[ColumnDiff, ...] = ()
    samples: tuple[RowSample, ...] = ()

    @property
    def equal(self) -> bool:
        return self.old_digest == self.new_digest
