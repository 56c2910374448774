"""An answered request, and the label that came for it later."""

from __future__ import annotations

import os
import re
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from tidemill.domain.digest import Digest

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_FORM = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_lock = threading.Lock()
_last = 0


def new_prediction_id() -> str:
    """A ULID (https://github.com/ulid/spec): 48 bits of milliseconds, 80 random bits; sorts by time, and
    within one process strictly in the order of the calls."""
    global _last
    fresh = (time.time_ns() // 1_000_000 << 80) | int.from_bytes(os.urandom(10))
    with _lock:
        _last = value = fresh if fresh > _last else _last + 1
    digits = []
    for _ in range(26):
        value, digit = divmod(value, 32)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def is_prediction_id(text: str) -> bool:
    return _FORM.fullmatch(text) is not None


def prediction_time(prediction_id: str) -> datetime:
    """When the id was made, to the millisecond. Raises ValueError for something that is no prediction id."""
    if not is_prediction_id(prediction_id):
        raise ValueError(f"not a prediction id: {prediction_id[:60]!r}")
    value = 0
    for character in prediction_id[:10]:
        value = value * 32 + _ALPHABET.index(character)
    return datetime.fromtimestamp(value / 1000, UTC)


@dataclass(frozen=True, slots=True)
class Prediction:
    """One row of one answered request, as the log keeps it.

    `input` is the raw request (the file's bytes, the sentence in UTF-8, the row as canonical JSON); None when it was
    larger than the log keeps, and then `input_digest` still says which it was. `output` is the label, or the value.
    """

    id: str
    at: datetime
    model: str
    version: int
    bundle: Digest
    input_digest: Digest
    input: bytes | None
    scores: tuple[float, ...]
    output: str
    embedding: tuple[float, ...]
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Feedback:
    """The true label (or value, as text) of an answered request. The latest for an id counts."""

    prediction_id: str
    label: str
    at: datetime
    model: str
