"""A model as the page needs to know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tidemill.bundle.read import OpenBundle
from tidemill.domain.bundle import ImagePreprocessing, TableColumn, TabularPreprocessing, TextPreprocessing


@dataclass(frozen=True, slots=True)
class Shown:
    """A version of a model that answers."""

    name: str
    version: int
    opened: OpenBundle

    def described(self, *, first: bool) -> Mapping[str, Any]:
        """The model as the page's script reads it. `predict` is relative to the server's root.

        The `first` of its name is the one that answers where no version is named.
        """
        bundle = self.opened.bundle
        named = f"v1/models/{quote(self.name, safe='')}"
        return {
            "name": self.name,
            "version": self.version,
            "predict": f"{named}:predict" if first else f"{named}/versions/{self.version}:predict",
            "task": bundle.task,
            "labels": list(bundle.signature.labels),
            "dataset": bundle.lineage.dataset,
            **_reads(bundle.preprocessing),
        }


def _reads(preprocessing: ImagePreprocessing | TextPreprocessing | TabularPreprocessing) -> Mapping[str, Any]:
    """What one input is: `reads` in words, and the `columns` of a row."""
    match preprocessing:
        case ImagePreprocessing(mode=mode, height=height, width=width):
            return {"reads": f"{width} × {height} pixels, {'grey' if mode == 'L' else 'colour'}", "columns": []}
        case TextPreprocessing(max_length=length):
            return {"reads": f"the first {length:,} tokens", "columns": []}
        case TabularPreprocessing(columns=columns):
            return {"reads": f"{len(columns)} columns", "columns": [_column(column) for column in columns]}


def _column(column: TableColumn) -> Mapping[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "categories": list(column.categories),
        "nullable": column.nullable,
    }
