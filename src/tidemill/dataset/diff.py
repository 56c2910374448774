"""What changed between two data versions, row by row."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tidemill.dataset.digest import row_hashes
from tidemill.dataset.hashes import as_strings
from tidemill.dataset.read import PackedDataset
from tidemill.domain.dataset import SPLITS, DatasetVersion
from tidemill.domain.digest import Digest


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
class DatasetDiff:
    """From version `old` to `new`, by tag and digest; `columns_retyped` maps a name to its type before and after."""

    old: str
    new: str
    old_digest: Digest
    new_digest: Digest
    splits: tuple[SplitDiff, ...]
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    columns_retyped: Mapping[str, tuple[str, str]]

    @property
    def equal(self) -> bool:
        return self.old_digest == self.new_digest


class _Row(NamedTuple):
    """`name` is '' where rows have none of their own (tables and text)."""

    name: str
    content: bytes
    label: Hashable


def compare(old: PackedDataset, new: PackedDataset) -> DatasetDiff:
    """What changed from `old` to `new`. Rows of tables have no names: a changed cell is a row removed and one added."""
    before = {column.name: column.type for column in old.version.columns}
    after = {column.name: column.type for column in new.version.columns}
    both = before.keys() & after.keys()
    return DatasetDiff(
        old.version.tag,
        new.version.tag,
        old.version.digest,
        new.version.digest,
        tuple(_compare_split(name, old, new) for name in SPLITS if _has(old.version, name) or _has(new.version, name)),
        tuple(sorted(after.keys() - before.keys())),
        tuple(sorted(before.keys() - after.keys())),
        {name: (before[name], after[name]) for name in sorted(both) if before[name] != after[name]},
    )


def _has(version: DatasetVersion, split: str) -> bool:
    return any(each.name == split for each in version.splits)


def _compare_split(name: str, old: PackedDataset, new: PackedDataset) -> SplitDiff:
    shared = _content_columns(old.version) & _content_columns(new.version)
    before, after = _rows(old, name, shared), _rows(new, name, shared)
    gone, come = before - after, after - before
    relabelled = _pair(gone, come, lambda row: row.content, lambda a, b: a.label != b.label)
    renamed = _pair(gone, come, lambda row: row.content, lambda a, b: a.label == b.label)
    changed = _pair(gone, come, lambda row: row.name, lambda a, b: a.name != "")
    counts = [_classes(side.version, name) for side in (old, new)]
    labels = [label for label in (*old.version.classes, *new.version.classes) if label in counts[0].keys() | counts[1]]
    return SplitDiff(
        name,
        before.total(),
        after.total(),
        added=come.total(),
        removed=gone.total(),
        changed=changed,
        relabelled=relabelled,
        renamed=renamed,
        classes={label: (counts[0].get(label, 0), counts[1].get(label, 0)) for label in dict.fromkeys(labels)},
    )


def _content_columns(version: DatasetVersion) -> set[str]:
    return {column.name for column in version.columns if column.role not in ("target", "path")}


def _rows(data: PackedDataset, split: str, columns: set[str]) -> Counter[_Row]:
    if not _has(data.version, split):
        return Counter()
    columns = columns or _content_columns(data.version)  # nothing in common: no row is in both
    target = data.version.column("target").name
    path = next((c.name for c in data.version.columns if c.role == "path" and data.version.task == "image"), None)
    rows: Counter[_Row] = Counter()
    for batch in data.batches(split):
        contents = as_strings(row_hashes(batch, sorted(columns))).tolist()
        names = batch.column(path).to_pylist() if path else [""] * len(contents)
        rows.update(map(_Row, names, contents, batch.column(target).to_pylist()))
    return rows


def _pair(
    gone: Counter[_Row],
    come: Counter[_Row],
    key: Callable[[_Row], Hashable],
    matches: Callable[[_Row, _Row], bool],
) -> int:
    """Take rows that are the same in `key` and that `matches` out of both; the number of pairs."""
    waiting: dict[Hashable, list[_Row]] = defaultdict(list)
    for row in come.elements():
        waiting[key(row)].append(row)
    pairs = []
    for row in gone.elements():
        others = waiting.get(key(row), [])
        found = next((at for at, other in enumerate(others) if matches(row, other)), None)
        if found is not None:
            pairs.append((row, others.pop(found)))
    gone -= Counter(row for row, _ in pairs)
    come -= Counter(other for _, other in pairs)
    return len(pairs)


def _classes(version: DatasetVersion, split: str) -> Mapping[str, int]:
    return version.split(split).classes if _has(version, split) else {}
