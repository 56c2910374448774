"""Answers for many inputs, where a bad one is named and the others are answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tidemill.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from tidemill.bundle.predictor import Answer, Predictor
    from tidemill.ports import Raw, Reporter

    Given = Raw | InputError
    """An input, or why it could not even be read."""

_BATCH = 64
_ROWS = 1024


@dataclass(slots=True)
class Answers:
    """`answers[i]` is None where `problems[i]` says what was wrong with input i."""

    answers: list[Answer | None] = field(default_factory=list)
    problems: dict[int, str] = field(default_factory=dict)


def predict(predictor: Predictor, inputs: Sequence[Given], reporter: Reporter | None = None) -> Answers:
    """Answer every input, in batches; what `inputs` gives for a position is asked for once, when its turn comes."""
    found = Answers()
    for start in range(0, len(inputs), _BATCH):
        batch = [inputs[index] for index in range(start, min(start + _BATCH, len(inputs)))]
        usable = [raw for raw in batch if not isinstance(raw, InputError)]
        try:
            feed = predictor.preprocessor.prepare(usable) if len(usable) == len(batch) else None
        except InputError:
            feed = None
        _answer(predictor, batch, feed, found)
        _tell(reporter, len(found.answers), len(inputs))
    return found


def predict_table(predictor: Predictor, table: pa.Table, reporter: Reporter | None = None) -> Answers:
    """Answer every row of `table`, whose columns are the model's. Raises InputError when they are not."""
    found = Answers()
    for start in range(0, table.num_rows, _ROWS):
        part = table.slice(start, _ROWS)
        feed: Mapping[str, NDArray[Any]] | None = None
        try:
            feed = predictor.preprocessor.prepare_table(part)
        except InputError as error:
            if not hasattr(error, "index"):  # the columns, not a row
                raise
        _answer(predictor, part.to_pylist() if feed is None else [None] * part.num_rows, feed, found)
        _tell(reporter, len(found.answers), table.num_rows)
    return found


def _answer(
    predictor: Predictor, batch: Sequence[Any], feed: Mapping[str, NDArray[Any]] | None, found: Answers
) -> None:
    """Add the answers of a batch; without a feed its inputs are tried one by one."""
    if feed is not None:
        found.answers += predictor.answers(predictor.score_feed(feed).scores)
        return
    first = len(found.answers)
    good = []
    for position, raw in enumerate(batch):
        try:
            if isinstance(raw, InputError):
                raise raw
            predictor.preprocessor.prepare([raw])
            good.append(position)
        except InputError as error:
            found.problems[first + position] = error.headline.replace("input 0 is ", "").replace("row 0, ", "")
    found.answers += [None] * len(batch)
    if good:
        for position, answer in zip(good, predictor.predict([batch[position] for position in good]), strict=True):
            found.answers[first + position] = answer


def _tell(reporter: Reporter | None, done: int, total: int) -> None:
    if reporter is not None:
        reporter.progress(done, total, "predicting")
