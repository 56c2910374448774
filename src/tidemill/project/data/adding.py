"""Data versions of a project: add, list, compare, push, pull, open."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tidemill.domain.dataset import DatasetVersion, Kind, Task, Version, is_name
from tidemill.errors import DataError, InputError, NotFoundError, StateError, nearest
from tidemill.files import staged_directory
from tidemill.project.layout import Layout, read_marker

if TYPE_CHECKING:
    from tidemill.backends.versions.dvc import DvcStore
    from tidemill.dataset.diff import DatasetDiff
    from tidemill.dataset.read import PackedDataset
    from tidemill.dataset.source import Note, Pictures, Progress
    from tidemill.stages.ingest import Reading

FIRST = Version(1, 0, 0)
_LARGEST_SIDE = 224


class Added(NamedTuple):
    """The version that holds what was given; `new` is False when it was there already."""

    version: DatasetVersion
    new: bool


def store(layout: Layout) -> DvcStore:
    """Where the project keeps its data versions."""
    from tidemill.backends.versions.dvc import DvcStore

    return DvcStore(layout.root, layout.data, layout.datasets, layout.state)


def versions(layout: Layout, name: str | None = None) -> list[DatasetVersion]:
    """Every version (of one data set), by name and then by number."""
    return store(layout).versions(name)


def open_version(layout: Layout, name: str, version: str = "latest") -> PackedDataset:
    """A version, its digests verified. Raises NotFoundError, or StateError when its data is not on this machine."""
    from tidemill.dataset.read import open_dataset

    return replace(open_dataset(store(layout).checkout(name, version)), cache=layout.cache / "pictures")


def push(layout: Layout) -> int:
    """Upload what DVC's default remote lacks; the number of files. Raises StateError without a remote."""
    return store(layout).push()


def pull(layout: Layout) -> int:
    """Download what is missing here; the number of files. Raises StateError without a remote."""
    return store(layout).pull()


def diff(layout: Layout, a: str, b: str) -> DatasetDiff:
    """What changed from version `a` to `b`, which are given as `find` takes them."""
    from tidemill.dataset.diff import compare

    first, second = (find(layout, text) for text in (a, b))
    return compare(open_version(layout, first.name, first.version), open_version(layout, second.name, second.version))


def export(layout: Layout, text: str, out: Path) -> int:
    """Write the version that `text` means into the new folder `out`; the number of files. Raises InputError."""
    from tidemill.dataset.export import export as write_out

    found = find(layout, text)
    if os.path.lexists(out):
        raise InputError(f"{out} exists already", "name a folder that does not")
    source = open_version(layout, found.name, found.version)
    if not out.parent.is_dir():
        raise InputError(f"{out.parent} is no folder to write into", "make it first")
    beside = out.parent / f".{out.name}.{os.getpid()}.tmp"
    try:
        with staged_directory(out, staging=beside) as folder:
            return write_out(source, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def find(layout: Layout, text: str) -> DatasetVersion:
    """The version that `text` means: NAME-vX.Y.Z, X.Y.Z, NAME (its latest) or latest. Raises NotFoundError."""
    known = versions(layout)
    default = read_marker(layout).name
    exact = [each for each in known if text in (each.tag, *([each.version] if each.name == default else []))]
    newest = [each for each in known if each.name == (default if text == "latest" else text)]
    found = exact or newest
    if not found:
        raise NotFoundError(
            f"there is no data version {text!r}", nearest(text, [each.tag for each in known], kind="data versions")
        )
    return found[-1]


def add(
    layout: Layout,
    path: Path,
    *,
    name: str,
    version: str | None = None,
    target: str | None = None,
    text: str | None = None,
    kind: Kind | None = None,
) -> DatasetVersion:
    """Check and pack the data at `path`, and make it a version. Says nothing; `add_version` has all there is to say."""
    from tidemill.stages.ingest import Reading

    reading = Reading(target=target, text=text, kind=kind)
    return add_version(
        layout, path, name=name, version=version, reading=reading, note=lambda _: None, progress=lambda *_: None
    ).version


def add_version(
    layout: Layout, path: Path, *, name: str, version: str | None, reading: Reading, note: Note, progress: Progress
) -> Added:
    """As `add`. `version` None is 1.0.0, then the next minor; content that is there already makes no new version.

    Also commits conf/data/NAME.yaml when it is missing. Raises DataError, StateError; then nothing was changed.
    """
    task = read_marker(layout).task
    wanted = _check_request(layout, path, name, version)
    keep = store(layout)
    known = keep.versions(name)
    _check_task(known, task)
    number = wanted or (Version.parse(known[-1].version).next_minor() if known else FIRST)
    staged = layout.staging / f"{os.getpid()}-{uuid.uuid4().hex}"
    staged.mkdir(parents=True)
    try:
        from tidemill.stages.ingest import ingest

        packed, pictures = ingest(
            path, staged, name=name, version=str(number), task=task, reading=reading,
            previous=_model_of(known, number), note=note, progress=progress,
        )  # fmt: skip
        same = _same(known, packed, wanted, note)
        if same is None:
            _refuse_taken(known, packed)
            keep.save(packed, staged, also=_choice(layout, name, pictures))
            _mention_lower(known, number, note)
        return Added(same or packed, same is None)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _check_request(layout: Layout, path: Path, name: str, version: str | None) -> Version | None:
    if not is_name(name):
        raise DataError(f"{name[:80]!r} cannot name a data set", "use letters, digits, - and _, at most 63")
    where = path.resolve()
    if where.is_relative_to(layout.state.resolve()):
        raise DataError(
            f"{path} is inside {layout.state.name}, which belongs to Tidemill", "copy the data elsewhere first"
        )
    if any((folder / "dataset.json").is_file() for folder in (where, *where.parents)):
        raise DataError(
            f"{path} is a packed data set already", "give the data it was made from; see  tidemill data export"
        )
    if version is None:
        return None
    try:
        return Version.parse(version)
    except ValueError:
        raise DataError(f"{version[:40]!r} is no version", "versions are X.Y.Z, for example 1.0.0") from None


def _check_task(known: Sequence[DatasetVersion], task: Task) -> None:
    if known and known[-1].task != task:
        raise StateError(
            f"{known[-1].tag} holds {known[-1].task} data, but this project's task is {task}", "use another --name"
        )


def _model_of(known: Sequence[DatasetVersion], number: Version) -> DatasetVersion | None:
    """The version whose columns the new one must have: the newest, unless a new major version begins."""
    if not known or number.major > Version.parse(known[-1].version).major:
        return None
    return known[-1]


def _same(
    known: Sequence[DatasetVersion], packed: DatasetVersion, wanted: Version | None, note: Note
) -> DatasetVersion | None:
    """The version that has this content already, unless another number was asked for."""
    equal = [each for each in known if each.digest == packed.digest]
    if wanted is not None:
        equal = [each for each in equal if each.version == packed.version]
    if not equal:
        return None
    if equal[-1] == known[-1] or wanted is not None:
        note(f"unchanged, still {equal[-1].tag}")
    else:
        note(f"this is {equal[-1].tag} again; to make it the newest, say  --version")
    return equal[-1]


def _refuse_taken(known: Sequence[DatasetVersion], packed: DatasetVersion) -> None:
    if any(each.version == packed.version for each in known):
        raise StateError(
            f"{packed.tag} exists already, with other content",
            f"versions never change; the next free one is {Version.parse(known[-1].version).next_minor()}",
        )


def _mention_lower(known: Sequence[DatasetVersion], number: Version, note: Note) -> None:
    if known and number < Version.parse(known[-1].version):
        note(f"{number} is lower than {known[-1].version}, which stays the latest")


def _choice(layout: Layout, name: str, pictures: Pictures | None) -> dict[Path, bytes]:
    """The configuration's choice `data=NAME`, conf/data/NAME.yaml, unless the project has it.

    Pictures are read at their median size, 224 pixels at most.
    """
    file = layout.conf / "data" / f"{name}.yaml"
    if file.exists():
        return {}
    lines = [f"# Chosen with  tidemill train data={name}", f"name: {json.dumps(name)}", "version: latest"]
    if pictures is not None:
        scale = min(1.0, _LARGEST_SIDE / max(pictures.height, pictures.width))
        lines += [
            "image:",
            f"  height: {max(1, round(pictures.height * scale))}",
            f"  width: {max(1, round(pictures.width * scale))}",
            f"  mode: {'L' if pictures.grey else 'RGB'}",
        ]
    return {file: ("\n".join(lines) + "\n").encode()}


def open_for_task(layout: Layout, name: str, version: str, task: Task) -> PackedDataset:
    """The data version to train or evaluate on. Raises DataError for another task's data, and without a test split."""
    data = open_version(layout, name, version)
    if data.version.task != task:
        raise DataError(
            f"{data.version.tag} holds {data.version.task} data, and this project's task is {task}",
            "name another data set:  tidemill train data=NAME;  tidemill data list  shows them",
        )
    if not any(split.name == "test" and split.rows for split in data.version.splits):
        raise DataError(f"{data.version.tag} has no test split to evaluate on", "add a version with more rows")
    return data
