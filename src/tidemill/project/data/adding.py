"""Adding data to a project: checked, packed onto the version before, and made a version."""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tidemill.domain.dataset import DatasetVersion, Kind, Task, Version, is_name
from tidemill.domain.digest import Digest
from tidemill.errors import DataError, StateError
from tidemill.project.data.checking import Choices, last_columns, policy, report_bytes, report_file
from tidemill.project.data.choices import new_choice
from tidemill.project.data.seen import Seen
from tidemill.project.data.sources import sources
from tidemill.project.data.versions import store
from tidemill.project.layout import Layout, read_marker

if TYPE_CHECKING:
    from tidemill.dataset.checks.finding import Report
    from tidemill.dataset.reading import Reading
    from tidemill.dataset.source import Note, Progress

FIRST = Version(1, 0, 0)


class Added(NamedTuple):
    """The version that holds what was given; `new` is False when it was there already. `change` is what it is against
    the version before, where there is one."""

    version: DatasetVersion
    new: bool
    change: Change | None = None


class Change(NamedTuple):
    """Rows that the version `tag` has not, and rows that it had: a version is the whole set, not what is new."""

    tag: str
    added: int
    removed: int


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
    from tidemill.dataset.reading import Reading

    reading = Reading(target=target, text=text, kind=kind)
    return add_version(
        layout, path, name=name, version=version, reading=reading, note=lambda _: None, progress=lambda *_: None
    ).version


def add_version(
    layout: Layout, path: Path, *, name: str, version: str | None, reading: Reading, note: Note, progress: Progress,
    checks: Choices | None = None, heard: Callable[[Report], None] = lambda _: None,
    source: Mapping[str, str] | None = None,
) -> Added:  # fmt: skip
    """As `add`. `version` None is 1.0.0, then the next minor; content that is there already makes no new version.

    `checks` is what is done about problems in the data, where that is not as the settings say; `heard` gets the report
    of the checks, also of an add that they stop. `source` are the addresses that `path` was fetched from, with their
    digests. Also commits conf/data/NAME.yaml when it is missing. Raises DataError,
    StateError; then nothing was changed.
    """
    task = read_marker(layout).task
    wanted = _check_request(layout, path, name, version)
    keep = store(layout)
    known = keep.versions(name)
    _check_task(known, task)
    rules = policy(layout, name, checks)
    _mention_changed(known, source or {}, note)
    seen = Seen(layout.cache / "data" / "seen", path, [name, task, reading.plain(), repr(rules)])
    digest = seen.digest()
    if digest is not None and (same := _same(known, digest, wanted, note)) is not None:
        return Added(same, False)
    _mention_taken(known, wanted, digest, note)
    number = wanted or (Version.parse(known[-1].version).next_minor() if known else FIRST)
    staged = layout.staging / f"{os.getpid()}-{uuid.uuid4().hex}"
    staged.mkdir(parents=True)
    try:
        from tidemill.dataset.checks.finding import Inspection
        from tidemill.dataset.write import write_record
        from tidemill.stages.ingest import ingest

        inspection = Inspection(rules, last_columns(layout, name) if known else None)
        try:
            packed, pictures, shared = ingest(
                path, staged, name=name, version=str(number), task=task, reading=reading,
                previous=_model_of(known, number), note=note, progress=_beside(progress, seen.look, _import),
                base=keep.local(known[-1]) if known else None, cache=layout.cache / "data", inspection=inspection,
            )  # fmt: skip
        finally:
            heard(inspection.report())
        same = _same(known, packed.digest, wanted, note)
        if same is None:
            _refuse_taken(known, packed)
            packed = write_record(staged, replace(packed, source=dict(source or {})))
            report = {report_file(layout, name): report_bytes(inspection.report())}
            keep.save(packed, staged, also=report | new_choice(layout, name, pictures))
            _mention_lower(known, number, note)
        seen.keep(packed.digest)
        if same is not None:
            return Added(same, False)
        return Added(packed, True, _change(known, packed, shared))
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _change(known: Sequence[DatasetVersion], packed: DatasetVersion, shared: int | None) -> Change | None:
    if not known or shared is None:
        return None
    return Change(known[-1].tag, packed.rows - shared, known[-1].rows - shared)


def _beside(progress: Progress, *work: Callable[[], None]) -> Progress:
    """`progress`, which has this work done in a thread when it first hears of files: from then on others read them."""
    begun = False

    def heard(done: int, total: int) -> None:
        nonlocal begun
        if not begun:
            begun = True
            threading.Thread(target=lambda: [each() for each in work], daemon=True).start()
        progress(done, total)

    return heard


def _import() -> None:
    """Import what will be needed."""
    for name in ("pyarrow.parquet", "dvc.repo.add", "networkx"):
        with suppress(ImportError):  # it is said where it is needed
            import_module(name)


def _check_request(layout: Layout, path: Path, name: str, version: str | None) -> Version | None:
    if not is_name(name):
        raise DataError(f"{name[:80]!r} cannot name a data set", "use letters, digits, - and _, at most 63")
    where = path.resolve()
    if where.is_relative_to(layout.state.resolve()) and not where.is_relative_to(sources(layout).resolve()):
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


def _same(known: Sequence[DatasetVersion], digest: Digest, wanted: Version | None, note: Note) -> DatasetVersion | None:
    """The version that has this content already, unless another number was asked for."""
    equal = [each for each in known if each.digest == digest]
    if wanted is not None:
        equal = [each for each in equal if each.version == str(wanted)]
    if not equal:
        return None
    if equal[-1] == known[-1] or wanted is not None:
        note(f"unchanged, still {equal[-1].tag}")
    else:
        note(f"this is {equal[-1].tag} again; to make it the newest, say  --version")
    return equal[-1]


def _mention_changed(known: Sequence[DatasetVersion], source: Mapping[str, str], note: Note) -> None:
    """Say which addresses have other bytes than when a version was made of them."""
    for address, digest in source.items():
        before = next((each for each in reversed(known) if address in each.source), None)
        if before is not None and before.source[address] != digest:
            note(f"{address} has other bytes now than when {before.tag} was made of it")


def _mention_taken(known: Sequence[DatasetVersion], wanted: Version | None, digest: Digest | None, note: Note) -> None:
    """A number that is taken is right only for the same content: refused where that is known to be other, else said."""
    taken = next((each for each in known if each.version == str(wanted)), None)
    if taken is None:
        return
    if digest is not None:
        _refuse_taken(known, taken)
    note(f"{taken.tag} exists already: the data is read to see whether it is the same")


def _refuse_taken(known: Sequence[DatasetVersion], packed: DatasetVersion) -> None:
    if any(each.version == packed.version for each in known):
        raise StateError(
            f"{packed.tag} exists already, with other content",
            f"versions never change; the next free one is {Version.parse(known[-1].version).next_minor()}",
        )


def _mention_lower(known: Sequence[DatasetVersion], number: Version, note: Note) -> None:
    if known and number < Version.parse(known[-1].version):
        note(f"{number} is lower than {known[-1].version}, which stays the latest")
