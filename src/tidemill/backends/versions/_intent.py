"""The note that a version is about to be saved, with what is needed to undo it. It outlives a killed command."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from tidemill.files import fsync_directory, fsync_tree, write_atomic


@dataclass(frozen=True, slots=True)
class Intent:
    """`name`, `tag` and `digest` of the version; `parent` is HEAD before it; `pid` the process that saves it; `paths`
    the small files that its commit has, relative to the project."""

    name: str
    tag: str
    digest: str
    parent: str | None
    pid: int
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Journal:
    """The folder `place`, which exists exactly while a version is being saved.

    It holds `intent.json`, copies of the small files as they were (`before/`), `had` when there was a working folder,
    and that folder once it is moved away (`old`).
    """

    place: Path
    root: Path
    data: Path
    staging: Path

    def begin(self, intent: Intent) -> None:
        beside = self._aside()
        (beside / "before").mkdir(parents=True)
        for number, path in enumerate(intent.paths):
            if (self.root / path).exists():
                shutil.copyfile(self.root / path, beside / "before" / str(number))
        if (self.data / intent.name).exists():
            (beside / "had").touch()
        (beside / "intent.json").write_text(json.dumps({key: getattr(intent, key) for key in Intent.__slots__}))
        fsync_tree(beside)
        os.rename(beside, self.place)
        fsync_directory(self.place.parent)

    def read(self) -> Intent | None:
        """The intent that stands; None when no save is under way."""
        try:
            plain = json.loads((self.place / "intent.json").read_text())
        except FileNotFoundError:
            return None
        return Intent(**{**plain, "paths": tuple(plain["paths"])})

    def swap(self, name: str, packed: Path) -> None:
        """Put `packed` where the working folder of the data set is."""
        working = self.data / name
        if working.exists():
            os.rename(working, self.place / "old")
        os.rename(packed, working)
        fsync_directory(self.data)

    def undo(self, intent: Intent) -> None:
        """Put the working folder and the small files back as they were. May be repeated."""
        working, old = self.data / intent.name, self.place / "old"
        if old.exists() or not (self.place / "had").exists():
            if working.exists():
                self._discard(working)
            if old.exists():
                os.rename(old, working)
        for number, path in enumerate(intent.paths):
            before = self.place / "before" / str(number)
            if before.exists():
                write_atomic(self.root / path, before.read_bytes())
            else:
                (self.root / path).unlink(missing_ok=True)
        fsync_directory(self.data)

    def end(self, intent: Intent) -> None:
        """Forget the intent, and remove unfinished writes of its small files."""
        for path in map(self.root.joinpath, intent.paths):
            for left in path.parent.glob(f".{path.name}.*.tmp"):
                left.unlink(missing_ok=True)
        self._discard(self.place)

    def _discard(self, folder: Path) -> None:
        aside = self._aside()
        os.rename(folder, aside)
        fsync_directory(folder.parent)
        shutil.rmtree(aside, ignore_errors=True)

    def _aside(self) -> Path:
        self.staging.mkdir(parents=True, exist_ok=True)
        return self.staging / f"{os.getpid()}-{uuid.uuid4().hex}"
