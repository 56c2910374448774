"""Some rows of each kind of change, to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.dataset.diff.match import Matched
from tidemill.dataset.diff.records import RowSample, What
from tidemill.dataset.read import PackedDataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

PER_KIND = 24
_CELLS = 6


def sample_rows(old: PackedDataset, new: PackedDataset, split: str, found: Matched) -> list[RowSample]:
    """At most 24 rows of each kind, spread evenly over the split."""
    relabelled, changed = _some(found.relabelled), _some(found.changed)
    before = dict(pick(old, split, [*_some(found.removed).tolist(), *relabelled[:, 0].tolist()]))
    after = dict(
        pick(new, split, [*_some(found.added).tolist(), *(relabelled[:, 1].tolist()), *changed[:, 1].tolist()])
    )
    samples = [_sample("added", new, split, row, after[row]) for row in _some(found.added).tolist()]
    samples += [_sample("removed", old, split, row, before[row]) for row in _some(found.removed).tolist()]
    samples += [_sample("changed", new, split, row, after[row]) for row in changed[:, 1].tolist()]
    target = old.version.column("target").name
    for was, now in relabelled.tolist():
        samples.append(_sample("relabelled", new, split, now, after[now], was=str(before[was][target])))
    return samples


def _some(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    if len(rows) <= PER_KIND:
        return rows
    return rows[np.linspace(0, len(rows) - 1, PER_KIND).astype(np.int64)]


def pick(
    data: PackedDataset, split: str, rows: Sequence[int], columns: Sequence[str] | None = None
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Some rows of a split by their numbers, in `columns` (all but pictures when None)."""
    import pyarrow.parquet as pq

    wanted = np.array(sorted(set(rows)), np.int64)
    if not len(wanted):
        return
    names = list(columns or [column.name for column in data.version.columns if column.role != "image"])
    start = 0
    for shard in data.version.split(split).shards:
        inside = wanted[(wanted >= start) & (wanted < start + shard.rows)]
        if len(inside):
            with pq.ParquetFile(data.root / shard.path) as opened:
                yield from _from_shard(opened, inside, start, names)
        start += shard.rows


def _from_shard(
    opened: Any, wanted: NDArray[np.int64], start: int, names: Sequence[str]
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for group in range(opened.num_row_groups):
        count = opened.metadata.row_group(group).num_rows
        inside = wanted[(wanted >= start) & (wanted < start + count)]
        if len(inside):
            table = opened.read_row_group(group, columns=list(names)).take(inside - start)
            yield from zip(inside.tolist(), table.to_pylist(), strict=True)
        start += count


def _sample(
    what: What, data: PackedDataset, split: str, row: int, cells: Mapping[str, Any], *, was: str = ""
) -> RowSample:
    version = data.version
    named = {column.role: column.name for column in version.columns}
    name = str(cells[named["path"]]) if "path" in named else f"{split}/{row}"
    text = str(cells[named["text"]]) if version.task == "text" else ""
    if version.task == "tabular":
        shown = [f"{column.name} {_cell(cells[column.name])}" for column in version.features[:_CELLS]]
        text = " · ".join(shown) + (" · …" if len(version.features) > _CELLS else "")
    return RowSample(what, split, row, name, str(cells[named["target"]]), was, text[:300])


def _cell(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)[:40]
