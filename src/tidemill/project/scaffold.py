"""`tidemill init`: a new project, whole or not there at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import Any

from tidemill.config.groups import DEFAULTS
from tidemill.domain.dataset import Task, is_name
from tidemill.errors import InputError, nearest
from tidemill.files import fsync_directory, fsync_tree, process_lives
from tidemill.process import contain_caches
from tidemill.project import data
from tidemill.project.layout import MARKER, Layout
from tidemill.project.samples import SAMPLES, Sample

_TEMPLATES = Path(__file__).resolve().parent.parent / "scaffold"
_PLACES = {
    "tidemill.toml": MARKER,
    "conf/config.yaml": "conf/config.yaml",
    "gitignore": ".gitignore",
    "dvcignore": ".dvcignore",
    "README.md": "README.md",
}
_OTHER_MODEL = {"image": "resnet18", "text": "bert", "tabular": "linear"}
_UNFINISHED = ".tidemill-init"


def init(directory: Path, *, name: str, task: Task, sample: str | None = "default") -> Layout:
    """Make the project `name` in `directory`: a git and DVC repository with a sample as data version 1.0.0.

    `sample` is a name in `samples.SAMPLES`, 'default' the task's first, None no data. The project is built beside and
    renamed, so that it is whole or not there. Raises InputError when `directory` has something in it, or for a name
    that does not exist.
    """
    _check(directory, name, task, sample)
    _refuse_nested(directory)
    chosen = _sample(task, sample)
    _sweep(directory)
    with _built_beside(directory) as beside:
        layout = Layout(beside / "project")
        _write_templates(layout, name, task)
        raw = chosen.write(beside / "sample") if chosen is not None else None
        if raw is not None:
            _write_examples(layout.root / "examples", raw, task)
        _begin_repository(layout, name)
        if raw is not None and chosen is not None:
            data.add(layout, raw, name=name, version=str(data.FIRST), target=chosen.target or None)
        for folder in (layout.staging, layout.cache):  # DVC's caches hold paths that end with the renaming
            shutil.rmtree(folder, ignore_errors=True)
    made = Layout(directory.resolve())
    contain_caches(made.cache)
    return made


def _refuse_nested(directory: Path) -> None:
    """A project in a project would be part of the outer one's git repository."""
    for folder in directory.resolve().parents:
        if (folder / MARKER).is_file():
            raise InputError(f"{directory} would lie inside the project {folder}", "make it in another folder")


def _check(directory: Path, name: str, task: str, sample: str | None) -> None:
    if not is_name(name):
        raise InputError(f"{name[:80]!r} cannot name a project", "use letters, digits, - and _, at most 63")
    if task not in DEFAULTS:
        raise InputError(f"there is no task {task!r}", nearest(task, DEFAULTS, kind="tasks"))
    if os.path.lexists(directory) and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError(f"{directory} exists already", "choose another name, or move it away")
    if not directory.parent.is_dir():
        raise InputError(f"{directory.parent} is no folder to make a project in", "make it first")


def _sample(task: Task, sample: str | None) -> Sample | None:
    known = SAMPLES[task]
    if sample is None:
        return None
    if sample == "default":
        return next(iter(known.values()))
    if sample not in known:
        raise InputError(
            f"there is no sample {sample!r} for the task {task}", nearest(sample, known, kind=f"samples for {task}")
        )
    return known[sample]


@contextmanager
def _built_beside(directory: Path) -> Iterator[Path]:
    """A folder to work in, whose `project` is renamed to `directory` in the end."""
    beside = directory.parent.resolve() / f".{directory.name}.{os.getpid()}{_UNFINISHED}"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        yield beside
        fsync_tree(beside / "project")
        try:
            os.rename(beside / "project", directory)
        except OSError as error:
            if not directory.exists():
                raise
            raise InputError(f"{directory} exists already: another command made it", "use that one") from error
        fsync_directory(directory.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _sweep(directory: Path) -> None:
    """Remove what a killed `init` of the same name left."""
    for left in directory.parent.glob(f".{directory.name}.*{_UNFINISHED}"):
        owner = left.name.removesuffix(_UNFINISHED).rpartition(".")[2]
        if owner.isdigit() and not process_lives(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _write_templates(layout: Layout, name: str, task: Task) -> None:
    groups = "\n".join(f"  - {group}: {choice}" for group, choice in DEFAULTS[task].items() if group != "data")
    values = {"name": name, "task": task, "groups": groups, "other": _OTHER_MODEL[task]}
    for source, place in _PLACES.items():
        target = layout.root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        text = (_TEMPLATES / source).read_text(encoding="utf-8")
        target.write_text(Template(text).substitute(values), encoding="utf-8")


def _begin_repository(layout: Layout, name: str) -> None:
    from tidemill.backends.versions.dvc import begin_repository

    begin_repository(layout.root, layout.state, f"Begin {name}")


_DIGITS = {"seven": "7", "three": "3", "zero": "0"}


def _write_examples(folder: Path, raw: Path, task: Task) -> None:
    """A few raw requests, as a client would send them: pictures of the test split, or a request in JSON."""
    folder.mkdir()
    if task == "image":
        for word, label in _DIGITS.items():
            shutil.copyfile(min((raw / "test" / label).iterdir()), folder / f"{word}.png")
        return
    rows = _first_rows(raw)
    inputs = [row["sentence"] for row in rows] if task == "text" else [_features(rows[0])]
    request = json.dumps({"inputs": inputs}, indent=1, ensure_ascii=False)
    (folder / "request.json").write_text(request + "\n", encoding="utf-8")


def _first_rows(table: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(table).slice(0, 2).to_pylist()
    return rows


def _features(row: Mapping[str, Any]) -> dict[str, Any]:
    return dict(list(row.items())[:-1])  # the samples' last column is their target
