"""How a user's data is to be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tidemill.domain.dataset import Kind


class Steps(NamedTuple):
    """What is made of a table before its columns get a meaning, in this order: new columns by formula (`derive`), rows
    outside of a range left out (`keep`), numbers read as names (`categories`), and only `columns` kept, if any."""

    derive: Mapping[str, str] = {}
    keep: Mapping[str, tuple[float, float]] = {}
    categories: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


class Reading(NamedTuple):
    """How a table is to be read; what is not said is guessed from the columns' names."""

    target: str | None = None
    text: str | None = None
    kind: Kind | None = None
    header: bool = True
    as_text: frozenset[str] = frozenset()
    picture: str | None = None
    steps: Steps = Steps()

    def plain(self) -> list[Any]:
        """As plain values, the same in every process."""
        named = self._asdict() | {"as_text": sorted(self.as_text)}
        steps = self.steps._asdict() | {"keep": {name: list(ends) for name, ends in self.steps.keep.items()}}
        return [*(named | {"steps": None}).items(), *steps.items()]
