"""The sealed files of the log by their names, which say the times of their first and last row."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

Kind = Literal["predictions", "feedback"]
KINDS: tuple[Kind, ...] = ("predictions", "feedback")
_TIME = "%Y%m%dT%H%M%S%fZ"
_NAME = re.compile(r"(\d{8}T\d{12}Z)-(\d{8}T\d{12}Z)-(.+)\.parquet")


class Segment(NamedTuple):
    """A sealed file: the times of its first and last row, and the stem of the spool that it was."""

    path: Path
    first: datetime
    last: datetime
    stem: str


def segments(root: Path, kind: Kind) -> list[Segment]:
    """The sealed files of one kind under the log `root`, oldest first. Files with other names are left alone."""
    folder = root / kind
    if not folder.is_dir():
        return []
    found = []
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match:
            first, last = (datetime.strptime(text, _TIME).replace(tzinfo=UTC) for text in match.groups()[:2])
            found.append(Segment(path, first, last, match[3]))
    return sorted(found)


def segment_path(root: Path, kind: Kind, first: datetime, last: datetime, stem: str) -> Path:
    """Where what was the spool `stem` lies when it is sealed."""
    return root / kind / f"{first.strftime(_TIME)}-{last.strftime(_TIME)}-{stem}.parquet"
