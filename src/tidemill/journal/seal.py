"""Makes Parquet of a finished spool: written beside, fsynced, renamed, and only then is the spool removed.

The module is also a program that does this for one spool: a server that answers thousands of requests a second has no
time for it in its own process.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.domain.prediction import prediction_time
from tidemill.files import fsync_directory, write_atomic
from tidemill.journal.columns import tables, to_parquet
from tidemill.journal.frames import check_header, read_frames
from tidemill.journal.segments import Kind, segment_path


def seal(root: Path, spool: Path) -> None:
    """Seal a spool that nobody appends to any more; doing it twice does no harm.

    Raises StorageError or OSError; then the spool is still there, and counts.
    """
    content = spool.read_bytes()
    check_header(content, spool.name)
    read = read_frames(content)
    for kind, table in tables(read.frames).items():
        _write(root, kind, spool.stem, table)
    if read.ignored:
        write_atomic(root / "torn" / spool.stem, content[read.end :])
    spool.unlink(missing_ok=True)
    fsync_directory(spool.parent)


def _write(root: Path, kind: Kind, stem: str, table: pa.Table) -> None:
    for debris in (root / kind).glob(f".*-{stem}.parquet.*.tmp"):
        debris.unlink(missing_ok=True)
    if not table.num_rows:
        return
    found = pc.min_max(table["at"]).as_py()
    times = [found["min"], found["max"]]
    if kind == "predictions":
        ids = pc.min_max(table["id"]).as_py()  # which sort by their time
        times += [prediction_time(ids["min"]), prediction_time(ids["max"])]
    write_atomic(segment_path(root, kind, min(times), max(times), stem), to_parquet(table))


if __name__ == "__main__":
    os.nice(19)
    gc.disable()  # it would look through a hundred thousand rows, again and again, and find nothing
    seal(Path(sys.argv[1]), Path(sys.argv[2]))
