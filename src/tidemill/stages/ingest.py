"""Read what a user gives (an image folder, a table, texts), check all of it, and pack it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from tidemill.dataset.checks.finding import Inspection
from tidemill.dataset.packing import pack_onto
from tidemill.dataset.picture_folder import read_folder
from tidemill.dataset.read import PackedDataset
from tidemill.dataset.reading import Reading
from tidemill.dataset.rows import read_rows
from tidemill.dataset.sentences import read_sentences
from tidemill.dataset.source import Note, Pictures, Progress, Source
from tidemill.dataset.tables import SUFFIXES, read_tables, split_files
from tidemill.domain.dataset import SPLITS, DatasetVersion, Task
from tidemill.errors import DataError, TidemillError

__all__ = ["Ingested", "Reading", "ingest"]


class Ingested(NamedTuple):
    """A packed data set, what its pictures are like (None for tables and text), and how many of its rows `base` has
    (None where it cannot be compared)."""

    version: DatasetVersion
    pictures: Pictures | None
    same: int | None


def ingest(
    path: Path,
    into: Path,
    *,
    name: str,
    version: str,
    task: Task,
    reading: Reading,
    previous: DatasetVersion | None,
    note: Note,
    progress: Progress,
    base: PackedDataset | None = None,
    cache: Path | None = None,
    inspection: Inspection | None = None,
) -> Ingested:
    """Pack the data at `path` into the empty folder `into`.

    `previous` is the version whose columns the new one must have, if any. Shards of `base` are taken over where they
    hold what is to be packed. `cache` is a folder for what was found out about files and shards. `note` hears what the
    user should know, `progress` how many files are checked, `inspection` what the checks find. Raises DataError for
    data that cannot be used, naming file and remedy, and for findings that are to stop it.
    """
    _check_path(path, task)
    inspection = inspection or Inspection()
    try:
        source = _read(path, into, task, reading, previous, note, progress, cache, inspection)
    except TidemillError:
        inspection.refuse(path)  # what was found before may be the cause
        raise
    inspection.refuse(path)
    _check_not_emptied(source)
    if previous is not None and source.kind != previous.kind:
        raise DataError(
            f"{path} makes a {source.kind}, but {previous.tag} is a {previous.kind}",
            f"say --kind {previous.kind}, or give it another --name",
        )
    index = cache and cache / "rows"
    packed = pack_onto(base, source, into, name=name, version=version, task=task, index=index)
    _mention_unlearnable(packed.version, note)
    return Ingested(packed.version, source.pictures, packed.same)


def _read(
    path: Path, scratch: Path, task: Task, reading: Reading, previous: DatasetVersion | None, note: Note,
    progress: Progress, cache: Path | None, inspection: Inspection,
) -> Source:  # fmt: skip
    if task == "image":
        return _read_pictures(path, reading, note, progress, cache, inspection)
    tables = read_tables(path, inspection, header=reading.header, text=reading.as_text, steps=reading.steps)
    if task == "text":
        return read_sentences(
            path, tables, text=reading.text, target=reading.target, kind=reading.kind, previous=previous, note=note,
            scratch=scratch, inspection=inspection,
        )  # fmt: skip
    return read_rows(
        path, tables, target=reading.target, kind=reading.kind, previous=previous, note=note, scratch=scratch,
        inspection=inspection,
    )  # fmt: skip


def _read_pictures(
    path: Path, reading: Reading, note: Note, progress: Progress, cache: Path | None, inspection: Inspection
) -> Source:
    """Class folders, or tables with pictures in them."""
    tables = path.is_file() or any(each.suffix.lower() == ".parquet" for each in path.iterdir())
    if not tables:
        return read_folder(path, note=note, progress=progress, cache=cache and cache / "files", inspection=inspection)
    from tidemill.dataset.picture_table import read_picture_tables

    files: dict[str | None, list[Path]] = split_files(path) if path.is_dir() else {None: [path]}
    return read_picture_tables(files, reading, progress=progress, inspection=inspection)


def _check_not_emptied(source: Source) -> None:
    """Raises DataError when nothing of a split remains after what was left out."""
    counts = np.bincount(source.rows.splits, minlength=len(SPLITS))[: len(SPLITS)]
    for split, count in zip(SPLITS, counts.tolist(), strict=True):
        if not count:
            raise DataError(f"after what was left out, nothing of the {split} split remains", "add more rows")


def _check_path(path: Path, task: Task) -> None:
    if not path.exists():
        raise DataError(f"{path} does not exist", "check the path")
    if task == "image":
        if path.is_file() and path.suffix.lower() != ".parquet":
            raise DataError(
                f"{path} is no folder",
                "this project's task is image: give a folder of class folders with pictures, an archive, or Parquet",
            )
    elif path.is_file() and path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path} is no table", f"this project's task is {task}: give a .parquet, .csv or .tsv file")
    if path.is_dir() and not any(path.iterdir()):
        raise DataError(f"{path} is empty", "put the data there, or check the path")


def _mention_unlearnable(version: DatasetVersion, note: Note) -> None:
    """Say which classes a model is tested on without ever seeing one of them."""
    counts = {split.name: split.classes for split in version.splits}
    absent = [label for label in version.classes if not counts["train"].get(label)]
    if absent:
        note(f"no row of train has the class {', '.join(absent)}: no model can learn it from this version")
