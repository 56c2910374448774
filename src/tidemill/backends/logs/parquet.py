"""Reads the project's own log: DuckDB over sealed Parquet and running spools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from tidemill.domain.prediction import Feedback, Prediction
from tidemill.journal.columns import SCHEMAS
from tidemill.journal.lookup import Lookup

_WINDOW = """
    WITH latest AS (SELECT prediction_id, arg_max(label, "at") AS label FROM feedback GROUP BY prediction_id)
    SELECT predictions.*, latest.label
    FROM predictions LEFT JOIN latest ON predictions.id = latest.prediction_id
    WHERE $version IS NULL OR version = $version
    ORDER BY predictions."at", predictions.id
"""


class ParquetLog:
    """The log under `root`, read while servers write it. A folder that is not there yet is an empty log."""

    def __init__(self, root: Path) -> None:
        self._journal = Lookup(root)

    def find(self, prediction_id: str) -> Prediction:
        """Raises NotFoundError."""
        return self._journal.find(prediction_id)

    def window(self, model: str, *, version: int | None, since: datetime | None, until: datetime | None) -> pa.Table:
        """Rows of `model` from `since` to `until`, both inclusive, oldest first; `label` is the latest feedback's."""
        import duckdb

        predictions = self._journal.predictions(model=model, since=since, until=until)
        with duckdb.connect(config={"threads": 2}) as database:
            database.register("predictions", predictions)
            database.register("feedback", self._journal.feedback())
            joined: pa.Table = database.sql(_WINDOW, params={"version": version}).to_arrow_table()
        return joined.cast(pa.schema([*SCHEMAS["predictions"], pa.field("label", pa.string())]))

    def labels(self, prediction_ids: Iterable[str]) -> Mapping[str, Feedback]:
        """The latest feedback for each id that has one."""
        return self._journal.labels(list(prediction_ids))


if TYPE_CHECKING:
    from tidemill.ports import PredictionLog

    _: type[PredictionLog] = ParquetLog
