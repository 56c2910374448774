"""The reference sample: what the model saw and said on the test split, for monitoring to compare traffic with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.bundle.decide import decide
from tidemill.bundle.parquet import read_columns
from tidemill.bundle.preprocess import canonical_input
from tidemill.bundle.read import OpenBundle
from tidemill.domain.bundle import Signature

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.ports import Raw, Scored

FILE = "reference.parquet"
MAX_INPUT = 64 * 1024
"""Longer inputs are left out (null); what the model made of them is kept."""

COLUMNS = {
    "input": "binary",
    "scores": "list<float>",
    "output": "string",
    "label": "string",
    "embedding": "list<float>",
}


def write_reference(
    directory: Path, signature: Signature, inputs: Sequence[Raw], scored: Scored, labels: Sequence[str]
) -> None:
    """Write reference.parquet, one row an input, `COLUMNS`. `labels` are the true ones (regression: values as text)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    contents = [canonical_input(raw) for raw in inputs]
    columns = {
        "input": pa.array([None if len(content) > MAX_INPUT else content for content in contents], pa.binary()),
        "scores": pa.array(scored.scores.tolist(), pa.list_(pa.float32())),
        "output": pa.array(decide(signature, scored.scores), pa.string()),
        "label": pa.array(labels, pa.string()),
        "embedding": pa.array(scored.embedding.tolist(), pa.list_(pa.float32())),
    }
    pq.write_table(pa.table(columns), directory / FILE)


def read_reference(opened: OpenBundle) -> pa.Table:
    """The sample as a table with `COLUMNS`; for rows of a table, `input` is JSON. Raises BundleError."""
    return read_columns(opened.directory / FILE, COLUMNS)
