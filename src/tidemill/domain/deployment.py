"""What a promotion publishes for servers to watch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tidemill.domain.digest import Digest


@dataclass(frozen=True, slots=True)
class Deployment:
    """The manifest `serving/NAME/ALIAS.json`: which version an alias means since when.

    `place` is the bundle's folder, relative to the manifest's own folder or absolute; `sequence` is the ledger's line.
    """

    name: str
    alias: str
    version: int
    bundle: Digest
    place: str
    at: datetime
    sequence: int
