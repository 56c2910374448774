"""The folder in which the page's process listens, and keeps what is uploaded.

Its name is known before it is there, to whoever may read the workers' command lines. So it counts only where it is
this user's own: in a folder that somebody else made, somebody else could listen, and be told tokens.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

_LONGEST = 100  # bytes of a socket's path: the system takes 107
_SOCKET = "/page"


def choose() -> Path:
    """A path for the folder that no other has, and short enough for a socket in it; nothing is there yet."""
    name = f"tidemill-page-{secrets.token_hex(8)}"
    folder = Path(tempfile.gettempdir(), name)
    if len(os.fsencode(folder)) <= _LONGEST - len(_SOCKET):
        return folder
    return Path("/tmp", name)  # noqa: S108 - `make` and `is_own` see to it that it is nobody else's


def make(folder: Path) -> None:
    """Make it for this user only, if it is not there. Raises OSError, also where it is somebody else's."""
    with suppress(FileExistsError):
        folder.mkdir(0o700)
    if not is_own(folder):
        raise OSError(errno.EPERM, "its folder is somebody else's")


def is_own(folder: Path) -> bool:
    """Whether it is there, no link, and this user's only."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
