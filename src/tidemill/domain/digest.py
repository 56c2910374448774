"""Content addresses. Two things with the same digest are the same thing, byte for byte."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Self

import orjson

_FORM = re.compile(r"sha256:[0-9a-f]{64}")
_SCALARS = frozenset((str, int, bool, type(None)))


class Digest(str):
    """`sha256:` and 64 hexadecimal digits."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if not _FORM.fullmatch(text):
            raise ValueError(f"not a digest: {text[:80]!r}")
        return super().__new__(cls, text)

    @classmethod
    def of_bytes(cls, content: bytes | memoryview) -> Self:
        return cls("sha256:" + hashlib.sha256(content).hexdigest())

    @classmethod
    def of_json(cls, value: Any) -> Self:
        """The digest of `canonical_json(value)`."""
        return cls.of_bytes(canonical_json(value))

    @classmethod
    def of_file(cls, path: Path) -> Self:
        with path.open("rb") as file:
            return cls("sha256:" + hashlib.file_digest(file, "sha256").hexdigest())

    @property
    def hex(self) -> str:
        return self[7:]

    @property
    def short(self) -> str:
        """The first twelve digits: enough for a person, never for a comparison."""
        return self[7:19]


def _written_alike(value: Any) -> bool:
    """Whether a value has one form in JSON whoever writes it: a float that needs no exponent, or no float."""
    kind = type(value)
    return (1e-4 <= abs(value) < 1e16 or value == 0) if kind is float else kind in _SCALARS


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes. NaN and infinity are refused (ValueError).

    Rows of tables are written by orjson, ten times as quickly, where it writes the same: it has other exponents.
    """
    if type(value) is dict and all(map(_written_alike, value.values())):
        try:
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        except TypeError:  # a number beyond 64 bits, half of a surrogate pair, a key that is no text
            pass
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
