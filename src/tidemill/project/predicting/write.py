"""Answers into a file, so that whoever is killed on the way goes on where he was.

Beside the file FILE that is asked for, a folder .FILE.parts takes finished answers every two seconds, as parts that are
written whole; rows are counted by what the parts hold. When all are there, they are put together in one file, which is
renamed to FILE, and the folder goes. A command that finds such a folder of the same work goes on behind its last part.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.domain.digest import Digest
from tidemill.errors import InputError, StorageError
from tidemill.files import fsync_directory, locked, write_atomic
from tidemill.project.layout import Layout
from tidemill.project.predicting.annotate import Annotator
from tidemill.project.predicting.formats import check_out, check_schema, table_writer
from tidemill.project.predicting.job import PROBLEM, WHERE, Job, Named, open_job
from tidemill.project.predicting.sources import Pictures

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.ports import Reporter

_SECONDS, _ROWS, _BYTES = 2.0, 65_536, 64 << 20  # of a part, at most
_NAMED = 10
_PLAN, _LOCK, _WHOLE = "plan.json", "lock", "whole"
_FORM = 1  # of the parts


@dataclass(frozen=True, slots=True)
class Written:
    """`rows` of which `answered` have an answer; `problems` are the first ten of the others.

    `found` rows had been answered before by a command that was interrupted.
    """

    rows: int
    answered: int
    problems: tuple[Named, ...]
    found: int


def predict(
    layout: Layout | None,
    model: str,
    paths: Sequence[str],
    *,
    out: Path,
    column: str | None = None,
    annotate: Path | None = None,
    reporter: Reporter | None = None,
) -> Written:
    """Answer everything at `paths` with `model` into `out`: .csv, .tsv, .parquet or .jsonl.

    With `annotate`, copies of the pictures with their answers go to that folder. Readers see all of `out`, or nothing.
    Raises InputError when nothing could be answered, BusyError when another command is at the same file.
    """
    check_out(out)
    job = open_job(layout, model, paths, column=column)
    check_schema(job.schema, out)
    annotator = annotator_of(job, annotate)
    folder = out.with_name(f".{out.name}.parts")
    with locked(folder / _LOCK, timeout=0, what=str(out)):
        _begin(folder, _plan(job, column, annotate))
        written = _write(job, folder, annotator, reporter)
        if not written.answered:
            shutil.rmtree(folder, ignore_errors=True)
            name, problem = written.problems[0]
            raise InputError(f"nothing could be answered; the first, {name}: {problem}", "check what was given")
        _put_together(job, folder, out, keep_problems=bool(written.problems))
        shutil.rmtree(folder, ignore_errors=True)
    return written


def annotator_of(job: Job, folder: Path | None) -> Annotator | None:
    """What draws answers on copies in `folder`. Raises InputError where there are no pictures."""
    if folder is None:
        return None
    if not isinstance(job.source, Pictures):
        raise InputError(
            "--annotate is for pictures", f"{job.predictor.bundle.name} answers {job.predictor.bundle.task}"
        )
    return Annotator(folder, job.source.files, job.source.below())


def _plan(job: Job, column: str | None, annotate: Path | None) -> bytes:
    """What the work is, by the model's digest and each file's size and time."""
    files = [[str(file.absolute()), *_identity(file)] for file in job.source.files]
    plan = {
        "form": _FORM,
        "bundle": job.predictor.opened.digest,
        "files": Digest.of_json(files),
        "column": column,
        "annotate": annotate and str(annotate.absolute()),
    }
    return json.dumps(plan, indent=2).encode()


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _begin(folder: Path, plan: bytes) -> None:
    """Keep the parts of the same work; those of other work go."""
    known = folder / _PLAN
    if known.is_file() and known.read_bytes() == plan:
        return
    for part in folder.iterdir():
        if part.name != _LOCK:
            part.unlink()
    write_atomic(known, plan)


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.parquet"))


def _write(job: Job, folder: Path, annotator: Annotator | None, reporter: Reporter | None) -> Written:
    import pyarrow.parquet as pq

    parts = _parts(folder)
    found = sum(pq.read_metadata(part).num_rows for part in parts)
    look = annotator.look if annotator else None
    for table in _gathered(job.tables(found, reporter, look)):
        _write_part(folder / f"{len(parts):08}.parquet", table)
        parts.append(folder)
    return _count(folder, found)


def _gathered(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The tables put together to parts: small ones of two seconds' work, or of so many rows or bytes."""
    import pyarrow as pa

    waiting: list[Any] = []
    begun, rows, size = time.monotonic(), 0, 0
    for table in tables:
        waiting.append(table)
        rows, size = rows + table.num_rows, size + table.nbytes
        if rows >= _ROWS or size >= _BYTES or time.monotonic() - begun >= _SECONDS:
            yield pa.concat_tables(waiting)
            waiting.clear()
            begun, rows, size = time.monotonic(), 0, 0
    if waiting:
        yield pa.concat_tables(waiting)


def _write_part(path: Path, table: pa.Table) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = pa.BufferOutputStream()
    pq.write_table(table, content, compression="zstd")
    write_atomic(path, content.getvalue())


def _count(folder: Path, found: int) -> Written:
    import pyarrow.parquet as pq

    rows = bad = 0
    named: list[Named] = []
    for part in _parts(folder):
        table = pq.read_table(part, columns=[PROBLEM, WHERE])
        rows += table.num_rows
        wrong = table.filter(table[PROBLEM].is_valid())
        bad += wrong.num_rows
        first = wrong.slice(0, _NAMED - len(named)).to_pylist()
        named += [Named(row[WHERE], row[PROBLEM]) for row in first]
    return Written(rows, rows - bad, tuple(named), found)


def _put_together(job: Job, folder: Path, out: Path, *, keep_problems: bool) -> None:
    import pyarrow.parquet as pq

    dropped = [WHERE] if keep_problems else [WHERE, PROBLEM]
    names = [name for name in job.schema.names if name not in dropped]
    whole = folder / _WHOLE
    schema = job.schema
    for name in dropped:
        schema = schema.remove(schema.get_field_index(name))
    with whole.open("wb") as file:
        with table_writer(out, file, schema) as write:
            for part in _parts(folder):
                write(pq.read_table(part).select(names))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.replace(whole, out)
    except OSError as error:
        raise StorageError(f"{out} cannot be written: {error.strerror}", "run the same command again") from None
    fsync_directory(out.absolute().parent)
