"""Reads what the shim writes in a script's processes: figures of frameworks, the interpreter, and opened files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tidemill.stages.capture.notes import Note

_DISTRIBUTION = re.compile(r"(.+?)-(\d[^-]*)(?:-.*)?\.(?:dist|egg)-info")


class Lines:
    """The JSON lines that appear in the files `folder/NAME-*.jsonl`, each once."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._start = folder, f"{name}-"
        self._read: dict[str, int] = {}

    def new(self) -> Iterator[Any]:
        """What was written since the last call; a line that is not whole yet waits."""
        for entry in os.scandir(self._folder):
            if entry.name.startswith(self._start) and entry.name.endswith(".jsonl"):
                yield from self._new(entry.path)

    def _new(self, path: str) -> Iterator[Any]:
        begin = self._read.get(path, 0)
        if os.stat(path).st_size <= begin:
            return
        with open(path, "rb") as file:
            file.seek(begin)
            text = file.read()
        whole = text.rfind(b"\n") + 1
        self._read[path] = begin + whole
        for line in text[:whole].splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue


def notes(lines: Iterator[Any]) -> Iterator[Note]:
    """The lines of Python's audit hook as notes."""
    for line in lines:
        if isinstance(line, list) and len(line) == len(Note._fields):
            yield Note(*line)


class Interpreter(NamedTuple):
    """A Python that ran in the script's processes, and the distributions on its path."""

    executable: str
    version: str
    platform: str
    packages: dict[str, str]


def interpreter(folder: Path) -> Interpreter | None:
    """The first Python that ran; None when none did, or it was told to ignore its environment (-I, -E, -S)."""
    found = sorted(folder.glob("python-*"), key=lambda path: path.stat().st_mtime_ns)
    if not found:
        return None
    executable, version, platform, *paths = found[0].read_text("utf-8", "surrogateescape").split("\n")
    packages: dict[str, str] = {}
    for path in paths:
        if path.endswith(("-packages",)) or "site" in path:
            packages = {**_distributions(path), **packages}
    return Interpreter(executable, version, platform, dict(sorted(packages.items())))


def _distributions(path: str) -> dict[str, str]:
    """Names and versions by the names of their folders: reading each one's metadata takes a hundred times longer."""
    try:
        names = os.listdir(path)
    except OSError:
        return {}
    return {match[1].replace("_", "-"): match[2] for name in names if (match := _DISTRIBUTION.fullmatch(name))}
