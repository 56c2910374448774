"""Content addresses. Two things with the same digest are the same thing, byte for byte."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Self

_FORM = re.compile(r"sha256:[0-9a-f]{64}")


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


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes. NaN and infinity are refused (ValueError)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
