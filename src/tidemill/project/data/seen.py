"""What adding some files gave, so that adding them again, unchanged, only looks at their names, sizes and times."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tidemill.dataset.fingerprint import Fingerprint, fingerprint
from tidemill.domain.digest import Digest
from tidemill.files import write_atomic


class Seen:
    """The files at `path`, as they are now, to be read by `settings` (plain values), with what `folder` keeps."""

    def __init__(self, folder: Path, path: Path, settings: Sequence[Any]) -> None:
        key = Digest.of_json([str(path.resolve()), *settings]).hex
        self._file = folder / f"{key[:32]}.json"
        self._now: Fingerprint | None = None
        with suppress(OSError, UnicodeError):
            self._now = fingerprint(path)

    def digest(self) -> Digest | None:
        """The digest of the data set that they were when they were added; None when they are not as they were."""
        try:
            kept = json.loads(self._file.read_bytes())
            same = self._now is not None and kept["fingerprint"] == self._now.digest
            return Digest(kept["digest"]) if same else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, digest: Digest) -> None:
        """Note what they are, unless they were changed so lately that a further change might go unseen."""
        if self._now is not None and self._now.certain:
            write_atomic(self._file, json.dumps({"fingerprint": self._now.digest, "digest": digest}).encode())
