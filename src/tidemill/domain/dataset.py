"""A version of a data set: what it holds, and the digest that covers every byte, label and name of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tidemill.domain.digest import Digest

Task = Literal["image", "text", "tabular"]
Kind = Literal["classification", "regression"]
SPLITS = ("train", "val", "test")

# What a picture file may be: the same for data that is added and for a request that is answered.
PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
PICTURE_PIXELS = 25_000_000
_WEBP_PIXELS = 12_000_000  # its decoder keeps three copies more: no picture takes more than 200 MB


def picture_pixels(kind: str | None) -> int:
    """The most pixels that a picture of the format `kind` may have."""
    return _WEBP_PIXELS if kind == "WEBP" else PICTURE_PIXELS


_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


def is_name(text: str) -> bool:
    """Whether `text` can name a data set, model or project: letters, digits, `-` and `_`, at most 63."""
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A semantic version of a data set, X.Y.Z."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Version:
        """Raises ValueError for anything but X.Y.Z."""
        match = _VERSION.fullmatch(text)
        if match is None:
            raise ValueError(f"not a version of the form X.Y.Z: {text!r}")
        return cls(*map(int, match.groups()))

    def next_minor(self) -> Version:
        return Version(self.major, self.minor + 1, 0)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a packed data set. `type` is an Arrow type's name; `role` says what training does with it."""

    name: str
    type: str
    role: Literal["feature", "target", "image", "text", "path", "ignored"]


@dataclass(frozen=True, slots=True)
class Shard:
    """One Parquet file of a packed data set, its path relative to the data set's folder."""

    path: str
    digest: Digest
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Split:
    """One split: its rows, its rows per class (empty for regression) and its shards."""

    name: str
    rows: int
    classes: Mapping[str, int]
    shards: tuple[Shard, ...]


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """`digest` covers split, name, label and content of every row; how the rows are packed does not change it.

    `source` are the addresses that the data was fetched from, each with the digest of what was there.
    """

    name: str
    version: str
    task: Task
    kind: Kind
    digest: Digest
    columns: tuple[Column, ...]
    splits: tuple[Split, ...]
    format: int = field(default=1)
    source: Mapping[str, str] = field(default_factory=dict)

    @property
    def tag(self) -> str:
        """The git tag that holds this version."""
        return f"{self.name}-v{self.version}"

    @property
    def rows(self) -> int:
        return sum(split.rows for split in self.splits)

    @property
    def classes(self) -> tuple[str, ...]:
        """Every class of any split, sorted; whole numbers sort as numbers. Empty for regression."""
        names = {name for split in self.splits for name in split.classes}
        return tuple(sorted(names, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name)))

    @property
    def features(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.role == "feature")

    def column(self, role: str) -> Column:
        """The one column with `role`. Raises KeyError when there is none."""
        for column in self.columns:
            if column.role == role:
                return column
        raise KeyError(role)

    def split(self, name: str) -> Split:
        """Raises KeyError when there is no such split."""
        for split in self.splits:
            if split.name == name:
                return split
        raise KeyError(name)
