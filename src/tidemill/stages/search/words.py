"""Settings of trials as a person reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any


def short(names: Iterable[str]) -> dict[str, str]:
    """Each dotted name with its last word, or itself where that word is another's, too."""
    known = list(dict.fromkeys(names))
    last = [name.rpartition(".")[2] for name in known]
    return {name: word if last.count(word) == 1 else name for name, word in zip(known, last, strict=True)}


def spell(value: Any) -> str:
    """A setting as a person reads it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
