"""A reader for every protocol there ever was, and the files of its bundles; a kept example of each lies in the tests.

1: parity of decisions only. 2: parity in full. 3: golden requests and examples are JSON, which a server
reads without Arrow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from tidemill.domain.bundle import Bundle, Parity
from tidemill.domain.record import from_plain

_PARITY_1 = frozenset({"rows", "changed", "largest_difference", "tolerance", "limit", "latency_ms"})
_PARITY_2 = frozenset(field.name for field in fields(Parity))


def _read_1(plain: Any) -> Bundle:
    """Parity knew decisions only: no losses, no source to compare size and latency with, and float32 alone."""
    _check_parity(plain, _PARITY_1)
    return from_plain(Bundle, plain)


def _read_2(plain: Any) -> Bundle:
    _check_parity(plain, _PARITY_2)
    return from_plain(Bundle, plain)


def _check_parity(plain: Any, known: frozenset[str]) -> None:
    """Raises ValueError unless the parity has exactly the fields that are `known` to a protocol."""
    parity = plain.get("parity")
    if not isinstance(parity, Mapping):
        raise ValueError("Bundle.parity must be an object")
    for name in sorted(known ^ parity.keys()):
        raise ValueError(f"Bundle.parity {'lacks the' if name in known else 'has an unknown'} field {name!r}")


READERS: Mapping[int, Callable[[Any], Bundle]] = {1: _read_1, 2: _read_2, 3: _read_2}


def required_files(protocol: int) -> frozenset[str]:
    """What a bundle of this protocol must have beside bundle.json; one for text has its tokenizer, too."""
    return _COMMON | {golden_file(protocol)} | (set() if protocol <= _PARQUET_LAST else {"examples.json"})


def golden_file(protocol: int) -> str:
    """The name that the golden requests have in a bundle of this protocol."""
    return "golden.parquet" if protocol <= _PARQUET_LAST else "golden.jsonl"


_PARQUET_LAST = 2
"""The last protocol that kept golden requests as Parquet, and had no examples."""
_COMMON = frozenset({"model.onnx", "reference.parquet", "card.md"})
