"""Answers for many inputs, where a bad one is named and the others are answered."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.bundle.decide import decide
from tidemill.errors import GateError, InputError, ItemError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from tidemill.bundle.predictor import Predictor
    from tidemill.ports import Raw

    Given = Raw | InputError
    """An input, or why it could not even be read."""
    Feed = Mapping[str, NDArray[Any]]
    Prepare = Callable[[list[int]], Feed]
    """The feed of the rows with these indices. Raises ItemError with the place of a bad one among them."""

_BATCH = 64
_ROWS = 1024
_TRIES = 16  # bad rows of a batch that are left out one after the other; where there are more, each row is tried alone
_PLACE = re.compile(r"^(?:input|row) \d+(?: is|,)? ")


@dataclass(slots=True)
class Answers:
    """`outputs[i]` is None, and row i of `scores` [N, C] NaN, where `problems[i]` says what was wrong with input i."""

    outputs: list[str | None]
    scores: NDArray[np.float32]
    problems: dict[int, str] = field(default_factory=dict)


def predict(predictor: Predictor, inputs: Sequence[Given]) -> Answers:
    """Answer every input, 64 at once; what `inputs` gives for a position is asked for once, when its turn comes."""
    found = _nothing(predictor, len(inputs))
    for start in range(0, len(inputs), _BATCH):
        batch: list[Any] = [inputs[index] for index in range(start, min(start + _BATCH, len(inputs)))]
        unread = {index: raw.headline for index, raw in enumerate(batch) if isinstance(raw, InputError)}

        def prepare(rows: list[int], batch: list[Any] = batch) -> Feed:
            return predictor.preprocessor.prepare([batch[row] for row in rows])

        _answer(predictor, prepare, len(batch), unread, found, start)
    return found


def predict_table(predictor: Predictor, table: pa.Table, problems: Mapping[int, str] | None = None) -> Answers:
    """Answer every row of `table`, whose columns are the model's, but for those that have a problem already.

    Raises InputError for other columns than the model's.
    """
    found = _nothing(predictor, table.num_rows)
    known = problems or {}
    for start in range(0, table.num_rows, _ROWS):
        part = table.slice(start, _ROWS)
        unread = {row - start: known[row] for row in known if start <= row < start + part.num_rows}

        def prepare(rows: list[int], part: pa.Table = part) -> Feed:
            return predictor.preprocessor.prepare_table(part if len(rows) == part.num_rows else part.take(rows))

        _answer(predictor, prepare, part.num_rows, unread, found, start)
    return found


def _nothing(predictor: Predictor, rows: int) -> Answers:
    classes = len(predictor.bundle.signature.labels) or 1
    return Answers([None] * rows, np.full((rows, classes), np.nan, np.float32))


def _answer(
    predictor: Predictor, prepare: Prepare, rows: int, unread: Mapping[int, str], found: Answers, start: int
) -> None:
    """Put the answers and problems of a batch, which begins at row `start`, into `found`."""
    found.problems.update((start + row, problem) for row, problem in unread.items())
    feed, good, bad = _feed(prepare, [row for row in range(rows) if row not in unread])
    found.problems.update((start + row, problem) for row, problem in bad.items())
    if feed is None:
        return
    try:
        scored = [(good, predictor.score_feed(feed).scores)]
    except GateError:  # the model itself has no number for one of them
        scored = []
        for position, row in enumerate(good):
            try:
                alone = {name: values[position : position + 1] for name, values in feed.items()}
                scored.append(([row], predictor.score_feed(alone).scores))
            except GateError:
                found.problems[start + row] = "the model has no number for it"
    for those, scores in scored:
        outputs = decide(predictor.bundle.signature, scores)
        found.scores[[start + row for row in those]] = scores
        for row, output in zip(those, outputs, strict=True):
            found.outputs[start + row] = output


def _feed(prepare: Prepare, rows: list[int]) -> tuple[Feed | None, list[int], dict[int, str]]:
    """The feed of the rows that can be used, which these are, and what is wrong with the others."""
    good, bad = list(rows), dict[int, str]()
    for _ in range(_TRIES):
        if not good:
            return None, [], bad
        try:
            return prepare(good), good, bad
        except ItemError as error:
            bad[good.pop(error.index)] = _problem(error)
    for row in list(good):
        try:
            prepare([row])
        except ItemError as error:
            bad[row] = _problem(error)
            good.remove(row)
    return (prepare(good) if good else None), good, bad


def _problem(error: ItemError) -> str:
    return _PLACE.sub("", error.headline)
