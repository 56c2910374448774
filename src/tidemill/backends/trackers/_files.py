"""Artefacts as plain files below a run's own folder, for the trackers that keep no store of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

from tidemill.errors import NotFoundError


def keep_files(path: Path, folder: str, *, below: Path) -> list[Path]:
    """Copy a file, or all files under a directory, to `below`/`folder`; the copies."""
    target = below / folder
    target.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, target, dirs_exist_ok=True)
        return sorted(target / each.relative_to(path) for each in path.rglob("*") if each.is_file())
    return [Path(shutil.copy2(path, target))]


def fetch_files(run: str, folder: str, into: Path, *, below: Path) -> Path:
    """What `keep_files` kept under `folder`, copied below `into`. Raises NotFoundError."""
    source = below / folder
    if not source.exists():
        raise NotFoundError(f"run {run} has no {folder}", f"look into {below.parent}")
    target = into / folder
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)
    return target
