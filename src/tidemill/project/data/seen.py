"""What adding some files gave, so that adding them again, unchanged, only looks at their names, sizes and times."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tidemill.dataset.fingerprint import Fingerprint, fingerprint, is_racy
from tidemill.domain.digest import Digest
from tidemill.files import write_atomic


class Seen:
    """The files at `path`, to be read by `settings` (plain values), with what `folder` keeps of them."""

    def __init__(self, folder: Path, path: Path, settings: Sequence[Any]) -> None:
        key = Digest.of_json([str(path.resolve()), *settings]).hex
        self._path, self._file = path, folder / f"{key[:32]}.json"
        self._began = time.time_ns()
        self._now: Fingerprint | None = None
        self._looking = threading.Lock()

    def digest(self) -> Digest | None:
        """The digest of the data set that they were when they were added; None when they are not as they were."""
        try:
            kept = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return None
        self.look()
        try:
            same = self._now is not None and kept["fingerprint"] == self._now.digest
            return Digest(kept["digest"]) if same else None
        except (ValueError, KeyError, TypeError):
            return None

    def look(self) -> None:
        """Look at them, once: at any time before `keep`, which does it otherwise. A change in the meantime shows in
        their times."""
        with self._looking, suppress(OSError, UnicodeError):
            self._now = self._now or fingerprint(self._path)

    def keep(self, digest: Digest) -> None:
        """Note what they are, unless they were changed since, or so lately that a further change might go unseen."""
        self.look()
        if self._now is not None and not is_racy(self._now.changed, self._began):
            write_atomic(self._file, json.dumps({"fingerprint": self._now.digest, "digest": digest}).encode())
