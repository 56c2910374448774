"""The same pixels wherever they come from: the cache, the stream, and what the server decodes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.input.conftest import Quiet
from tidemill.backends.families.networks.batches import Source
from tidemill.backends.families.pictures.splits import Pictures, open_pictures
from tidemill.backends.families.pictures.stream import StreamedPictures
from tidemill.bundle.preprocess import Preprocessor
from tidemill.config.schema import Config, DataConfig, ModelConfig, TrainerConfig
from tidemill.dataset.read import PackedDataset
from tidemill.domain.bundle import ImagePreprocessing


def config(**data: object) -> Config:
    about = DataConfig("any", **data)  # type: ignore[arg-type]  # settings by name
    return Config("any", "image", about, ModelConfig("small_cnn"), seed=4, trainer=TrainerConfig(batch_size=16))


def opened(data: PackedDataset, preprocessing: ImagePreprocessing, folder: Path, **settings: object) -> Pictures:
    return open_pictures(config(**settings), replace(data, cache=folder), preprocessing, Quiet(), folder)


def by_row(source: Source) -> dict[int, NDArray[np.uint8]]:
    """Each row's pixels, by its place in the split."""
    found = {}
    for raw in source._batches(0, 0):
        for row, pixels in zip(raw.rows.tolist(), raw.inputs[0], strict=True):
            assert row not in found
            found[row] = pixels.numpy()
    return found


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("settings", [{}, {"cache_gb": 0, "workers": 0}, {"cache_gb": 0, "workers": 2}])
def test_pixels_are_the_server_s(kinds: PackedDataset, tmp_path: Path, mode: str, settings: dict[str, object]) -> None:
    preprocessing = ImagePreprocessing(mode, 16, 18, "bicubic")  # type: ignore[arg-type]  # one of the two
    pictures = opened(kinds, preprocessing, tmp_path, shuffle_mb=1, **settings)
    assert isinstance(pictures.train, StreamedPictures) == bool(settings)
    examples = kinds.examples("train")
    served = Preprocessor(preprocessing).prepare(examples.inputs)["image"]
    rows = by_row(pictures.train)
    assert len(rows) == 200 // 16 * 16 + 8
    for row, pixels in rows.items():
        np.testing.assert_array_equal(pixels, served[row])
    assert pictures.val is not None
    val = by_row(pictures.val)
    served_val = Preprocessor(preprocessing).prepare(kinds.examples("val").inputs)["image"]
    np.testing.assert_array_equal(np.stack([val[row] for row in range(40)]), served_val)
    mean, std = served.reshape(-1, served.shape[3]).mean(0) / 255, served.reshape(-1, served.shape[3]).std(0) / 255
    np.testing.assert_allclose(pictures.mean, mean, rtol=1e-6)
    np.testing.assert_allclose(pictures.std, std, rtol=1e-6)


@pytest.mark.parametrize("cache_gb", [-1, 0])
def test_a_killed_training_gets_the_rest_of_its_epoch(kinds: PackedDataset, tmp_path: Path, cache_gb: float) -> None:
    """Bit for bit, augmentation included, with another number of workers, and in windows of a few slices."""
    preprocessing = ImagePreprocessing("RGB", 64, 64)  # 200 of them are 2.5 MB: several windows of 1 MB
    settings: dict[str, object] = {"augment": "alternate_flip+shift+crop", "cache_gb": cache_gb, "shuffle_mb": 1}
    whole = opened(kinds, preprocessing, tmp_path, workers=0, **settings).train
    epochs = [list(whole) for _ in range(2)]
    assert not torch.equal(epochs[0][0][1], epochs[1][0][1])
    assert [len(targets) for _, targets in epochs[0]] == [16] * 12 + [8]
    again = opened(kinds, preprocessing, tmp_path, workers=2, **settings).train
    assert len(again) == 13
    for epoch, step in ((1, 0), (0, 7), (1, 12), (0, 3)):
        again.set_epoch(epoch)
        again.start_at(step)
        rest = list(again)
        assert len(rest) == 13 - step
        for (inputs, targets), (inputs2, targets2) in zip(epochs[epoch][step:], rest, strict=True):
            assert torch.equal(inputs[0], inputs2[0])
            assert torch.equal(targets, targets2)


def test_a_stream_mixes_classes_that_lie_together(tmp_path: Path, kinds: PackedDataset) -> None:
    """In an order of its own in each epoch, every row once."""
    preprocessing = ImagePreprocessing("L", 8, 8)
    source = opened(kinds, preprocessing, tmp_path, cache_gb=0, workers=0).train
    first, second = (torch.cat([raw.rows for raw in source._batches(epoch, 0)]) for epoch in (0, 1))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(200))
    assert not torch.equal(first, second)
    assert float((first[1:] - first[:-1]).abs().float().mean()) > 20
