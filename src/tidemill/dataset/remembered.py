"""What was found out about files, kept so that a file that has not changed is not read again."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.dataset.fingerprint import is_racy
from tidemill.dataset.pictures import Facts
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
    facts: Facts

    def known(self, names: Sequence[str], stats: NDArray[np.int64]) -> NDArray[np.int64]:
        """The place of each file here, int64 [N]; -1 where it is another file than then."""
        places = {name: at for at, name in enumerate(self.names)}
        at = np.array([places.get(name, -1) for name in names], np.int64)
        if len(self.names):
            at[(self.stats[at] != stats).any(axis=1)] = -1
        return at


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
            found = Remembered(names, kept["stats"], Facts(kept["digests"], kept["shapes"], kept["looks"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError, UnicodeDecodeError):
        return None
    facts = found.facts
    whole = len(names) == len(found.stats) == len(facts) == len(facts.shapes) == len(facts.looks)
    return found if whole else None


def remember(file: Path, names: Sequence[str], stats: NDArray[np.int64], facts: Facts, *, looked: int) -> None:
    """Keep what is known of the files. `looked` is when looking at them began, in nanoseconds since 1970: what had just
    changed then is not believed the next time."""
    changed = stats[:, 1:3].max(axis=1).tolist()
    believed = stats.copy()
    believed[[is_racy(each, looked) for each in changed], 0] = -1
    arrays: dict[str, Any] = {
        "format": np.int64(_FORMAT),
        "names": np.frombuffer("\0".join(names).encode(), np.uint8),
        "stats": believed,
        "digests": facts.digests,
        "shapes": facts.shapes,
        "looks": facts.looks,
    }
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_atomic(file, content.getvalue())
