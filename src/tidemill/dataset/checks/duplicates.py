"""The same row twice: within a split, across splits (leakage), with two labels; and which copy is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tidemill.dataset.checks.finding import EXAMPLES, Inspection
from tidemill.dataset.source import LEFT_OUT
from tidemill.domain.dataset import SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Rows(NamedTuple):
    """What the checks see of the rows: a name for each by its place, its label, its split's place in SPLITS, and what
    a row is called here ("picture", "text"). `splits` is changed where rows are left out."""

    name: Callable[[int], str]
    labels: Sequence[str]
    splits: NDArray[np.uint8]
    noun: str


def check_equal(rows: Rows, hashes: NDArray[np.bytes_], inspection: Inspection) -> NDArray[np.bool_]:
    """Look for rows with equal hashes [N]. Returns which rows are the first of their kind, bool [N]."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    again = np.concatenate([[False], ordered[1:] == ordered[:-1]]) if len(ordered) else np.empty(0, bool)
    leaders = np.maximum.accumulate(np.where(again, 0, np.arange(len(order)))) if len(order) else order
    groups: dict[int, list[int]] = {}
    for at in np.flatnonzero(again).tolist():
        groups.setdefault(int(order[leaders[at]]), [int(order[leaders[at]])]).append(int(order[at]))
    kept = [sorted(members) for members in groups.values() if _in_use(rows, members)]
    _two_labels(rows, sorted(kept), inspection)
    _leakage(rows, sorted(kept), inspection)
    _within(rows, sorted(kept), inspection)
    first = np.ones(len(hashes), bool)
    first[order[again]] = False
    return first


def _in_use(rows: Rows, members: Sequence[int]) -> bool:
    return bool((rows.splits[list(members)] != LEFT_OUT).sum() > 1)


def _two_labels(rows: Rows, groups: Sequence[Sequence[int]], inspection: Inspection) -> None:
    found = [members for members in groups if len({rows.labels[at] for at in members}) > 1]
    if not found:
        return
    for members in found if inspection.leaves_out("two_labels") else ():
        rows.splits[list(members)] = LEFT_OUT
    inspection.add(
        "two_labels", len(found),
        f"{_some(len(found), rows.noun)} {_is(len(found))} there more than once, with different labels",
        "keep the copy with the right label",
        examples=(" = ".join(rows.name(at) for at in members[:3]) for members in found),
    )  # fmt: skip


def _leakage(rows: Rows, groups: Sequence[Sequence[int]], inspection: Inspection) -> None:
    pairs = []
    for members in groups:
        used = [at for at in members if rows.splits[at] != LEFT_OUT]
        if len({int(rows.splits[at]) for at in used}) > 1:
            keep = max(used, key=lambda at: int(rows.splits[at]))
            pairs += [(at, keep) for at in used if rows.splits[at] != rows.splits[keep]]
    if not pairs:
        return
    a, b = sorted(pairs[0], key=lambda at: int(rows.splits[at]))
    here, there = (SPLITS[rows.splits[at]] for at in (a, b))
    headline = f"two splits share a {rows.noun}: {_placed(rows, a)} and {_placed(rows, b)} are the same"
    headline += " file" if rows.noun == "picture" else ""
    setting = inspection.policy.setting("equal_rows: leave-out")
    leave_out = "--on-problem leave-out" if rows.noun == "picture" else setting
    remedy = f"remove it from {here} or from {there}, or leave the copy in train out:  {leave_out}"
    if len(pairs) > 1:
        headline = f"{len(pairs):,} {rows.noun}s are in two splits: a test on them is about what was learned by heart"
        remedy = f"remove them from one split, or leave the copies in train out:  {leave_out}"
    examples = [f"{_placed(rows, b)} = {_placed(rows, a)}" for a, b in pairs[:EXAMPLES]]
    check = "leakage" if rows.noun == "picture" else "equal_rows"  # short texts repeat by themselves
    if inspection.leaves_out(check):
        rows.splits[[a for a, _ in pairs]] = LEFT_OUT
    inspection.add(check, len(pairs), headline, remedy, examples=examples)


def _within(rows: Rows, groups: Sequence[Sequence[int]], inspection: Inspection) -> None:
    pairs: list[tuple[int, int]] = []
    for members in groups:
        first: dict[int, int] = {}
        for at in members:
            split = int(rows.splits[at])
            if split != LEFT_OUT and first.setdefault(split, at) != at:
                pairs.append((at, first[split]))
    if not pairs:
        return
    if inspection.leaves_out("duplicates"):
        rows.splits[[again for again, _ in pairs]] = LEFT_OUT
    inspection.add(
        "duplicates", len(pairs),
        f"{_some(len(pairs), rows.noun)} {_is(len(pairs))} there once more in the same split",
        "they count twice; to leave them out,  " + inspection.policy.setting("duplicates: leave-out"),
        examples=(f"{rows.name(again)} = {rows.name(first)}" for again, first in pairs),
    )  # fmt: skip


def check_near(rows: Rows, pairs: NDArray[np.int64], alike: NDArray[np.float64], inspection: Inspection) -> None:
    """Report pairs [P, 2] of rows that are nearly the same, `alike` [P], the most alike first."""
    used = (rows.splits[pairs] != LEFT_OUT).all(axis=1)
    pairs, alike = pairs[used], alike[used]
    apart = rows.splits[pairs[:, 0]] != rows.splits[pairs[:, 1]]
    _near_leakage(rows, pairs[apart], alike[apart], inspection)
    _near_within(rows, pairs[~apart], alike[~apart], inspection)


def _near_leakage(rows: Rows, pairs: NDArray[np.int64], alike: NDArray[np.float64], inspection: Inspection) -> None:
    if not len(pairs):
        return
    upper = rows.splits[pairs].argmax(axis=1)
    judged = pairs[np.arange(len(pairs)), upper]  # of each pair the one that is in test, or else in val
    learned = pairs[np.arange(len(pairs)), 1 - upper]
    shares = []
    for split in (2, 1):
        count, whole = len(set(judged[rows.splits[judged] == split].tolist())), int((rows.splits == split).sum())
        if count:
            shares.append(f"{count:,} of {whole:,} {SPLITS[split]} {rows.noun}s ({count / whole:.1%})")
    examples = _shown(rows, judged, learned, alike, _placed)
    if inspection.leaves_out("near_leakage"):
        rows.splits[learned] = LEFT_OUT
    total = len(set(judged.tolist()))
    inspection.add(
        "near_leakage", total,
        f"{' and '.join(shares)} {_is(total)} nearly the same as one of another split",
        "what is measured on them is too good; to leave the copies in train out,  "
        + inspection.policy.setting("near_leakage: leave-out"),
        examples=examples, left_out=len(set(learned.tolist())),
        other_label=int(sum(rows.labels[a] != rows.labels[b] for a, b in pairs.tolist())),
    )  # fmt: skip


def _near_within(rows: Rows, pairs: NDArray[np.int64], alike: NDArray[np.float64], inspection: Inspection) -> None:
    if not len(pairs):
        return
    examples = _shown(rows, pairs[:, 1], pairs[:, 0], alike)
    copies = len(set(pairs[:, 1].tolist()))
    if inspection.leaves_out("near_duplicates"):
        for first, again in sorted(pairs.tolist()):
            if rows.splits[first] != LEFT_OUT:
                rows.splits[again] = LEFT_OUT
    inspection.add(
        "near_duplicates", copies,
        f"{_some(copies, rows.noun)} {_is(copies)} nearly the same as another of the same split",
        "to leave them out,  " + inspection.policy.setting("near_duplicates: leave-out"),
        examples=examples,
        other_label=int(sum(rows.labels[a] != rows.labels[b] for a, b in pairs.tolist())),
    )  # fmt: skip


def _shown(rows: Rows, one: NDArray[np.int64], other: NDArray[np.int64], alike: NDArray[np.float64],
    name: Callable[[Rows, int], str] = lambda rows, at: rows.name(at),
) -> list[str]:  # fmt: skip
    triples = zip(one[:EXAMPLES].tolist(), other[:EXAMPLES].tolist(), alike[:EXAMPLES].tolist(), strict=True)
    return [f"{name(rows, a)} ~ {name(rows, b)} ({likeness:.2f})" for a, b, likeness in triples]


def _placed(rows: Rows, at: int) -> str:
    """A row's name and the split that it is in now, where its name does not begin with it: a file called train is drawn
    from when there is no test."""
    name, split = rows.name(at), SPLITS[rows.splits[at]]
    return name if name.startswith(f"{split}/") else f"{name} in {split}"


def _some(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
