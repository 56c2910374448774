"""The chain of weight digests that a training leaves: equal chains are equal trainings, step by step."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tidemill.domain.digest import Digest

WEIGHTS = "weights.jsonl"
"""The file that a run keeps its chain in, a link a line."""

GENESIS = Digest("sha256:" + "0" * 64)


@dataclass(frozen=True, slots=True)
class Link:
    """`digest` covers the weights after `step` steps (trees, for boosting) and, by the link before, all earlier ones.

    It is sha256(the 32 bytes of the previous digest || the weights' bytes in the order of their names).
    """

    step: int
    digest: Digest


def next_link(previous: Link | None, step: int, weights: Iterable[Any]) -> Link:
    """The link after `previous` (None: the first); each of `weights` is an object with contiguous bytes."""
    state = hashlib.sha256(bytes.fromhex((previous.digest if previous else GENESIS).hex))
    for each in weights:
        state.update(each)
    return Link(step, Digest("sha256:" + state.hexdigest()))
