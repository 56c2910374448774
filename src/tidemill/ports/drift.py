"""What compares a window of predictions with the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tidemill.domain.drift import DriftTest


class Sample(NamedTuple):
    """What a detector compares: rows of one model version. `scores` and `embedding` are [N, ...].

    `columns` holds facts of the inputs that were kept, by name (a table's columns, a picture's brightness), each [M].
    """

    scores: NDArray[np.float32]
    embedding: NDArray[np.float32]
    columns: Mapping[str, NDArray[Any]]


class Detector(Protocol):
    """Compares a window with the reference; every test it runs is in the answer, corrected for their number."""

    def compare(self, reference: Sample, window: Sample, *, level: float, seed: int) -> list[DriftTest]: ...
