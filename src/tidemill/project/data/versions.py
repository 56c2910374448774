"""The data versions of a project: list, find, open, compare, push, pull, export."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.dataset import DatasetVersion, Task
from tidemill.errors import DataError, InputError, NotFoundError, nearest
from tidemill.files import staged_directory, write_atomic
from tidemill.project.layout import Layout, read_marker

if TYPE_CHECKING:
    from tidemill.backends.versions.dvc import DvcStore
    from tidemill.dataset.diff import DatasetDiff
    from tidemill.dataset.read import PackedDataset


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


def diff(layout: Layout, a: str, b: str, *, page: Path | None = None) -> DatasetDiff:
    """What changed from version `a` to `b`, which are given as `find` takes them; also as the HTML file `page`."""
    from tidemill.dataset.diff import compare

    if page is not None and not page.parent.is_dir():
        raise InputError(f"{page.parent} is no folder to write into", "make it first")
    old, new = (open_version(layout, each.name, each.version) for each in (find(layout, text) for text in (a, b)))
    found = compare(old, new)
    if page is not None:
        from tidemill.stages.data_page import render
        from tidemill.stages.data_pictures import small_pictures

        both = (old.version.task, new.version.task) == ("image", "image")
        pictures = small_pictures(old, new, found.samples) if both else {}
        write_atomic(page, render(found, pictures).encode())
    return found


def export(layout: Layout, text: str, out: Path, *, by_split: bool = False) -> int:
    """Write the version that `text` means into the new folder `out`; the number of files. Raises InputError.

    `by_split` moves pictures whose split was drawn into a folder of that split.
    """
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
            return write_out(source, folder, by_split=by_split)
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


def open_for_task(layout: Layout, name: str, version: str, task: Task) -> PackedDataset:
    """The data version to train or evaluate on. Raises DataError for another task's data, and without a test split."""
    _mention_fetching(layout, name)
    data = open_version(layout, name, version)
    if data.version.task != task:
        raise DataError(
            f"{data.version.tag} holds {data.version.task} data, and this project's task is {task}",
            "name another data set:  tidemill train data=NAME;  tidemill data list  shows them",
        )
    if not any(split.name == "test" and split.rows for split in data.version.splits):
        raise DataError(f"{data.version.tag} has no test split to evaluate on", "add a version with more rows")
    return data


def _mention_fetching(layout: Layout, name: str) -> None:
    """Raises NotFoundError, which says what can be done, for a data set of which the project has no version yet."""
    from tidemill.config.groups import PACKAGED

    others = sorted({each.name for each in versions(layout)})
    if name in others:
        return
    if others and not (PACKAGED / "data" / f"{name}.yaml").is_file():
        raise NotFoundError(
            f"there is no data set {name!r} in this project",
            f"{nearest(name, others, kind='data sets')}; to train on one:  tidemill train data={others[0]}",
        )
    if (PACKAGED / "data" / f"{name}.yaml").is_file():
        raise NotFoundError(
            f"this project has no version of {name} yet",
            f"fetch it:  tidemill data add {name}   (or from files you have:  tidemill data add PATH --as {name})",
        )
