"""Inputs of a batch prediction as they lie on disk, read in chunks: pictures, and lines of text."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tidemill.errors import InputError, NotFoundError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.stages.predict import Given

_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
_MAX_PICTURE = 256 << 20
_MAX_LINE = 16 << 20
_AT_ONCE = 64  # pictures of a chunk
LINES = 1024  # lines of a chunk
_BLOCK = 4 << 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows in order. `columns` go to the output, `names` say how each is called when something is wrong with it.

    `inputs` are what is answered: raw inputs, or a table of a model's columns. `problems` says of rows of such a table
    what could not be read.
    """

    columns: Mapping[str, Sequence[Any]]
    names: Sequence[str]
    inputs: Sequence[Given] | pa.Table
    problems: Mapping[int, str] = field(default_factory=dict)


class Source(Protocol):
    """What is to be answered. `total` is how many rows there are, as far as that is known without reading them."""

    files: Sequence[Path]
    total: int

    @property
    def schema(self) -> pa.Schema:
        """The columns that go to the output."""

    def chunks(self, skip: int) -> Iterator[Chunk]:
        """The rows behind the first `skip`."""


def expand(texts: Sequence[str]) -> list[Path]:
    """The files and folders that `texts`, paths or patterns, name; each once. Raises NotFoundError."""
    return [Path(path) for path in dict.fromkeys(found for text in texts for found in _expand(text))]


def _expand(text: str) -> list[str]:
    if Path(text).exists():
        return [text]
    found = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not found:
        parent = Path(text).parent
        there = [entry.name for entry in parent.iterdir()] if parent.is_dir() else []
        raise NotFoundError(f"there is no {text}", nearest(Path(text).name, there, kind="files there"))
    return found


def files_in(given: Sequence[Path], suffixes: Sequence[str], what: str) -> list[Path]:
    """The files of `given`, and those under its folders whose suffix is one of `suffixes`, by name; each once.

    Raises InputError when there is none.
    """
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            found += sorted(inner for inner in path.rglob("*") if inner.suffix.lower() in suffixes and inner.is_file())
        else:
            found.append(path)
    if not found:
        raise InputError(f"there is no {what} in {given[0]}", f"looked for {', '.join(sorted(suffixes))}")
    return list(dict.fromkeys(found))


class Pictures:
    """Picture files; each is read when its turn comes."""

    def __init__(self, given: Sequence[Path]) -> None:
        self.files: Sequence[Path] = files_in(given, sorted(_PICTURES), "picture")
        self.total = len(self.files)

    @property
    def schema(self) -> pa.Schema:
        import pyarrow as pa

        return pa.schema([("file", pa.string())])

    def chunks(self, skip: int) -> Iterator[Chunk]:
        for start in range(skip, self.total, _AT_ONCE):
            files = self.files[start : start + _AT_ONCE]
            names = [str(file) for file in files]
            yield Chunk({"file": names}, names, [_picture(file) for file in files])

    def below(self) -> list[Path]:
        """Where each file lies below the folder that all of them have in common."""
        common = os.path.commonpath([file.absolute().parent for file in self.files])
        return [file.absolute().relative_to(common) for file in self.files]


def _picture(path: Path) -> bytes | InputError:
    try:
        if path.stat().st_size > _MAX_PICTURE:
            return InputError(f"larger than {_MAX_PICTURE >> 20} MB")
        return path.read_bytes()
    except OSError as error:
        return InputError(error.strerror or str(error))


class Lines:
    """A text a line, in UTF-8; blank lines are none. `line` in the output counts from 1, blank lines too."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files
        self.total = sum(count_lines(file) for file in files)

    @property
    def schema(self) -> pa.Schema:
        import pyarrow as pa

        several = [("file", pa.string())] * (len(self.files) > 1)
        return pa.schema([*several, ("line", pa.int64()), ("text", pa.string())])

    def chunks(self, skip: int) -> Iterator[Chunk]:
        for file in self.files:
            for lines in numbered(file):
                kept = lines[skip:]
                skip = max(0, skip - len(lines))
                if kept:
                    yield self._chunk(file, kept)

    def _chunk(self, file: Path, lines: Sequence[tuple[int, bytes]]) -> Chunk:
        numbers = [number for number, _ in lines]
        texts = [_text(line) for _, line in lines]
        columns: dict[str, Sequence[Any]] = {
            "line": numbers,
            "text": [None if isinstance(text, InputError) else text for text in texts],
        }
        if len(self.files) == 1:
            return Chunk(columns, [f"line {number}" for number in numbers], texts)
        return Chunk(
            {"file": [str(file)] * len(lines), **columns}, [f"{file} line {number}" for number in numbers], texts
        )


def _text(line: bytes) -> str | InputError:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return InputError("not text in UTF-8")


def count_lines(file: Path) -> int:
    """Ends of lines, for a bar: a blank line counts, a last one without an end does not."""
    with file.open("rb") as content:
        return sum(block.count(b"\n") for block in iter(lambda: content.read(_BLOCK), b""))


def numbered(file: Path) -> Iterator[list[tuple[int, bytes]]]:
    """The lines of `file` that are not blank, with their numbers from 1, in lists of at most 1,024.

    Raises InputError for a file that is no text at all: one with a line of more than 16 MB.
    """
    number, lines = 0, list[tuple[int, bytes]]()
    with file.open("rb") as content:
        if content.read(3) != b"\xef\xbb\xbf":
            content.seek(0)
        while line := content.readline(_MAX_LINE + 1):
            number += 1
            if len(line) > _MAX_LINE:
                raise InputError(f"{file} has a line of more than {_MAX_LINE >> 20} MB", "give a text a line")
            if line.strip():
                lines.append((number, line.rstrip(b"\r\n")))
            if len(lines) == LINES:
                yield lines
                lines = []
    if lines:
        yield lines
