"""Decoded pictures on disk, to be mapped into memory: one folder for each split as one recipe decodes it.

    ROOT/KEY/pixels.npy    uint8 [N, H, W, C], in the packed order of the split
    ROOT/KEY/record.json   format, shape, the recipe, and how often each channel has each value
    ROOT/.staging/         folders that are being written
    ROOT/.locks/           one lock a key: whoever comes second waits, and finds it done

KEY is the digest of the recipe, which names the shards by digest, the preprocessing and the decoder: what
would be decoded otherwise has another key. A folder appears whole, by a rename. The oldest used go first.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.domain.digest import Digest
from tidemill.errors import StorageError
from tidemill.files import fsync_tree, locked, staged_directory, sweep_staging

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1
PIXELS, RECORD = "pixels.npy", "record.json"
_LONGEST_WAIT = 6 * 3600.0  # seconds for somebody else to decode the same


@dataclass(frozen=True, slots=True)
class Decoded:
    """`pixels` uint8 [N, H, W, C], mapped: what is written into them stays in this process.

    `counts` int64 [C, 256]: how many pixels of all pictures have each value.
    """

    pixels: NDArray[np.uint8]
    counts: NDArray[np.int64]


def key_of(recipe: Mapping[str, Any]) -> str:
    """The name of the folder for `recipe`, plain values that say everything the pixels depend on."""
    return Digest.of_json({"format": FORMAT, **recipe}).hex


def open_decoded(root: Path, key: str) -> Decoded | None:
    """What is there under `key`, or None; sizes and header are checked, and it counts as used now."""
    folder = root / key
    try:
        record = json.loads((folder / RECORD).read_bytes())
        pixels = np.load(folder / PIXELS, mmap_mode="c", allow_pickle=False)
        counts = np.array(record["counts"], np.int64)
        os.utime(folder / RECORD)
    except (OSError, ValueError, KeyError, TypeError):  # not there, just evicted, or cut by a hand
        return None
    if record.get("format") != FORMAT or pixels.dtype != np.uint8 or list(pixels.shape) != record.get("shape"):
        return None
    return Decoded(pixels, counts) if counts.shape == (pixels.shape[3], 256) else None


class Writer:
    """Takes pixels of any rows in any order, each row once, and counts their values."""

    def __init__(self, path: Path, shape: tuple[int, int, int, int]) -> None:
        self.shape = shape
        self.counts = np.zeros((shape[3], 256), np.int64)
        self._row = int(np.prod(shape[1:]))
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            self._start = file.tell()
        self._file = os.open(path, os.O_WRONLY)
        with contextlib.suppress(OSError):
            os.posix_fallocate(self._file, 0, self._start + shape[0] * self._row)  # one extent, where it is known

    def write(self, first: int, pixels: NDArray[np.uint8]) -> None:
        """Rows `first` and following. Raises OSError, never a signal, when the disk is full."""
        content = np.ascontiguousarray(pixels).data.cast("B")
        place = self._start + first * self._row
        while content:
            written = os.pwrite(self._file, content, place)
            content, place = content[written:], place + written
        for channel in range(self.shape[3]):
            self.counts[channel] += np.bincount(pixels[..., channel].reshape(-1), minlength=256)

    def close(self) -> None:
        os.close(self._file)


@contextmanager
def made_once(root: Path, key: str) -> Iterator[Decoded | None]:
    """Hold the right to make `key`; yields what somebody else made while this process waited, if anything.

    What killed writers left is removed.
    """
    with locked(root / ".locks" / f"{key}.lock", timeout=_LONGEST_WAIT, what="the same decoded pictures"):
        sweep_staging(root / ".staging")
        yield open_decoded(root, key)


@contextmanager
def writing(root: Path, key: str, recipe: Mapping[str, Any], shape: tuple[int, int, int, int]) -> Iterator[Writer]:
    """A Writer whose folder appears under `key` when the block ends without an error.

    Raises StorageError when the disk is full; nothing is left then.
    """
    _remove(root, key)  # something is there that `open_decoded` refused
    try:
        with staged_directory(root / key, staging=root / ".staging") as folder:
            writer = Writer(folder / PIXELS, shape)
            try:
                yield writer
            finally:
                writer.close()
            record = {"format": FORMAT, "shape": shape, "recipe": recipe, "counts": writer.counts.tolist()}
            (folder / RECORD).write_text(json.dumps(record, sort_keys=True), encoding="utf-8")
            fsync_tree(folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageError("the disk is full while decoding pictures", "data.cache_gb=0 keeps none") from error
        raise


def room(root: Path, limit: float) -> int:
    """Bytes that all decoded pictures may take: `limit` GB; -1 is half of what they and the free disk are together."""
    if limit >= 0:
        return int(limit * 1e9)
    there = next(folder for folder in (root, *root.parents) if folder.is_dir())
    return (sum(size for _, size, _ in _entries(root)) + shutil.disk_usage(there).free) // 2


def evict(root: Path, limit: int, *, spare: str) -> None:
    """Remove the longest unused until all together take at most `limit` bytes; `spare` stays.

    Who has one mapped keeps it: its file goes with the last process that has it open.
    """
    entries = sorted(_entries(root))
    total = sum(size for _, size, _ in entries)
    for _, size, key in entries:
        if total <= limit:
            return
        if key != spare:
            _remove(root, key)
            total -= size


def _entries(root: Path) -> list[tuple[float, int, str]]:
    """(used last, bytes, key) of each folder."""
    found = []
    for record in root.glob(f"*/{RECORD}"):
        with contextlib.suppress(OSError):
            size = (record.parent / PIXELS).stat().st_size
            found.append((record.stat().st_mtime, size, record.parent.name))
    return found


def _remove(root: Path, key: str) -> None:
    """Gone at once under its name, so that nobody opens half of it."""
    gone = root / ".staging" / f"{os.getpid()}-{uuid.uuid4().hex}"
    gone.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        os.rename(root / key, gone)
        shutil.rmtree(gone, ignore_errors=True)
