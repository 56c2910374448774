"""Sealing a bundle again after it was changed, as somebody would who wants the change to pass."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidemill.bundle.write import record_files
from tidemill.domain.record import to_plain

Record = dict[str, Any]


def edit(directory: Path, change: Callable[[Record], None]) -> None:
    """Change bundle.json and nothing else."""
    record = json.loads((directory / "bundle.json").read_bytes())
    change(record)
    (directory / "bundle.json").write_text(json.dumps(record), encoding="utf-8")


def reseal(directory: Path) -> None:
    """Let the record say what the files are now."""
    files = {name: to_plain(dataclasses.asdict(record)) for name, record in record_files(directory).items()}
    edit(directory, lambda record: record.update(files=files))
