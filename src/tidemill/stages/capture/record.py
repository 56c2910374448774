"""The lineage of a captured run as plain records, and the digest of folders that are too full to be listed."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tidemill.domain.digest import Digest
from tidemill.stages.capture.table import FileTable, Sight

MANY = 200  # files below one folder that are put together


@dataclass(frozen=True, slots=True)
class File:
    """A file, or all that was touched below a folder (`files` > 1). Paths inside the run's root are relative to it.

    `digest` is of the content; of a folder it is of the sorted lines `<64 hex digits>  <path below it>`. `state` says
    whether it is the content that was read: "as read", "changed" while the run went on, "gone" or "unreadable" since.
    `data` names the data version or the DVC pointer that holds this content; `pid` is the first process at it.
    """

    path: str
    bytes: int
    digest: Digest | None
    state: str = "as read"
    files: int = 1
    data: str = ""
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Captured:
    """What was seen of a run. `seen_by` says by what means; `lost` counts what could not be noted."""

    command: tuple[str, ...]
    folder: str
    code: int
    signal: int | None
    seconds: float
    reads: tuple[File, ...]
    writes: tuple[File, ...]
    sources: tuple[File, ...]
    processes: tuple[str, ...]
    started: int  # processes in all
    seen_by: tuple[str, ...]
    lost: int
    commit: str | None = None
    dirty: Digest | None = None
    root: str = ""
    python: str | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    format: int = 1

    @property
    def complete(self) -> bool:
        return not self.lost


def files_of(table: FileTable, root: str, which: Literal["reads", "writes", "sources"]) -> list[File]:
    """Each file of one kind, by path. What the run itself wrote before it read it is no input."""
    found = []
    for path, sight in sorted(table.files.items()):
        if which == "writes" and sight.wrote and not (sight.code and path.endswith(".pyc")):
            found.append(File(_inside(path, root), sight.written_size, sight.written, "", pid=sight.pid))
        elif which != "writes" and sight.read is not None and sight.code == (which == "sources"):
            found.append(_read(path, sight, root))
    return found


def _read(path: str, sight: Sight, root: str) -> File:
    return File(_inside(path, root), sight.size, sight.digest, sight.state or "as read", pid=sight.pid)


def _inside(path: str, root: str) -> str:
    return path[len(root) + 1 :] if path.startswith(f"{root}/") else path


def listing(files: Iterable[File], folder: str = "") -> bytes:
    """A line for each file, as `sha256sum` writes them; what has no digest has its state in brackets."""
    start = len(folder) + 1 if folder else 0
    lines = sorted(
        f"{each.digest.hex if each.digest else f'[{each.state}]':<64}  {each.path[start:]}" for each in files
    )
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def compact(files: Sequence[File]) -> list[File]:
    """The same, with folders that hold `MANY` files or more as one line each."""
    if len(files) < MANY:
        return list(files)
    counts = Counter(folder for each in files for folder in _folders(each.path))
    chosen = {_narrowed(folder, counts) for folder, number in counts.items() if number >= MANY}
    tops = {folder for folder in chosen if not any(above in chosen for above in _folders(folder))}
    groups: dict[str, list[File]] = {}
    alone = []
    for each in files:
        top = next((folder for folder in _folders(each.path) if folder in tops), None)
        alone.append(each) if top is None else groups.setdefault(top, []).append(each)
    return [*(_together(folder, inside) for folder, inside in sorted(groups.items())), *alone]


def _folders(path: str) -> list[str]:
    """The folders above a path, the highest first; none for one that is nobody's own (`/`, `/home`)."""
    parts = path.split("/")[:-1]
    least = 3 if path.startswith("/") else 1
    return ["/".join(parts[:end]) for end in range(least, len(parts) + 1)]


def _narrowed(folder: str, counts: Counter[str]) -> str:
    """The deepest folder that holds all that `folder` holds."""
    while True:
        inner = [each for each, n in counts.items() if n == counts[folder] and os.path.dirname(each) == folder]
        if len(inner) != 1:
            return folder
        folder = inner[0]


def _together(folder: str, files: Sequence[File]) -> File:
    states = {each.state for each in files}
    whole = all(each.digest for each in files)
    digest = Digest("sha256:" + hashlib.sha256(listing(files, folder)).hexdigest()) if whole else None
    data = {each.data for each in files}
    return File(
        f"{folder}/", sum(each.bytes for each in files), digest, states.pop() if len(states) == 1 else "changed",
        len(files), data.pop() if len(data) == 1 else "",
    )  # fmt: skip
