"""A training that is cut off anywhere and gone on with ends with the weights it would have ended with, bit for bit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from tidemill.backends.families.image import ImageFamily
from tidemill.config.schema import Config
from tidemill.dataset.read import PackedDataset
from tidemill.ports import ModelFamily
from tidemill.stages.chain import first_difference, read_chain

from .samples import Heard, settings

EVERYTHING = (
    "model.params.channels=4", "trainer.max_epochs=6", "trainer.batch_size=100", "trainer.accumulate=2",
    "trainer.freeze_epochs=2", "trainer.finetune_lr_factor=0.5", "trainer.ema_decay=0.9", "trainer.digest_every=2",
    "trainer.resume.every_steps=3", "data.augment=shift", "model.params.dropout=0.3",
    "callbacks.early_stopping.patience=2", "optimizer.lr=0.05",
)  # fmt: skip


class CutOff(Exception):
    """What a kill is to a training: it ends at once, and nothing more is written."""


class Cutting(Heard):
    """A Reporter that ends the training at a batch, counted over all epochs from 1."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._left = at

    def progress(self, done: int, total: int, note: str) -> None:
        self._left -= note.startswith("epoch")
        if not self._left:
            raise CutOff


def told(*heard: Heard) -> list[tuple[int, Mapping[str, float]]]:
    """Each epoch's metrics, the last telling of it, without its seconds."""
    found = {
        step: {k: v for k, v in values.items() if k != "epoch_seconds"} for each in heard for step, values in each.steps
    }
    return sorted(found.items())


def trained(
    family: ModelFamily, config: Config, data: PackedDataset, folder: Path, *cuts: int
) -> tuple[str, list[object]]:
    """Digest of the weights and the metrics, after a training cut off after so many batches, each time gone on with."""
    folder.mkdir()
    heard: list[Heard] = []
    for cut in cuts:
        heard.append(Cutting(cut))
        with pytest.raises(CutOff):
            family.fit(config, data, heard[-1], folder)
    heard.append(Heard())
    family.fit(config, data, heard[-1], folder).save(folder / "source")
    digest = hashlib.sha256((folder / "source" / "model.safetensors").read_bytes()).hexdigest()
    return digest, list(told(*heard))


@pytest.mark.parametrize(
    "cuts",
    [(1,), (13,), (14,), (26,), (27, 3), (40, 12, 12), (30, 1, 1, 1), (77,)],
    ids=lambda cuts: "-".join(map(str, cuts)),
)
def test_cut_off_anywhere_it_ends_the_same(
    cuts: tuple[int, ...], digits: PackedDataset, whole: tuple[str, list[object], Path], tmp_path: Path
) -> None:
    found = trained(ImageFamily(), settings("image", *EVERYTHING), digits, tmp_path / "cut", *cuts)
    assert found[1] == whole[1]
    assert found[0] == whole[0]
    chains = [read_chain(folder / "weights.jsonl") for folder in (tmp_path / "cut", whole[2])]
    assert chains[0] == chains[1]
    assert first_difference(*chains) is None


@pytest.fixture(scope="module")
def whole(digits: PackedDataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[object], Path]:
    """The same training, never cut off."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return *trained(ImageFamily(), settings("image", *EVERYTHING), digits, folder), folder
