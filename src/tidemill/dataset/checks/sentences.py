"""All checks of texts: equal and nearly equal ones, within a split and across splits, and small classes.

Texts are nearly equal when their sets of four-byte shingles, of the text without case, punctuation and double spaces,
overlap by 85 % or more (Jaccard). Candidates come from MinHash signatures in bands (Broder, 1997): 8 bands of 4.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tidemill.dataset.checks.duplicates import Rows, check_equal, check_near
from tidemill.dataset.checks.few_samples import check_few_samples, leave_out_classes
from tidemill.dataset.checks.finding import Inspection
from tidemill.dataset.source import Source
from tidemill.domain.dataset import SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALIKE = 0.85
_BANDS, _DEEP = 8, 4
_NEIGHBOURS = 16
_MOST = 5_000_000  # texts among which near ones are looked for: their signatures take 64 bytes each
_SHORT = 12  # bytes; shorter ones are told apart by equality alone
_WORD = re.compile(r"[^\w]+")
_FACTORS = np.random.default_rng(7).integers(1, 2**63, (_BANDS * _DEEP, 2), np.uint64) | np.uint64(1)


def check_sentences(source: Source, inspection: Inspection) -> None:
    """Look at every text once. What is left out becomes LEFT_OUT in the source's splits."""
    text, label, name = (next(c.name for c in source.columns if c.role == role) for role in ("text", "target", "path"))
    splits = source.rows.splits
    places = {split: np.flatnonzero(splits == at) for at, split in enumerate(SPLITS)}
    seen = dict.fromkeys(SPLITS, 0)
    count = len(splits)
    digests = np.zeros(count, "S16")
    bands = np.zeros((count, _BANDS), np.uint64) if count <= _MOST and inspection.policy.near else None
    known = _Known(count)
    for split, batch in source.rows.read():
        rows = places[split][seen[split] : seen[split] + batch.num_rows]
        seen[split] += batch.num_rows
        texts = batch.column(text).to_pylist()
        digests[rows] = [hashlib.blake2b(each.encode(), digest_size=16).digest() for each in texts]
        if bands is not None:
            bands[rows] = signatures([plain(each) for each in texts])
        known.add(rows, batch.column(label).to_pylist(), batch.column(name).to_pylist(), texts)
    rows_ = Rows(known.name, known.labels(), splits, "text")
    first = check_equal(rows_, digests, inspection)
    if bands is not None:
        check_near(rows_, *_near(np.where(first[:, None], bands, 0), known), inspection)
    few = check_few_samples(known.in_train(splits), inspection)
    leave_out_classes(source, few)


class _Known:
    """Labels, names and texts by row, kept as compactly as they can be."""

    def __init__(self, count: int) -> None:
        self._codes = np.zeros(count, np.int32)
        self._classes: dict[str, int] = {}
        self._where: NDArray[np.int64] = np.full(count, -1, np.int64)
        self._stored: list[bytes] = []
        self._rows = 0

    def add(self, rows: NDArray[np.int64], labels: Sequence[str], names: Sequence[str], texts: Sequence[str]) -> None:
        """Take rows in."""
        self._codes[rows] = [self._classes.setdefault(label, len(self._classes)) for label in labels]
        self._where[rows] = np.arange(self._rows, self._rows + len(rows))
        self._stored += [f"{name}\0{text}".encode() for name, text in zip(names, texts, strict=True)]
        self._rows += len(rows)

    def name(self, row: int) -> str:
        """A row's name and the beginning of its text."""
        name, _, text = self._stored[int(self._where[row])].decode().partition("\0")
        return f"{name} {text[:60]!r}"

    def text(self, row: int) -> str:
        """The text of a row."""
        return self._stored[int(self._where[row])].decode().partition("\0")[2]

    def labels(self) -> list[str]:
        names = list(self._classes)
        return [names[code] for code in self._codes.tolist()]

    def in_train(self, splits: NDArray[np.uint8]) -> dict[str, int]:
        counts = Counter(self._codes[splits == SPLITS.index("train")].tolist())
        return {name: counts[code] for name, code in sorted(self._classes.items())}


def plain(text: str) -> str:
    """The text without what does not change what it says: case, punctuation, spaces."""
    return _WORD.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def signatures(texts: Sequence[str]) -> NDArray[np.uint64]:
    """A number for each band of each text's MinHash, uint64 [N, 8]; 0 for texts of less than 12 bytes."""
    parts = [text.encode() for text in texts]
    long = np.array([len(part) >= _SHORT for part in parts], bool)
    found = np.zeros((len(parts), _BANDS), np.uint64)
    if not long.any():
        return found
    chosen = [part for part in parts if len(part) >= _SHORT]
    shingles, starts = _shingles(chosen)
    lowest = np.stack([np.minimum.reduceat(_mixed(shingles, a, b), starts) for a, b in _FACTORS], axis=1)
    bands = lowest.reshape(len(chosen), _BANDS, _DEEP)
    total = np.zeros((len(chosen), _BANDS), np.uint64)
    for at in range(_DEEP):
        total = total * np.uint64(0x9E3779B97F4A7C15) + bands[:, :, at]
    found[long] = total | np.uint64(1)
    return found


def _shingles(parts: Sequence[bytes]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The four-byte shingles of all texts, one after the other, and where those of each begin."""
    joined = np.frombuffer(b"".join(parts), np.uint8).astype(np.uint64)
    whole = joined[:-3] | joined[1:-2] << np.uint64(8) | joined[2:-1] << np.uint64(16) | joined[3:] << np.uint64(24)
    lengths = np.array([len(part) for part in parts])
    ends = np.cumsum(lengths)
    inside = np.ones(len(whole), bool)
    for back in (1, 2, 3):  # those that reach into the next text
        inside[ends[:-1] - back] = False
    counts = lengths - 3
    return whole[inside], np.concatenate([[0], np.cumsum(counts)[:-1]])


def _mixed(values: NDArray[np.uint64], a: np.uint64, b: np.uint64) -> NDArray[np.uint64]:
    mixed = values * a + b
    return np.asarray(mixed ^ mixed >> np.uint64(29), np.uint64)


def _near(bands: NDArray[np.uint64], known: _Known) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pairs of rows with a band in common that are nearly equal, [P, 2], and how alike, the most alike first."""
    parts = []
    for band in range(bands.shape[1]):
        used = np.flatnonzero(bands[:, band])
        order = used[np.argsort(bands[used, band], kind="stable")]
        keys = bands[order, band]
        for step in range(1, _NEIGHBOURS):
            at = np.flatnonzero(keys[step:] == keys[:-step])
            if not len(at):
                break
            parts.append(np.sort(np.stack([order[at], order[at + step]], axis=1), axis=1))
    if not parts:
        return np.empty((0, 2), np.int64), np.empty(0)
    pairs = np.unique(np.concatenate(parts), axis=0)
    alike = np.array([likeness(known.text(a), known.text(b)) for a, b in pairs.tolist()])
    order = np.argsort(-alike, kind="stable")
    order = order[alike[order] >= ALIKE]
    return pairs[order], alike[order]


def likeness(one: str, other: str) -> float:
    """The share of four-byte shingles that two texts have in common."""
    a, b = ({part[at : at + 4] for at in range(len(part) - 3)} for part in (plain(one).encode(), plain(other).encode()))
    return len(a & b) / max(1, len(a | b))
