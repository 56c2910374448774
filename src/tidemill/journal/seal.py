"""Makes Parquet of a finished spool: written beside, fsynced, renamed, and only then is the spool removed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from tidemill.domain.prediction import prediction_time
from tidemill.files import fsync_directory, write_atomic
from tidemill.journal.columns import Kind, to_parquet, to_table
from tidemill.journal.frames import check_header, read_frames
from tidemill.journal.records import from_micros, read_payload
from tidemill.journal.spool import SUFFIX, abandoned

_TIME = "%Y%m%dT%H%M%S%fZ"
_NAME = re.compile(r"(\d{8}T\d{12}Z)-(\d{8}T\d{12}Z)-(.+)\.parquet")


class Segment(NamedTuple):
    """A sealed file: the times of its first and last row, and the stem of the spool that it was."""

    path: Path
    first: datetime
    last: datetime
    stem: str


def segments(root: Path, kind: Kind) -> list[Segment]:
    """The sealed files of one kind under the log `root`, oldest first. Files with other names are left alone."""
    folder = root / kind
    if not folder.is_dir():
        return []
    found = []
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match:
            first, last = (datetime.strptime(text, _TIME).replace(tzinfo=UTC) for text in match.groups()[:2])
            found.append(Segment(path, first, last, match[3]))
    return sorted(found)


def seal(root: Path, spool: Path) -> None:
    """Seal a spool that nobody appends to any more; doing it twice does no harm.

    Raises StorageError or OSError; then the spool is still there, and counts.
    """
    content = spool.read_bytes()
    check_header(content, spool.name)
    read = read_frames(content)
    rows = [read_payload(each.payload) for each in read.frames]
    _write(root, "predictions", spool.stem, [row for row in rows if row["kind"] == "prediction"])
    _write(root, "feedback", spool.stem, [row for row in rows if row["kind"] == "feedback"])
    if read.ignored:
        write_atomic(root / "torn" / spool.stem, content[read.end :])
    spool.unlink()
    fsync_directory(spool.parent)


def seal_abandoned(root: Path) -> int:
    """Seal the spools of writers that died; returns how many. One that cannot be sealed is left for the next time."""
    sealed = 0
    for path in sorted((root / "spool").glob(f"*{SUFFIX}")):
        with abandoned(path) as free, suppress(Exception):  # whatever is wrong with one, the others go on
            if free:
                seal(root, path)
                sealed += 1
    return sealed


def _write(root: Path, kind: Kind, stem: str, rows: Sequence[dict[str, Any]]) -> None:
    folder = root / kind
    for debris in folder.glob(f".*-{stem}.parquet.*.tmp"):
        debris.unlink(missing_ok=True)
    if not rows:
        return
    times = [from_micros(row["at"]) for row in rows]
    if kind == "predictions":
        times += [prediction_time(row["id"]) for row in rows]
    span = "-".join(time.strftime(_TIME) for time in (min(times), max(times)))
    write_atomic(folder / f"{span}-{stem}.parquet", to_parquet(to_table(kind, rows)))
