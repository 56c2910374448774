"""The pictures of a data set as training wants them: batches of the splits, and the statistics of their channels."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from tidemill.backends.families.networks.augment import augmentation
from tidemill.backends.families.networks.batches import Batches, Rows, Source
from tidemill.backends.families.networks.split import check_classes, classes_seen, positions
from tidemill.backends.families.pictures.cache import decoded, recipe_of
from tidemill.backends.families.pictures.pool import Decoding
from tidemill.backends.families.pictures.stream import StreamedPictures
from tidemill.dataset.decoded import key_of
from tidemill.dataset.slices import slices
from tidemill.files import write_atomic
from tidemill.process import usable_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from tidemill.backends.families.networks.batches import Augment
    from tidemill.config.schema import Config
    from tidemill.dataset.read import PackedDataset
    from tidemill.domain.bundle import ImagePreprocessing
    from tidemill.ports import Reporter

_VAL_BATCH = 512
_VAL_BYTES = 64 << 20  # of a batch: large pictures come in fewer
_log = logging.getLogger("tidemill.pictures")


@dataclass(frozen=True)
class Pictures:
    """Batches of training and of validation (None where there is nothing to validate on).

    `mean` and `std` are those of the channels of all training pictures, in [0, 1]. `workers` is how many processes
    decode while training goes on; 0 when the pictures are mapped.
    """

    train: Source
    val: Source | None
    mean: list[float]
    std: list[float]
    workers: int


def first_pictures(data: PackedDataset, split: str, number: int) -> list[bytes]:
    """The files of the first `number` pictures of a split."""
    column = data.version.column("image").name
    batch = next(iter(data.batches(split, [column], rows=number)))
    files: list[bytes] = batch.column(0).to_pylist()
    return files


def open_pictures(
    config: Config, data: PackedDataset, preprocessing: ImagePreprocessing, report: Reporter, workdir: Path
) -> Pictures:
    """Decoded once and mapped where the cache has room, else streamed. Raises DataError when nothing can be learned."""
    opening = _Opening(config, data, preprocessing, report, data.cache or workdir / "pictures")
    labels = data.version.classes
    targets = opening.targets("train", labels)
    check_classes(targets)
    settings = config.trainer
    train, counts = opening.source(
        "train", targets, settings.batch_size, shuffle=True, seed=config.seed, augment=augmentation(config.data)
    )
    val = None
    if "val" in {split.name for split in data.version.splits if split.rows}:
        val_targets = opening.targets("val", labels)
        chosen = classes_seen(val_targets, targets)
        if len(chosen):
            size = max(1, min(_VAL_BATCH, _VAL_BYTES // int(np.prod(opening.decoding(0).shape))))
            val, _ = opening.source("val", val_targets, size, chosen=chosen)
    mean, std = statistics(counts if counts is not None else opening.counted("train"))
    streaming = any(isinstance(each, StreamedPictures) for each in (train, val))
    return Pictures(train, val, mean, std, streaming_workers(config) if streaming else 0)


def streaming_workers(config: Config) -> int:
    """Processes that decode beside training: as asked, at most the cores; by default those that training leaves.

    A GPU computes: then all cores but one. On the CPU a quarter of them, at least one where there are two.
    """
    cores = usable_cores()
    if config.data.workers >= 0:
        return min(config.data.workers, cores)
    gpu = config.trainer.accelerator != "cpu" and torch.cuda.is_available()
    return max(1, cores - 1) if gpu else min(max(1, cores // 4), cores - 1)


@dataclass(frozen=True)
class _Opening:
    config: Config
    data: PackedDataset
    preprocessing: ImagePreprocessing
    report: Reporter
    root: Path

    def decoding(self, workers: int) -> Decoding:
        return Decoding(self.data.version.column("image").name, self.preprocessing, workers)

    def targets(self, split: str, labels: Sequence[str]) -> Tensor:
        """int64 [N], without reading a picture."""
        column = self.data.version.column("target").name
        return positions(self.data.table(split, [column]).column(column).to_pylist(), labels)

    def source(
        self, split: str, targets: Tensor, size: int, *, shuffle: bool = False, seed: int = 0,
        augment: Augment | None = None, chosen: Tensor | None = None,
    ) -> tuple[Source, NDArray[np.int64] | None]:  # fmt: skip
        settings = self.config.data
        all_cores = self.decoding(min(settings.workers, usable_cores()) if settings.workers >= 0 else usable_cores())
        mapped = decoded(self.data, split, all_cores, self.root, limit=settings.cache_gb, report=self.report)
        if mapped is not None:
            rows = Rows((torch.from_numpy(mapped.pixels),), targets)
            batches = Batches(rows, size, shuffle=shuffle, seed=seed, augment=augment, chosen=chosen)
            return batches, mapped.counts
        streamed = StreamedPictures(
            slices(self.data, split), self.decoding(streaming_workers(self.config)), targets, size,
            window=settings.shuffle_mb * 1_000_000, shuffle=shuffle, seed=seed, augment=augment, chosen=chosen,
        )  # fmt: skip
        return streamed, None

    def counted(self, split: str) -> NDArray[np.int64]:
        """int64 [C, 256]: how often each channel has each value; counted in one pass, once for this data."""
        decoding = self.decoding(usable_cores())
        file = self.root / "statistics" / f"{key_of(recipe_of(self.data, split, decoding))}.json"
        shape = (decoding.shape[2], 256)
        try:
            counts = np.array(json.loads(file.read_bytes()), np.int64)
            if counts.shape == shape:
                return counts
        except (OSError, ValueError):
            pass
        counts, done, rows = np.zeros(shape, np.int64), 0, self.data.split(split).rows
        for part, pixels in decoding.decoded(slices(self.data, split)):
            for channel in range(shape[0]):
                counts[channel] += np.bincount(pixels[..., channel].reshape(-1), minlength=256)
            done += len(part)
            self.report.progress(done, rows, f"counting the colours of {split} pictures, once")
        try:
            write_atomic(file, json.dumps(counts.tolist()).encode())
        except OSError as error:
            _log.warning("the colours are counted again next time: %s", error)
        return counts


def statistics(counts: NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel in [0, 1], of int64 [C, 256]; a flat channel keeps its scale."""
    values = np.arange(256) / 255.0
    means = [float((count * values).sum() / count.sum()) for count in counts]
    variances = [
        float((count * (values - mean) ** 2).sum() / count.sum()) for count, mean in zip(counts, means, strict=True)
    ]
    return means, [variance**0.5 if variance > 1e-8 else 1.0 for variance in variances]
