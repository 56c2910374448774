"""How a user's data is to be read."""

from __future__ import annotations

from typing import NamedTuple

from tidemill.domain.dataset import Kind


class Reading(NamedTuple):
    """How a table is to be read; what is not said is guessed from the columns' names."""

    target: str | None = None
    text: str | None = None
    kind: Kind | None = None
    header: bool = True
    as_text: frozenset[str] = frozenset()
