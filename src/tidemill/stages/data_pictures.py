"""Small pictures inside a page, made anew from their pixels: no byte that somebody gave reaches the browser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tidemill.dataset.diff.records import RowSample
from tidemill.dataset.diff.samples import pick
from tidemill.dataset.read import PackedDataset
from tidemill.stages.small_picture import small_picture

SIDE = 96
_ALL_BYTES = 1_500_000  # of all pictures on one page; the rest are shown by name


def small_pictures(old: PackedDataset, new: PackedDataset, samples: Iterable[RowSample]) -> Mapping[RowSample, str]:
    """A data address for each sample that is a picture, as long as there is room for them on a page."""
    wanted: dict[tuple[str, str], dict[int, list[RowSample]]] = {}
    for sample in samples:
        side = "old" if sample.what == "removed" else "new"
        wanted.setdefault((side, sample.split), {}).setdefault(sample.row, []).append(sample)
    found: dict[RowSample, str] = {}
    room = _ALL_BYTES
    for (side, split), rows in wanted.items():
        data = old if side == "old" else new
        column = data.version.column("image").name
        for row, cells in pick(data, split, list(rows), [column]):
            address = small_picture(cells[column], SIDE) if room > 0 else ""
            room -= len(address)
            if address:
                found.update(dict.fromkeys(rows[row], address))
    return found
