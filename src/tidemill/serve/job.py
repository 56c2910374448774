"""What waits in a model's queue, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tidemill.serve.model import ServedModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.ports import Raw

Feed = Mapping[str, "NDArray[Any]"]


class Answer(NamedTuple):
    """The answered rows of one request, in its order: `scores` float32 [N, C], `embedding` float32 [N, D]."""

    model: ServedModel
    ids: list[str]
    outputs: list[str]
    scores: NDArray[np.float32]
    embedding: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A request that waits: raw `inputs`, or a `feed` ready for the graph. `shapes` of feeds in one batch agree."""

    inputs: Sequence[Raw] | None
    feed: Feed | None
    rows: int
    shapes: tuple[tuple[int, ...], ...]
    received: float
    future: asyncio.Future[Answer]
