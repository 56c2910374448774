"""Compare two trainings by their chains of weight digests (`lineage/weights.jsonl` of their runs)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tidemill.domain.chain import WEIGHTS, Link
from tidemill.domain.digest import Digest
from tidemill.errors import DataError

__all__ = ["WEIGHTS", "first_difference", "read_chain"]


def read_chain(path: Path) -> list[Link]:
    """The links in the file, oldest first; a last line that a kill cut short is left out.

    Raises DataError for a file that is no chain.
    """
    links: list[Link] = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            break
        try:
            plain = json.loads(line)
            links.append(Link(int(plain["step"]), Digest(plain["digest"])))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}, line {number} is no digest of weights: {error}", "fetch the run's artefact again"
            ) from None
    return links


def first_difference(one: Sequence[Link], other: Sequence[Link]) -> Link | None:
    """The first link of `one` that `other` has differently or not at all; None when the chains are equal.

    When `one` is the beginning of a longer `other`, it is the first link of `other` that `one` lacks.
    """
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            return mine
    shared = min(len(one), len(other))
    longer = one if len(one) > len(other) else other
    return longer[shared] if len(longer) > shared else None
