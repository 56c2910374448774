"""Where answered predictions go, and where they are read again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from tidemill.domain.prediction import Feedback, Prediction


class Asked(NamedTuple):
    """Neighbouring rows of a request, as they came. `form` says what `content` holds:

    `file`: one picture file. `rows`, `texts`: a JSON body whose list `inputs` has rows, or sentences. `pixels`: uint8
    [rows, *shape]. `plain`: a JSON list of what stands for each row, where that is no request of its own.
    """

    form: Literal["file", "rows", "texts", "pixels", "plain"]
    rows: int
    content: bytes
    latency_ms: float
    shape: tuple[int, ...] = ()


class Answered(NamedTuple):
    """Rows that one run of a model answered, in the order of `asked`. `at` in microseconds since 1970, UTC."""

    model: str
    version: int
    bundle: str
    at: int
    ids: list[str]
    outputs: list[str]
    scores: NDArray[np.float32]
    embedding: NDArray[np.float32]
    asked: list[Asked]


class PredictionSink(Protocol):
    """Takes answered predictions before they are answered: on return they survive the death of the process."""

    def append(self, predictions: Sequence[Prediction]) -> None: ...

    def answered(self, batches: Sequence[Answered]) -> None: ...

    def answered_at_once(self, batch: Answered) -> bool:
        """As `answered`, where that takes a moment only: an event loop asks. Else False, and nothing was written."""

    def feedback(self, feedback: Sequence[Feedback]) -> None: ...

    def close(self) -> None: ...


class PredictionLog(Protocol):
    """Reads what a sink wrote, while it is writing."""

    def find(self, prediction_id: str) -> Prediction:
        """Raises NotFoundError."""

    def window(self, model: str, *, version: int | None, since: datetime | None, until: datetime | None) -> pa.Table:
        """Columns as Prediction's fields, plus `label` (null where no feedback came); oldest first."""

    def labels(self, prediction_ids: Iterable[str]) -> Mapping[str, Feedback]:
        """The latest feedback for each id that has one."""
