"""What this installation has tried already: one small file for each bundle that was proven, by its digest.

A proof holds for the libraries it was made with: another version of one of them tries the bundle again.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from tidemill.domain.digest import Digest
from tidemill.files import write_atomic


def state_folder() -> Path | None:
    """The user's own folder for proofs ($XDG_STATE_HOME/tidemill/proofs); None for a user without a home."""
    base = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(base):
        return Path(base, "tidemill", "proofs")
    with contextlib.suppress(RuntimeError):
        return Path.home() / ".local" / "state" / "tidemill" / "proofs"
    return None


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
