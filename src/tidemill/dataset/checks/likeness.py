"""How alike pairs of pictures are, kept so that a pair is compared once: it depends on the two files' bytes alone."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tidemill.files import write_atomic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Compare = Callable[[NDArray[np.int64]], NDArray[np.float64]]
    """`near.likeness` of pairs [P, 2], wherever the pictures are."""

_FORMAT = 1
"""Of the file, and of what counts as alike."""
_MOST = 1_000_000
"""Pairs that are kept: 72 bytes each."""


def remembered_likeness(
    pairs: NDArray[np.int64], digests: NDArray[np.bytes_], compare: Compare, file: Path | None
) -> NDArray[np.float64]:
    """What `compare` says of pairs of pictures with the SHA-256 `digests`, S32 [N]; it is not asked for what `file`
    has.

    Afterwards the file has what was found of these pairs, and nothing else.
    """
    if file is None or not len(pairs):
        return compare(pairs)
    keys = _keys(pairs, digests)
    alike = _recall(file, keys)
    new = np.isnan(alike)
    if new.any():
        alike[new] = compare(pairs[new])
        _remember(file, keys, alike)
    return alike


def _keys(pairs: NDArray[np.int64], digests: NDArray[np.bytes_]) -> NDArray[np.bytes_]:
    """Both digests of each pair, the lower first, as strings of 64 bytes."""
    return np.frombuffer(np.sort(digests[pairs], axis=1).tobytes(), "S64")


def _recall(file: Path, keys: NDArray[np.bytes_]) -> NDArray[np.float64]:
    """What the file has of each; NaN where it has nothing."""
    alike = np.full(len(keys), np.nan)
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as kept:
            if int(kept["format"]) != _FORMAT:
                return alike
            known, found = np.frombuffer(kept["keys"].tobytes(), "S64"), kept["alike"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return alike
    if not len(known) or found.shape != known.shape or found.dtype != np.float64:
        return alike
    at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[at] == keys, found[at], alike)


def _remember(file: Path, keys: NDArray[np.bytes_], alike: NDArray[np.float64]) -> None:
    """Keep all but what could not be read."""
    if len(keys) > _MOST:
        return
    order = np.argsort(keys)
    order = order[~np.isnan(alike[order])]
    content = io.BytesIO()
    plain = np.frombuffer(keys[order].tobytes(), np.uint8)
    np.savez(content, format=np.int64(_FORMAT), keys=plain, alike=alike[order])
    write_atomic(file, content.getvalue())
