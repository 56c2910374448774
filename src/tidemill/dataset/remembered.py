"""What was found out about files, kept so that a file that has not changed is not read again."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.dataset.checks.near import LOOK
from tidemill.dataset.fingerprint import is_racy
from tidemill.dataset.pictures import Checked
from tidemill.domain.digest import Digest
from tidemill.files import write_atomic

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Remembered:
    """The pictures of one folder. `stats` int64 [N, 4]: size, mtime, ctime and inode of each file."""

    names: Sequence[str]
    stats: NDArray[np.int64]
    digests: NDArray[np.uint8]
    shapes: NDArray[np.int32]
    looks: NDArray[np.uint8]

    def known(self, names: Sequence[str], stats: NDArray[np.int64]) -> list[Checked | None]:
        """What is known of each file, None where it is another file than then."""
        places = {name: at for at, name in enumerate(self.names)}
        at = np.array([places.get(name, -1) for name in names], np.int64)
        if not len(self.names):
            return [None] * len(names)
        same = (at >= 0) & (self.stats[at] == stats).all(axis=1)
        shapes: list[list[int]] = self.shapes.tolist()
        seen: list[bool] = self.looks.any(axis=1).tolist()  # type: ignore[assignment]  # of one axis, a list
        digests, looks = self.digests.tobytes(), self.looks.tobytes()
        width = self.looks.shape[1]

        def checked(row: int) -> Checked:
            high, wide, grey = shapes[row]
            look = looks[row * width : (row + 1) * width] if seen[row] else b""
            return Checked(digests[row * 32 : (row + 1) * 32], high, wide, bool(grey), look)

        return [checked(row) if fits else None for row, fits in zip(at.tolist(), same.tolist(), strict=True)]


def place(cache: Path, folder: Path) -> Path:
    """Where the knowledge of the pictures in `folder` lies in `cache`."""
    return cache / f"{Digest.of_bytes(str(folder.resolve()).encode(errors='surrogateescape')).hex[:32]}.npz"


def recall(file: Path) -> Remembered | None:
    """What `remember` kept; None when there is nothing, or nothing that can be read."""
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as kept:
            if int(kept["format"]) != _FORMAT:
                return None
            names = kept["names"].tobytes().decode().split("\0") if len(kept["names"]) else []
            found = Remembered(names, kept["stats"], kept["digests"], kept["shapes"], kept["looks"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError, UnicodeDecodeError):
        return None
    whole = len(names) == len(found.stats) == len(found.digests) == len(found.shapes) == len(found.looks)
    return found if whole else None


def remember(
    file: Path, names: Sequence[str], stats: NDArray[np.int64], checked: Sequence[Checked], *, looked: int
) -> None:
    """Keep what `checked` says of the files. `looked` is when looking at them began, in nanoseconds since 1970: what
    had just changed then is not believed the next time."""
    changed = stats[:, 1:3].max(axis=1).tolist()
    believed = stats.copy()
    believed[[is_racy(each, looked) for each in changed], 0] = -1
    arrays: dict[str, Any] = {
        "format": np.int64(_FORMAT),
        "names": np.frombuffer("\0".join(names).encode(), np.uint8),
        "stats": believed,
        "digests": np.frombuffer(b"".join(each.digest for each in checked), np.uint8).reshape(-1, 32),
        "shapes": np.array([(each.height, each.width, each.grey) for each in checked], np.int32).reshape(-1, 3),
    }
    looks = b"".join(each.look or bytes(LOOK) for each in checked)
    arrays["looks"] = np.frombuffer(looks, np.uint8).reshape(-1, LOOK)
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_atomic(file, content.getvalue())
