"""What changed between two data versions: rows, classes, columns and how their values are distributed."""

from tidemill.dataset.diff.compare import compare
from tidemill.dataset.diff.records import ColumnDiff, DatasetDiff, RowSample, SplitDiff

__all__ = ["ColumnDiff", "DatasetDiff", "RowSample", "SplitDiff", "compare"]
