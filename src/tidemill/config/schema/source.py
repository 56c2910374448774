"""Where a data set comes from, and how its files are read: for `tidemill data add`, of no effect in training."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class SourceConfig:
    """What `tidemill data add NAME` fetches, and what `--as NAME` reads a local path with."""

    page: str = ""  # where the data set is described
    licence: str = ""  # what its makers say about its use
    files: dict[str, list[str]] = field(default_factory=dict)  # addresses of: train, val, test, or all
    digests: dict[str, str] = field(default_factory=dict)  # address: sha256:… that its bytes must have
    header: bool = True  # CSV, TSV: the first line names the columns; else they are c1, c2, …
    target: str = ""  # the column to predict, or of a picture's label
    text: str = ""  # the column with the text
    kind: str = ""  # classification or regression
    picture: str = ""  # the column with the pictures' bytes
    columns: list[str] = field(default_factory=list)  # that are kept; empty: all
    categories: list[str] = field(default_factory=list)  # columns whose numbers are names
    derive: dict[str, str] = field(default_factory=dict)  # new column: "minutes from A to B", "hour of A"…
    keep: dict[str, list[float]] = field(default_factory=dict)  # column: [lowest, highest]; other rows are left out
