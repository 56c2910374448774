"""What this installation has tried already: one small file for each bundle that was proven, by its digest.

A proof holds for the libraries it was made with: another version of one of them tries the bundle again.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tidemill.domain.digest import Digest
from tidemill.files import locked, write_atomic


def state_folder() -> Path | None:
    """The user's own folder for proofs ($XDG_STATE_HOME/tidemill/proofs); None for a user without a home."""
    base = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(base):
        return Path(base, "tidemill", "proofs")
    with contextlib.suppress(RuntimeError):
        return Path.home() / ".local" / "state" / "tidemill" / "proofs"
    return None


def user_folder() -> Path | None:
    """`state_folder`, or where that cannot be written (a worker without a home) one in the temporary folder.

    Only a folder that is this user's alone is taken: what others may write proves nothing. None where there is none.
    """
    temporary = Path(tempfile.gettempdir(), f"tidemill-proofs-{os.geteuid()}")
    return next((folder for folder in (state_folder(), temporary) if folder is not None and _is_own(folder)), None)


def _is_own(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return False
    private = stat.S_ISDIR(status.st_mode) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return private and status.st_uid == os.geteuid() and os.access(folder, os.W_OK)


@contextlib.contextmanager
def one_at_a_time(folder: Path, digest: Digest, seconds: float) -> Iterator[None]:
    """Among processes that share the folder, let one try a bundle while the others wait for what it finds.

    Raises BusyError after `seconds`. Where no lock can be made, nobody waits.
    """
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            held.enter_context(
                locked(folder / f"{digest.hex}.lock", timeout=seconds, what=f"the bundle {digest.short}")
            )
        yield


def is_proven(folder: Path, digest: Digest, version: str) -> bool:
    """Whether `remember` was told of this bundle with these libraries. A file that cannot be read proves nothing."""
    try:
        return (folder / digest.hex).read_bytes() == _content(digest, version)
    except OSError:
        return False


def remember(folder: Path, digest: Digest, version: str) -> None:
    """Keep that the bundle was proven. Where nothing can be written (a read-only image) it is tried again next time."""
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(folder / digest.hex, _content(digest, version))


def _content(digest: Digest, version: str) -> bytes:
    return f"proven {digest}\nwith {version}\n".encode()
