"""What waits in a model's queue, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from tidemill.ports import Asked
from tidemill.serve.model import ServedModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tidemill.ports import Raw, Scored

Feed = Mapping[str, "NDArray[Any]"]


class Given(NamedTuple):
    """What a request gave: raw inputs, or a feed that is ready for the graph; one of the two is None.

    `kept` is what the log keeps of it, its latency not known yet. `shapes` of feeds in one batch agree. `timeout` is
    how many seconds it may wait for its turn; 0 where the server decides.
    """

    inputs: Sequence[Raw] | None
    feed: Feed | None
    rows: int
    kept: tuple[Asked, ...]
    shapes: tuple[tuple[int, ...], ...] = ()
    timeout: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A request that waits. `received` is time.perf_counter(); `reply` is called once, on the event loop's thread.

    `gone` says whether nobody waits for the answer any more.
    """

    given: Given
    received: float
    reply: Callable[[Answer | Exception], None]
    gone: Callable[[], bool]


class Results:
    """What one run of the graph gave, of several requests: `scores` float32 [N, C], `embedding` float32 [N, D].

    It `began` at that time.perf_counter(), and took so many `seconds`.
    """

    def __init__(
        self, model: ServedModel, ids: list[str], outputs: list[str], scored: Scored, began: float, seconds: float
    ) -> None:
        self.model, self.ids, self.outputs = model, ids, outputs
        self.began, self.seconds = began, seconds
        self.scores, self.embedding = scored.scores, scored.embedding

    @cached_property
    def written(self) -> list[list[bytes]]:
        """The scores of each row as JSON writes them: the shortest text that gives the same 32-bit float again."""
        text = orjson.dumps(self.scores, option=orjson.OPT_SERIALIZE_NUMPY)
        return [row.split(b",") for row in text[2:-2].split(b"],[")]


class Answer(NamedTuple):
    """The rows `start` to `stop` of `results`: those of one request, in its order."""

    results: Results
    start: int
    stop: int

    @property
    def model(self) -> ServedModel:
        return self.results.model

    @property
    def ids(self) -> list[str]:
        return self.results.ids[self.start : self.stop]

    @property
    def outputs(self) -> list[str]:
        return self.results.outputs[self.start : self.stop]

    @property
    def scores(self) -> NDArray[np.float32]:
        return self.results.scores[self.start : self.stop]

    @property
    def embedding(self) -> NDArray[np.float32]:
        return self.results.embedding[self.start : self.stop]
