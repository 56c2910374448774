"""Which rows of a split went, came, and are the same row in another form."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tidemill.dataset.diff.rows import SplitRows
from tidemill.dataset.hashes import as_strings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pairs = NDArray[np.int64]


class Matched(NamedTuple):
    """Rows by their numbers in the split: pairs [P, 2] of old and new, and those without a partner [N]."""

    relabelled: Pairs
    renamed: Pairs
    changed: Pairs
    removed: NDArray[np.int64]
    added: NDArray[np.int64]


class _Part(NamedTuple):
    """Rows of one side within a bucket: their indices, and the keys of content, label and name."""

    at: NDArray[np.int64]
    content: NDArray[np.uint64]
    label: NDArray[np.uint64]
    name: NDArray[np.uint64]

    def chosen(self, kept: NDArray[np.bool_]) -> _Part:
        return _Part(self.at[kept], self.content[kept], self.label[kept], self.name[kept])


def match(old: SplitRows, new: SplitRows) -> Matched:
    """Pair the rows: equal ones drop out; then the same content with another label or name; then the same name.

    Rows of one content are compared within buckets of the hashes, so that the memory needed is bounded by the numbers
    for labels and names. Repetitions count: a row that is there three times and then once has been removed twice.
    """
    relabelled, renamed = [], []
    gone, come = [], []
    for bounds in max(old.content, new.content, key=len).bounds():
        a, b = _bucket(old, new, bounds)
        a, b, _ = _pair(a, b, _mixed(a.content, a.label, a.name), _mixed(b.content, b.label, b.name))
        a, b, kept_name = _pair(a, b, _mixed(a.content, a.name), _mixed(b.content, b.name))
        a, b, kept_label = _pair(a, b, _mixed(a.content, a.label), _mixed(b.content, b.label))
        a, b, kept_content = _pair(a, b, a.content, b.content)
        relabelled += [kept_name, kept_content]
        renamed.append(kept_label)
        gone.append(a)
        come.append(b)
    a, b = _together(gone), _together(come)
    named_a, named_b = a.chosen(a.name != 0), b.chosen(b.name != 0)
    _, _, changed = _pair(named_a, named_b, named_a.name, named_b.name)
    removed, added = np.setdiff1d(a.at, changed[:, 0]), np.setdiff1d(b.at, changed[:, 1])
    return Matched(
        _placed(relabelled, old, new), _placed(renamed, old, new), _placed([changed], old, new),
        old.places[removed], new.places[added],
    )  # fmt: skip


def _together(parts: list[_Part]) -> _Part:
    return _Part(
        np.concatenate([each.at for each in parts]),
        np.concatenate([each.content for each in parts]),
        np.concatenate([each.label for each in parts]),
        np.concatenate([each.name for each in parts]),
    )


def _bucket(old: SplitRows, new: SplitRows, bounds: tuple[int, int]) -> tuple[_Part, _Part]:
    at = []
    found = []
    for side in (old, new):
        indices, hashes = side.content.within(*bounds)
        at.append(indices)
        found.append(as_strings(hashes))
    keys = np.unique(np.concatenate(found), return_inverse=True)[1].astype(np.uint64)
    cut = len(found[0])
    return (
        _Part(at[0], keys[:cut], old.labels[at[0]], old.names[at[0]]),
        _Part(at[1], keys[cut:], new.labels[at[1]], new.names[at[1]]),
    )


def _mixed(*keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One key of several, 64 bits: two that differ are taken for one in about 1 of 10^13 comparisons of 1,000 rows."""
    total = np.zeros(len(keys[0]), np.uint64)
    for key in keys:
        total = (total ^ key) * np.uint64(0x9E3779B97F4A7C15)
        total ^= total >> np.uint64(31)
    return total


def _pair(
    a: _Part, b: _Part, a_keys: NDArray[np.uint64], b_keys: NDArray[np.uint64]
) -> tuple[_Part, _Part, NDArray[np.int64]]:
    """Pair rows of equal keys, the first with the first; what is left of both, and the pairs of indices [P, 2]."""
    keys = np.unique(np.concatenate([a_keys, b_keys]), return_inverse=True)[1].astype(np.int64)
    one, other = _told_apart(keys[: len(a_keys)]), _told_apart(keys[len(a_keys) :])
    _, left, right = np.intersect1d(one, other, assume_unique=True, return_indices=True)
    pairs = np.stack([a.at[left], b.at[right]], axis=1)
    rest_a, rest_b = np.ones(len(one), bool), np.ones(len(other), bool)
    rest_a[left] = rest_b[right] = False
    return a.chosen(rest_a), b.chosen(rest_b), pairs


def _told_apart(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Keys in which the second, third, … of equal ones got another number: the same one on both sides."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    places = np.arange(len(keys))
    starts = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(keys) else np.empty(0, bool)
    rank = np.empty(len(keys), np.int64)
    rank[order] = places - np.maximum.accumulate(np.where(starts, places, 0)) if len(keys) else places
    return keys << np.int64(32) | rank


def _placed(parts: list[NDArray[np.int64]], old: SplitRows, new: SplitRows) -> NDArray[np.int64]:
    pairs = np.concatenate(parts)
    return np.stack([old.places[pairs[:, 0]], new.places[pairs[:, 1]]], axis=1)
