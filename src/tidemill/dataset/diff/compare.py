"""Comparing two data versions: only shards that they do not share are read row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tidemill.dataset.diff.columns import compare_columns
from tidemill.dataset.diff.match import match
from tidemill.dataset.diff.records import DatasetDiff, RowSample, SplitDiff
from tidemill.dataset.diff.rows import content_columns, has_split, read_rows
from tidemill.dataset.diff.samples import sample_rows
from tidemill.dataset.read import PackedDataset
from tidemill.domain.dataset import SPLITS, DatasetVersion

if TYPE_CHECKING:
    from tidemill.dataset.diff.match import Matched


def compare(old: PackedDataset, new: PackedDataset) -> DatasetDiff:
    """What changed from `old` to `new`. Rows of tables have no names: a changed cell is a row removed and one added."""
    before = {column.name: column.type for column in old.version.columns}
    after = {column.name: column.type for column in new.version.columns}
    both = before.keys() & after.keys()
    splits: list[SplitDiff] = []
    samples: list[RowSample] = []
    for name in SPLITS:
        if has_split(old.version, name) or has_split(new.version, name):
            found = _match(old, new, name)
            splits.append(_split(name, old.version, new.version, found))
            samples += sample_rows(old, new, name, found)
    return DatasetDiff(
        old.version.tag,
        new.version.tag,
        old.version.digest,
        new.version.digest,
        tuple(splits),
        tuple(sorted(after.keys() - before.keys())),
        tuple(sorted(before.keys() - after.keys())),
        {name: (before[name], after[name]) for name in sorted(both) if before[name] != after[name]},
        compare_columns(old, new) if "tabular" in (old.version.task, new.version.task) else (),
        tuple(samples),
    )


def _match(old: PackedDataset, new: PackedDataset, split: str) -> Matched:
    columns = content_columns(old.version) & content_columns(new.version)
    sides = []
    for data in (old, new):
        wanted = columns or content_columns(data.version)  # nothing in common: no row is in both
        sides.append(read_rows(data, split, sorted(wanted), _shared(old.version, new.version, split)))
    return match(*sides)


def _shared(old: DatasetVersion, new: DatasetVersion, split: str) -> frozenset[str]:
    """The shards that both versions have in a split: their rows are equal, and pair with each other."""
    paths = [{(s.path, s.digest) for s in side.split(split).shards} if has_split(side, split) else set()
             for side in (old, new)]  # fmt: skip
    return frozenset(path for path, _ in paths[0] & paths[1])


def _split(name: str, old: DatasetVersion, new: DatasetVersion, found: Matched) -> SplitDiff:
    counts = [_classes(side, name) for side in (old, new)]
    labels = [label for label in (*old.classes, *new.classes) if label in counts[0].keys() | counts[1]]
    return SplitDiff(
        name,
        old.split(name).rows if has_split(old, name) else 0,
        new.split(name).rows if has_split(new, name) else 0,
        added=len(found.added),
        removed=len(found.removed),
        changed=len(found.changed),
        relabelled=len(found.relabelled),
        renamed=len(found.renamed),
        classes={label: (counts[0].get(label, 0), counts[1].get(label, 0)) for label in dict.fromkeys(labels)},
    )


def _classes(version: DatasetVersion, split: str) -> Mapping[str, int]:
    return version.split(split).classes if has_split(version, split) else {}
