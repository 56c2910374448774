"""How long a model and its exports take for one request and for 32, measured in turns."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tidemill.domain.bundle import Latency

if TYPE_CHECKING:
    from tidemill.bundle.preprocess import Preprocessor
    from tidemill.ports import Feed, Raw
    from tidemill.stages.parity import Scorer

BATCH = 32
_ROUNDS = 60
_LEAST = 5
_SECONDS = 1.0  # for each scorer and size: slow models are timed in fewer rounds
_WARMUP = 3


def latencies(scorers: Mapping[str, Scorer], preprocessor: Preprocessor, inputs: Sequence[Raw]) -> dict[str, Latency]:
    """Median milliseconds of each of `scorers`, by its name; preprocessing is not counted.

    All of them take their turn in each round, so that what else the machine does meets them alike.
    """
    ones = [preprocessor.prepare(inputs[index : index + 1]) for index in range(min(_ROUNDS, len(inputs)))]
    several = [inputs[index % len(inputs)] for index in range(BATCH)]
    one, batch = _medians(scorers, ones), _medians(scorers, [preprocessor.prepare(several)])
    return {name: Latency(one[name], batch[name]) for name in scorers}


def _medians(scorers: Mapping[str, Scorer], feeds: Sequence[Feed]) -> dict[str, float]:
    for feed in feeds[:_WARMUP]:
        for scorer in scorers.values():
            scorer(feed)
    taken: dict[str, list[float]] = {name: [] for name in scorers}
    end = time.perf_counter() + _SECONDS * len(scorers)
    for turn in range(_ROUNDS):
        if turn >= _LEAST and time.perf_counter() > end:
            break
        for name, scorer in scorers.items():
            started = time.perf_counter()
            scorer(feeds[turn % len(feeds)])
            taken[name].append(time.perf_counter() - started)
    return {name: round(float(np.median(seconds)) * 1000, 4) for name, seconds in taken.items()}
