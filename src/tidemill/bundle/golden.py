"""Golden requests: raw inputs with the answers that the source model gave, replayed before a model may answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tidemill.bundle.decide import decide
from tidemill.bundle.golden_files import read_file, write_lines
from tidemill.bundle.meaning import changed_meaning, meaning
from tidemill.bundle.preprocess import Preprocessor
from tidemill.bundle.protocols import golden_file
from tidemill.bundle.read import TOKENIZER, OpenBundle
from tidemill.domain.bundle import PROTOCOL, Signature
from tidemill.errors import BundleError, GateError, InputError, first_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.ports import Raw, Session


@dataclass(frozen=True, slots=True)
class GoldenRow:
    """One request with the answer of the source model: `scores` float32 [C], `output` the decision."""

    input: Raw
    scores: NDArray[np.float32]
    output: str


def write_golden(directory: Path, signature: Signature, inputs: Sequence[Raw], scores: NDArray[np.float32]) -> None:
    """Write golden.jsonl: what the numbers mean, and of each request its input, `scores` and decision.

    The tokenizer of a model for text must be in `directory` before.
    """
    tokenizer = directory / TOKENIZER
    meant = meaning(signature, tokenizer if tokenizer.is_file() else None)
    rows = zip(inputs, scores.tolist(), decide(signature, scores), strict=True)
    write_lines(directory / golden_file(PROTOCOL), meant, rows)


def read_golden(opened: OpenBundle) -> list[GoldenRow]:
    """Raises BundleError when the file is not what bundle.json says, GateError when names no longer are what they were.

    The names are those of the labels and of the inputs, in order, and the tokenizer.
    """
    signature, number = opened.bundle.signature, opened.bundle.golden.rows
    try:
        kept = read_file(_path(opened), signature, number)
    except (ValueError, RecursionError, MemoryError) as error:
        raise _bad(opened, first_line(error)) from None
    if len(kept.rows) != number:
        raise _bad(opened, f"it has {len(kept.rows)} rows, not {number}")
    _check_meaning(opened, kept.meaning)
    width = len(signature.labels) or 1
    rows = []
    for raw, numbers, output in kept.rows:
        try:
            with np.errstate(over="ignore"):  # too large for 32 bits is infinite, and never what a graph answers
                scores = np.asarray(numbers, np.float32)
        except OverflowError:
            raise _bad(opened, "it has scores that are too large") from None
        if scores.shape != (width,):
            raise _bad(opened, "it has scores of another shape")
        rows.append(GoldenRow(raw, scores, output))
    return rows


def replay(opened: OpenBundle, session: Session) -> None:
    """Send every golden request through preprocessing and `session`, and compare each score with the kept one.

    Raises GateError naming the request, the field and the difference; a model that fails must not answer anybody.
    """
    rows = read_golden(opened)
    preprocessor = Preprocessor(opened.bundle.preprocessing, opened.tokenizer)
    for start in range(0, len(rows), _BATCH):
        _replay(opened, session, preprocessor, rows[start : start + _BATCH], start)
    _check_decisions(opened, rows)


def replay_row(
    opened: OpenBundle, session: Session, preprocessor: Preprocessor, rows: Sequence[GoldenRow], number: int
) -> None:
    """As `replay`, for the one at `number` of the `rows` that `read_golden` gave."""
    _replay(opened, session, preprocessor, rows[number : number + 1], number)


def _replay(
    opened: OpenBundle, session: Session, preprocessor: Preprocessor, rows: Sequence[GoldenRow], start: int
) -> None:
    """`replay` for some of the rows, the first of which is golden request `start`."""
    try:
        feed = preprocessor.prepare([row.input for row in rows])
    except InputError as error:
        raise GateError(f"a golden request of {opened.bundle.name} is refused: {error.headline}", _REMEDY) from None
    given = session.run(feed).scores
    kept = np.stack([row.scores for row in rows])
    if given.shape != kept.shape:  # they might broadcast
        shapes = f"{list(given.shape)}, kept {list(kept.shape)}"
        raise GateError(f"the scores of the golden requests of {opened.bundle.name} have the shape {shapes}", _REMEDY)
    finite = np.isfinite(given) & np.isfinite(kept)
    difference = np.full(kept.shape, np.inf)
    np.subtract(given, kept, out=difference, where=finite, dtype=np.float64)
    difference = np.abs(difference)
    request, field = np.unravel_index(int(difference.argmax()), difference.shape)
    allowed = opened.bundle.golden.tolerance
    if difference[request, field] > allowed:
        name = (opened.bundle.signature.labels or ("value",))[int(field)]
        raise GateError(
            f"golden request {start + request} of {opened.bundle.name}: score {name!r} is "
            f"{given[request, field]:.6g}, kept {kept[request, field]:.6g} "
            f"(difference {difference[request, field]:.3g}, allowed {allowed:g})",
            _REMEDY,
        )


def _check_meaning(opened: OpenBundle, kept: bytes | None) -> None:
    if kept is None:
        return
    try:
        difference = changed_meaning(kept, meaning(opened.bundle.signature, opened.tokenizer))
    except ValueError as error:
        raise _bad(opened, str(error)) from None
    if difference is not None:
        raise GateError(f"the golden requests of {opened.bundle.name} are of another model: {difference}", _REMEDY)


def _check_decisions(opened: OpenBundle, rows: Sequence[GoldenRow]) -> None:
    """The kept scores must decide for the kept answers: they do not when labels have changed their order."""
    decided = decide(opened.bundle.signature, np.stack([row.scores for row in rows]))
    for index, (row, output) in enumerate(zip(rows, decided, strict=True)):
        if row.output != output:
            raise GateError(
                f"golden request {index} of {opened.bundle.name}: the answer is {output[:60]!r}, "
                f"kept {str(row.output)[:60]!r}, for the same scores",
                _REMEDY,
            )


def _bad(opened: OpenBundle, problem: str) -> BundleError:
    return BundleError(f"{_path(opened)} cannot be used: {problem[:200]}", "export the model again")


def _path(opened: OpenBundle) -> Path:
    return opened.directory / golden_file(opened.bundle.protocol)


_BATCH = 64
_REMEDY = "graph and preprocessing no longer give what was measured: export the model again"
