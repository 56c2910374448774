"""`data.checks`: what is looked for when data is added, and what is done about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tidemill.config.schema.fields import bounded


@dataclass
class ChecksConfig:
    """Section `checks` of a data set's settings. "stop": nothing is added; "leave-out": it is added without them."""

    undecodable: Literal["stop", "leave-out"] = "stop"  # pictures that are damaged, too large, or none
    bad_cells: Literal["stop", "leave-out"] = "stop"  # words and NaN in a column of numbers; left out: their rows
    no_value: Literal["stop", "leave-out"] = "stop"  # rows without a label, a number to predict, or a text
    leakage: Literal["stop", "leave-out", "note"] = "stop"  # a picture in two splits; left out: the copy in train
    equal_rows: Literal["stop", "leave-out", "note"] = "note"  # the same for rows of tables, and for texts
    near_leakage: Literal["stop", "leave-out", "note"] = "note"  # nearly the same in two splits
    duplicates: Literal["stop", "leave-out", "note"] = "note"  # the same twice within a split
    near_duplicates: Literal["stop", "leave-out", "note"] = "note"
    two_labels: Literal["stop", "leave-out", "note"] = "note"  # the same with different labels; left out: every copy
    few_samples: Literal["stop", "leave-out", "note"] = "note"  # classes with fewer rows than min_samples in train
    constant: Literal["stop", "note"] = "note"  # feature columns with one value
    impossible: Literal["stop", "leave-out", "note"] = "stop"  # rows with a value outside of `ranges`
    scale: Literal["stop", "note"] = "note"  # a column's numbers are a multiple of what they were
    schema: Literal["stop", "convert", "new"] = "stop"  # a table with other columns; see docs/data.md
    min_samples: int = bounded(10, low=0, high=1_000_000)  # rows of a class that train should have
    near: bool = True  # look for near duplicates at all
    ranges: dict[str, list[Any]] = field(default_factory=dict)  # column: [lowest, highest]; null: none; dates as text
