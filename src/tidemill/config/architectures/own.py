"""Settings of a model that the project itself holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tidemill.config.schema import bounded


@dataclass
class Own:
    """A model of the project's own, by its import path below `src/`."""

    path: str  # MODULE.NAME: a class, or a function that makes the model, in src/MODULE.py
    settings: dict[str, Any] = field(default_factory=dict)  # its keyword arguments
    vocabulary: int = bounded(2000, low=300, high=100_000)  # text: size of the tokenizer trained from the data
    lowercase: bool = False  # text
    max_length: int = bounded(64, low=4, high=512)  # text: tokens
    numbers: Literal["standard", "minmax", "bins", "plain"] = "standard"  # tables: how numbers are given to it
