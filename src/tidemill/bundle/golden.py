"""Golden requests: raw inputs with the answers that the source model gave, replayed before a model may answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tidemill.bundle.decide import decide
from tidemill.bundle.preprocess import Preprocessor, canonical_input, raw_input
from tidemill.bundle.read import OpenBundle
from tidemill.domain.bundle import Signature
from tidemill.errors import BundleError, GateError, InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.ports import Raw, Session

FILE = "golden.parquet"


@dataclass(frozen=True, slots=True)
class GoldenRow:
    """One request with the answer of the source model: `scores` float32 [C], `output` the decision."""

    input: Raw
    scores: NDArray[np.float32]
    output: str


def write_golden(directory: Path, signature: Signature, inputs: Sequence[Raw], scores: NDArray[np.float32]) -> None:
    """Write golden.parquet: columns `input` (canonical bytes), `scores` and `output`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "input": pa.array([canonical_input(raw) for raw in inputs], pa.binary()),
        "scores": pa.array(scores.tolist(), pa.list_(pa.float32())),
        "output": pa.array(decide(signature, scores), pa.string()),
    }
    pq.write_table(pa.table(columns), directory / FILE)


def read_golden(opened: OpenBundle) -> list[GoldenRow]:
    """Raises BundleError when the file is not what bundle.json says."""
    from tidemill.bundle.parquet import read_columns

    table = read_columns(opened.directory / FILE, {"input": "binary", "scores": "list<float>", "output": "string"})
    signature = opened.bundle.signature
    if table.num_rows != opened.bundle.golden.rows:
        raise BundleError(f"{opened.directory / FILE} has {table.num_rows} rows", "export the model again")
    width = len(signature.labels) or 1
    rows = []
    for row in table.to_pylist():
        scores = np.asarray(row["scores"], np.float32)
        try:
            if row["input"] is None:
                raise ValueError("a request is null")
            raw = raw_input(signature.task, row["input"])
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{opened.directory / FILE}: {error}", "export the model again") from None
        if scores.shape != (width,):
            raise BundleError(f"{opened.directory / FILE} has scores of another shape", "export the model again")
        rows.append(GoldenRow(raw, scores, row["output"]))
    return rows


def replay(opened: OpenBundle, session: Session) -> None:
    """Send every golden request through preprocessing and `session`, and compare each score with the kept one.

    Raises GateError naming the request, the field and the difference; a model that fails must not answer anybody.
    """
    rows = read_golden(opened)
    try:
        feed = Preprocessor(opened.bundle.preprocessing, opened.tokenizer).prepare([row.input for row in rows])
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
            f"golden request {request} of {opened.bundle.name}: score {name!r} is {given[request, field]:.6g}, "
            f"kept {kept[request, field]:.6g} (difference {difference[request, field]:.3g}, allowed {allowed:g})",
            _REMEDY,
        )


_REMEDY = "graph and preprocessing no longer give what was measured: export the model again"
