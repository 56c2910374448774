"""Packing a new version of a data set onto the one before: only what is new is written.

Shards all of whose rows are in the new version stay as they are (they are linked), shards that lost rows are written
again without them, rows that no shard has come into new shards. A shard's name says its content, so a remote is only
sent what it does not have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tidemill.dataset.digest import dataset_digest
from tidemill.dataset.hashes import Hashes, counts_in, ranks
from tidemill.dataset.read import PackedDataset
from tidemill.dataset.shard_index import keep_new, shard_hashes
from tidemill.dataset.source import LEFT_OUT, Source
from tidemill.dataset.write import SplitWriter, label_counts, write_record
from tidemill.domain.dataset import SPLITS, DatasetVersion, Shard, Split, Task
from tidemill.files import link_or_copy
from tidemill.process import usable_cores

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray


class Kept(NamedTuple):
    """A shard of the version before: its split, the folder it lies in, and which of its rows stay, bool [rows]."""

    split: str
    shard: Shard
    root: Path
    rows: NDArray[np.bool_]


class Packed(NamedTuple):
    """A packed version, and how many of its rows the version before has in the same split: None where there is none to
    compare with, or its columns are others."""

    version: DatasetVersion
    same: int | None


def pack_onto(
    base: PackedDataset | None, source: Source, into: Path, *, name: str, version: str, task: Task, index: Path | None
) -> Packed:
    """Pack the rows of `source` into the empty folder `into`, next to what stays of `base`.

    `index` is a folder where the row hashes of shards are remembered, if anywhere. Returns the record, which is
    also written.
    """
    hashes, splits = source.rows.hashes, source.rows.splits
    digest = dataset_digest(task, source.kind, source.columns, hashes, splits)
    wanted, kept = _compare(base, source, task, into, index)
    written: dict[str, list[Shard]] = {split: [] for split in SPLITS}
    classes: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    writers = {split: SplitWriter(into, split, source.columns, source.kind) for split in SPLITS}
    for each in kept:
        writer = writers[each.split]
        if each.rows.all():
            written[each.split].append(_take_over(each, into))
            classes[each.split] += _labels(each, source)
        else:
            for batch in _remaining(each):
                writer.write(batch)
            written[each.split] += writer.finish()
    if wanted is None or wanted.any():
        for split, batch in _ahead(source.rows.read(wanted)):
            writers[split].write(batch)
    for split, writer in writers.items():
        new = writer.finish()
        keep_new(source, task, split, new, wanted, index)
        written[split] += new
        classes[split] += writer.classes
    _verify(into, [each.shard for each in kept if each.rows.all()])
    packed = write_record(
        into,
        DatasetVersion(
            name, version, task, source.kind, digest, source.columns,
            tuple(
                Split(split, sum(s.rows for s in shards), dict(sorted(classes[split].items())), tuple(shards))
                for split, shards in written.items() if shards
            ),
        ),
    )  # fmt: skip
    return Packed(packed, None if wanted is None else int(sum(each.rows.sum() for each in kept)))


def _ahead(rows: Iterator[tuple[str, pa.RecordBatch]]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """`rows`, of which the next are read while the last are written."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, rows, None)
        while (found := coming.result()) is not None:
            coming = pool.submit(next, rows, None)
            yield found


def _compare(
    base: PackedDataset | None, source: Source, task: Task, scratch: Path, index: Path | None
) -> tuple[NDArray[np.bool_] | None, list[Kept]]:
    """Which rows of `source` no shard of `base` has (None: all), and what stays of the shards."""
    if base is None or (base.version.columns, base.version.kind) != (source.columns, source.kind):
        return None, []
    shards = [(split.name, shard) for split in base.version.splits for shard in split.shards]
    old, places = Hashes(scratch), []
    for split, shard in shards:
        found = shard_hashes(base, shard, index)
        old.add(found)
        places.append(np.full(len(found), SPLITS.index(split), np.uint8))
    wanted, stays = _match(source, old, np.concatenate(places))
    kept, start = [], 0
    for split, shard in shards:
        rows = stays[start : start + shard.rows]
        start += shard.rows
        if rows.any():
            kept.append(Kept(split, shard, base.root, rows))
    return wanted, kept


def _match(source: Source, old: Hashes, places: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which new rows are in no old split as often, bool [N]; which old rows are in the new ones as often, bool [M]."""
    hashes, splits = source.rows.hashes, source.rows.splits
    wanted, stays = splits != LEFT_OUT, np.zeros(len(old), bool)
    for bounds in max(hashes, old, key=len).bounds():
        new_at, new = hashes.within(*bounds)
        old_at, before = old.within(*bounds)
        for place in range(len(SPLITS)):
            a, b = splits[new_at] == place, places[old_at] == place
            ours, theirs = new[a], before[b]
            wanted[new_at[a]] = ranks(ours) >= counts_in(ours, theirs)
            stays[old_at[b]] = ranks(theirs) < counts_in(theirs, ours)
    return wanted, stays


def _take_over(kept: Kept, into: Path) -> Shard:
    final = into / kept.shard.path
    final.parent.mkdir(parents=True, exist_ok=True)
    link_or_copy(kept.root / kept.shard.path, final)
    return kept.shard


def _labels(kept: Kept, source: Source) -> Counter[str]:
    import pyarrow.parquet as pq

    target = next(column.name for column in source.columns if column.role == "target")
    counts: Counter[str] = Counter()
    if source.kind == "classification":
        for batch in pq.ParquetFile(kept.root / kept.shard.path).iter_batches(columns=[target]):
            counts += label_counts(batch.column(0), source.kind)
    return counts


def _remaining(kept: Kept) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    start = 0
    for batch in pq.ParquetFile(kept.root / kept.shard.path).iter_batches(batch_size=1024):
        yield batch.filter(pa.array(kept.rows[start : start + batch.num_rows]))
        start += batch.num_rows


def _verify(root: Path, shards: list[Shard]) -> None:
    """Raises DataError when a shard that was taken over is not what its record says."""
    from tidemill.dataset.read import check_shard

    with ThreadPoolExecutor(usable_cores()) as pool:
        for _ in pool.map(lambda shard: check_shard(root, shard, verify=True), shards):
            pass
