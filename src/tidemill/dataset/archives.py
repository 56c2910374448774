"""Unpacking archives that somebody else made: only plain files, only inside the folder, only so much."""

from __future__ import annotations

import errno
import lzma
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from tidemill.dataset.splits import split_named
from tidemill.errors import DataError, StorageError

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")
MAX_FILES, MAX_BYTES = 5_000_000, 200_000_000_000
_MARGIN = 500_000_000
_DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError,
    RuntimeError, ValueError,
)  # fmt: skip
"""What the readers of archives raise for bytes that are none; a damaged bz2 is an OSError without a number."""


def is_archive(path: Path) -> bool:
    """Whether the name of `path` is that of an archive."""
    return path.name.lower().endswith(SUFFIXES)


def unpack(archive: Path, into: Path, *, max_files: int = MAX_FILES, max_bytes: int = MAX_BYTES) -> Path:
    """Unpack `archive` into the empty folder `into`, and return `top` of it.

    Raises DataError for a damaged archive, for a member that is no plain file or leaves the folder, and beyond limits;
    StorageError before the disk is full.
    """
    total = 0
    try:
        _refuse_flood(archive, _told(archive), into)
        for number, (name, size, content) in enumerate(_members(archive), start=1):
            total += size
            if number > max_files or total > max_bytes:
                raise DataError(
                    f"{archive} holds more than {max_files:,} files or {max_bytes:,} bytes", "unpack it yourself"
                )
            _refuse_flood(archive, size, into)
            place = into / _inside(archive, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            with content, place.open("xb") as file:
                _copy(archive, content, file, size)
    except _DAMAGE as error:
        raise DataError(f"{archive} cannot be unpacked: {error}", "get it again") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise DataError(
            f"{archive} holds {error.filename} twice, or as a file and a folder", "unpack it yourself"
        ) from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            name = Path(str(error.filename)).name[:40]
            raise DataError(f"{archive} holds a name that is too long here: {name}…", "unpack it yourself") from None
        if error.errno is None:
            raise DataError(f"{archive} cannot be unpacked: {error}", "get it again") from None
        raise
    return top(into)


def top(folder: Path) -> Path:
    """The folder that holds the data: the one inside, where archives have a single one around all."""
    inside = [entry for entry in folder.iterdir() if not entry.name.startswith((".", "__MACOSX"))]
    alone = len(inside) == 1 and inside[0].is_dir() and split_named(inside[0].name) is None
    return inside[0] if alone else folder


def _told(archive: Path) -> int:
    """The bytes that a zip says it holds; a tar only says so as it is read."""
    if not archive.name.lower().endswith(".zip"):
        return 0
    with zipfile.ZipFile(archive) as opened:
        return sum(member.file_size for member in opened.infolist())


def _refuse_flood(archive: Path, size: int, into: Path) -> None:
    disk = shutil.disk_usage(into)
    left = disk.free - min(_MARGIN, disk.total // 20)
    if size > max(left, 0):
        raise StorageError(
            f"{archive} holds more than the disk has room for: {size:,} bytes to come, {disk.free:,} free",
            "free some space and run the same command again",
        )


def _members(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Name, size and content of every file."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                kind = member.external_attr >> 28
                if not member.is_dir():
                    if kind not in (0, 8):  # nothing said, or a plain file
                        raise _special(archive, member.filename)
                    yield member.filename, member.file_size, opened.open(member)
        return
    with tarfile.open(archive, "r|gz" if archive.name.lower().endswith("gz") else "r|") as stream:
        for entry in stream:
            if entry.isdir():
                continue
            content = stream.extractfile(entry) if entry.isreg() and not entry.issparse() else None
            if content is None:
                raise _special(archive, entry.name)
            yield entry.name, entry.size, content


def _copy(archive: Path, content: IO[bytes], file: IO[bytes], size: int) -> None:
    """No more than was said: a member that grows while it is unpacked is a bomb."""
    left = size
    while chunk := content.read(1 << 20):
        left -= len(chunk)
        if left < 0:
            raise DataError(f"{archive} holds more than it says", "do not use it")
        file.write(chunk)


def _inside(archive: Path, name: str) -> PurePosixPath:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name or not pure.parts:
        raise DataError(f"{archive} holds a file outside of its folder: {name[:80]!r}", "do not use it")
    return pure


def _special(archive: Path, name: str) -> DataError:
    return DataError(
        f"{archive} holds {name[:80]!r}, which is a link, a device or a file with holes", "unpack it yourself"
    )
