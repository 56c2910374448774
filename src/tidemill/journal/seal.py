"""Makes Parquet of a finished spool: written beside, fsynced, renamed, and only then is the spool removed.

The module is also a program that does this for one spool: a server that answers thousands of requests a second has no
time for it in its own process.
"""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.domain.prediction import prediction_time
from tidemill.errors import StorageError
from tidemill.files import fsync_directory, write_atomic
from tidemill.journal.batches import is_batch
from tidemill.journal.columns import SCHEMAS, Kind, batch_table, to_parquet, to_table
from tidemill.journal.frames import Frame, check_header, read_frames
from tidemill.journal.records import read_payload
from tidemill.journal.spool import SUFFIX, abandoned

KINDS: tuple[Kind, ...] = ("predictions", "feedback")
_AT_ONCE = 4096  # rows, or batches
_MUCH = 4 << 20  # bytes
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
    for kind, table in zip(KINDS, _tables(read.frames), strict=True):
        _write(root, kind, spool.stem, table)
    if read.ignored:
        write_atomic(root / "torn" / spool.stem, content[read.end :])
    spool.unlink(missing_ok=True)
    fsync_directory(spool.parent)


def seal_apart(root: Path, spool: Path) -> None:
    """As `seal`, in a process that gives way to others. Raises StorageError."""
    command = [sys.executable, "-P", "-m", "tidemill.journal.seal", str(root), str(spool)]
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
    )  # others would start, spin, and do nothing
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=os.environ | threads)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it was killed"]
        raise StorageError(f"the spool {spool.name} could not be sealed: {said[-1]}", "it is tried again")


def seal_abandoned(root: Path) -> int:
    """Seal the spools of writers that died; returns how many. One that cannot be sealed is left for the next time."""
    sealed = 0
    for path in sorted((root / "spool").glob(f"*{SUFFIX}")):
        with abandoned(path) as free, suppress(Exception):  # whatever is wrong with one, the others go on
            if free:
                (seal_apart if path.stat().st_size > _MUCH else seal)(root, path)
                sealed += 1
    return sealed


def _tables(frames: Iterable[Frame]) -> tuple[pa.Table, ...]:
    """The rows of each kind. Some thousand at a time, for a row takes far more room in Python than in a table."""
    waiting: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    batches: list[bytes] = []
    tables: dict[str, list[pa.Table]] = {kind: [SCHEMAS[kind].empty_table()] for kind in KINDS}

    def collect(least: int) -> None:
        for kind in KINDS:
            if len(waiting[kind]) >= least:
                tables[kind].append(to_table(kind, waiting[kind]))
                waiting[kind] = []

    def collect_batches() -> None:
        if batches:
            tables["predictions"].append(batch_table(batches))
            batches.clear()

    size = 0
    for each in frames:
        if is_batch(each.payload):
            batches.append(each.payload)
            size += len(each.payload)
            if size > _MUCH or len(batches) >= _AT_ONCE:
                collect_batches()
                size = 0
            continue
        [row] = read_payload(each.payload)
        waiting["predictions" if row["kind"] == "prediction" else "feedback"].append(row)
        collect(_AT_ONCE)
    collect(1)
    collect_batches()
    return tuple(pa.concat_tables(tables[kind]) for kind in KINDS)


def _write(root: Path, kind: Kind, stem: str, table: pa.Table) -> None:
    folder = root / kind
    for debris in folder.glob(f".*-{stem}.parquet.*.tmp"):
        debris.unlink(missing_ok=True)
    if not table.num_rows:
        return
    found = pc.min_max(table["at"]).as_py()
    times = [found["min"], found["max"]]
    if kind == "predictions":
        ids = pc.min_max(table["id"]).as_py()  # which sort by their time
        times += [prediction_time(ids["min"]), prediction_time(ids["max"])]
    span = "-".join(time.strftime(_TIME) for time in (min(times), max(times)))
    write_atomic(folder / f"{span}-{stem}.parquet", to_parquet(table))


if __name__ == "__main__":
    os.nice(10)
    gc.disable()  # it would look through a hundred thousand rows, again and again, and find nothing
    seal(Path(sys.argv[1]), Path(sys.argv[2]))
