"""Whether files are as they were, told from their names, sizes, times and inodes alone, as git's index does."""

from __future__ import annotations

import hashlib
import os
import stat
from array import array
from pathlib import Path
from typing import NamedTuple

_FINE, _COARSE = 50_000_000, 2_000_000_000
_SECOND = 1_000_000_000


class Fingerprint(NamedTuple):
    """`digest` (64 hex digits) stands for every file and folder under a path; `changed` is when one of them was
    changed last, in nanoseconds since 1970."""

    digest: str
    changed: int


def fingerprint(path: Path) -> Fingerprint:
    """The state of the file or of the folder `path`. Raises OSError where it cannot be read."""
    names: list[str] = []
    facts = array("q")
    latest = 0
    add_name, add_facts = names.append, facts.extend
    waiting = [str(path)]
    while waiting:
        place = waiting.pop()
        names.append(place)
        found = os.stat(place)
        latest = max(latest, _note(found, facts))
        if not stat.S_ISDIR(found.st_mode):
            continue
        with os.scandir(place) as entries:
            for entry in sorted(entries, key=_name):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                    continue
                add_name(entry.name)
                found = entry.stat()
                changed = found.st_mtime_ns
                created = found.st_ctime_ns
                add_facts((found.st_size, changed, created, found.st_ino))
                if changed > latest or created > latest:
                    latest = max(changed, created)
    total = hashlib.sha256("\0".join(names).encode(errors="surrogateescape"))
    total.update(facts.tobytes())
    return Fingerprint(total.hexdigest(), latest)


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _note(found: os.stat_result, facts: array[int]) -> int:
    facts.extend((found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino))
    return max(found.st_mtime_ns, found.st_ctime_ns)


def is_racy(changed: int, looked: int) -> bool:
    """Whether a file that was changed at `changed` could change again, after it was looked at from `looked` on, and
    keep its times. Both are nanoseconds since 1970; a file system that counts whole seconds is allowed for."""
    return changed > looked - (_COARSE if changed % _SECOND == 0 else _FINE)
