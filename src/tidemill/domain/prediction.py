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
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_LAST_TIME = "76EZ91ZP0R"  # 9999-12-31 in milliseconds, in the id's alphabet: compared as text, which sorts as time
_FORM = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_lock = threading.Lock()
_last = 0
_spare = b""  # random bytes for the next ids: asking the system for each would cost more than all the rest


def new_prediction_id() -> str:
    """A ULID (https://github.com/ulid/spec): 48 bits of milliseconds, 80 random bits; sorts by time, and
    within one process strictly in the order of the calls."""
    return _spelled(_next(1))


def new_prediction_ids(number: int) -> list[str]:
    """So many ids, as `new_prediction_id` would make them one after the other, but neighbours: only the first has
    random bits of its own. To be unequal they need no more, and take a tenth of the time."""
    first = _next(number)
    ids: list[str] = []
    while number:
        place = first % 1024  # so many have the same beginning
        several = min(number, 1024 - place)
        beginning = _spelled(first)[:-2]
        ids += [beginning + pair for pair in _PAIRS[place : place + several]]
        first, number = first + several, number - several
    return ids


def _next(number: int) -> int:
    """The first of so many neighbouring ids that are larger than all before."""
    global _last, _spare
    with _lock:
        if not _spare:
            _spare = os.urandom(1280)
        fresh = (time.time_ns() // 1_000_000 << 80) | int.from_bytes(_spare[:10])
        _spare = _spare[10:]
        first = fresh if fresh > _last else _last + 1
        _last = first + number - 1
    return first


def _spelled(value: int) -> str:
    pairs = []
    for _ in range(13):
        value, pair = divmod(value, 1024)
        pairs.append(_PAIRS[pair])
    return "".join(reversed(pairs))


def _forget_spare() -> None:
    global _spare
    _spare = b""


os.register_at_fork(after_in_child=_forget_spare)


def is_prediction_id(text: str) -> bool:
    """The form of an id, and a time in it that the calendar has (up to the year 9999)."""
    return _FORM.fullmatch(text) is not None and text[:10] <= _LAST_TIME


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
    larger than the log keeps, or came as tokens: `input_digest` still says which it was. `output`: the label or value.
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
