"""Splits of a data set as tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from tidemill.backends.families.networks.batches import Batches, Rows
from tidemill.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.bundle.preprocess import Preprocessor
    from tidemill.dataset.read import Examples, PackedDataset

_VAL_BATCH = 512


def labelled(prepare: Preprocessor, examples: Examples, labels: Sequence[str], names: Sequence[str]) -> Rows:
    """The rows of `examples`: the prepared inputs `names`, and targets as positions in `labels`.

    Raises DataError when there are fewer than two rows or two classes to learn from.
    """
    if len(set(examples.labels)) < 2:
        raise DataError(
            f"the training split has {len(examples.labels)} rows of {len(set(examples.labels))} class",
            "add a version with at least two classes to tell apart",
        )
    return _rows(prepare, examples, labels, names)


def learnable(
    prepare: Preprocessor, data: PackedDataset, train: Rows, labels: Sequence[str], names: Sequence[str]
) -> Batches | None:
    """The validation rows of classes that training has seen: the others say nothing about when to stop."""
    if "val" not in {split.name for split in data.version.splits if split.rows}:
        return None
    rows = _rows(prepare, data.examples("val"), labels, names)
    seen = torch.isin(rows.targets, torch.unique(train.targets))
    return Batches(rows.take(seen.nonzero().squeeze(1)), _VAL_BATCH) if bool(seen.any()) else None


def _rows(prepare: Preprocessor, examples: Examples, labels: Sequence[str], names: Sequence[str]) -> Rows:
    feed = prepare.prepare(examples.inputs)
    position = {label: number for number, label in enumerate(labels)}
    targets = np.fromiter((position[label] for label in examples.labels), np.int64, len(examples.labels))
    return Rows(tuple(torch.from_numpy(feed[name]) for name in names), torch.from_numpy(targets))
