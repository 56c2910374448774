"""Splits of a data set as tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from tidemill.backends.families.networks.batches import Batches, Rows
from tidemill.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from tidemill.bundle.preprocess import Preprocessor
    from tidemill.dataset.read import Examples, PackedDataset

UNLABELLED = -100
_VAL_BATCH = 512


def labelled(prepare: Preprocessor, examples: Examples, labels: Sequence[str], names: Sequence[str]) -> Rows:
    """The rows of `examples`: the prepared inputs `names`, and targets as positions in `labels`.

    Raises DataError when there are fewer than two rows or two classes to learn from.
    """
    check_classes(positions(examples.labels, labels))
    return _rows(prepare, examples, labels, names)


def learnable(
    prepare: Preprocessor, data: PackedDataset, train: Rows, labels: Sequence[str], names: Sequence[str]
) -> Batches | None:
    """The validation rows of classes that training has seen: the others say nothing about when to stop."""
    if "val" not in {split.name for split in data.version.splits if split.rows}:
        return None
    rows = _rows(prepare, data.examples("val"), labels, names)
    seen = classes_seen(rows.targets, train.targets)
    return Batches(rows.take(seen), _VAL_BATCH) if len(seen) else None


def check_classes(targets: Tensor) -> None:
    """Raises DataError when `targets` int64 [N] are of fewer than two classes."""
    classes = len(torch.unique(targets[targets >= 0]))
    if classes < 2:
        raise DataError(
            f"the training split has {len(targets)} rows of {classes} class",
            "add a version with at least two classes to tell apart",
        )


def classes_seen(targets: Tensor, train: Tensor) -> Tensor:
    """int64: where `targets` are of a class that `train` has."""
    return torch.isin(targets, torch.unique(train)).nonzero().squeeze(1)


def positions(names: Sequence[str], labels: Sequence[str]) -> Tensor:
    """int64 [N]: each name's position in `labels`; -100 for an empty one: a row without a label."""
    position = {"": UNLABELLED, **{label: number for number, label in enumerate(labels)}}
    return torch.from_numpy(np.fromiter((position[name] for name in names), np.int64, len(names)))


def _rows(prepare: Preprocessor, examples: Examples, labels: Sequence[str], names: Sequence[str]) -> Rows:
    feed = prepare.prepare(examples.inputs)
    return Rows(tuple(torch.from_numpy(feed[name]) for name in names), positions(examples.labels, labels))
