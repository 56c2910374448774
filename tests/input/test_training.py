"""Training on pictures, mapped and streamed: repeatable bit for bit, in bounded memory, and told what it waits for."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.input.conftest import Quiet
from tidemill.backends.families.image import ImageFamily
from tidemill.config.schema import Config, DataConfig, ImageInput, ModelConfig, TrainerConfig
from tidemill.dataset.read import PackedDataset


def weights(data: PackedDataset, folder: Path, report: Quiet, **settings: object) -> dict[str, torch.Tensor]:
    """Of a small network after two epochs, with two threads."""
    (folder / "work").mkdir(parents=True, exist_ok=True)
    about = DataConfig("any", image=ImageInput(16, 16, "RGB"), augment="flip+shift", **settings)  # type: ignore[arg-type]  # settings by name
    trainer = TrainerConfig(max_epochs=2, batch_size=32, threads=1, accelerator="cpu")
    model = ModelConfig("small_cnn", {"channels": 4, "dropout": 0.1})
    config = Config("any", "image", about, model, trainer=trainer)
    trained = ImageFamily().fit(config, replace(data, cache=folder / "cache"), report, folder / "work")
    return dict(trained.module.state_dict())


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_first_training_decodes_and_the_second_maps_the_same(kinds: PackedDataset, tmp_path: Path) -> None:
    first, second = Quiet(), Quiet()
    one = weights(kinds, tmp_path / "a", first)
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "cache").rename(tmp_path / "b" / "cache")
    other = weights(kinds, tmp_path / "b", second)
    assert same(one, other)
    assert any(note.startswith("decoding") for _, _, note in first.heard)
    assert not any(note.startswith("decoding") for _, _, note in second.heard)


def test_streaming_is_repeatable_with_any_number_of_workers(kinds: PackedDataset, tmp_path: Path) -> None:
    one = weights(kinds, tmp_path / "a", Quiet(), cache_gb=0, workers=0)
    other = weights(kinds, tmp_path / "b", Quiet(), cache_gb=0, workers=2)
    mapped = weights(kinds, tmp_path / "c", Quiet())
    assert same(one, other)
    assert torch.equal(one["mean"], mapped["mean"])  # the statistics are of all pictures either way
    assert torch.equal(one["std"], mapped["std"])
    assert not (tmp_path / "a" / "cache" / ".staging").exists()


_STREAM = """
import re, sys
from pathlib import Path
from tests.input.conftest import Quiet, noise, packed, saved
from PIL import Image
from tidemill.backends.families.pictures.splits import open_pictures
from tidemill.config.schema import Config, DataConfig, ModelConfig, TrainerConfig
from tidemill.domain.bundle import ImagePreprocessing
files = [saved(Image.fromarray(noise(number, 16, 16)), "PNG") for number in range(64)] * 24
data = packed(Path(sys.argv[1]), {"train": files})
about = DataConfig("any", cache_gb=0, shuffle_mb=16, workers=1)
config = Config("any", "image", about, ModelConfig("small_cnn"), trainer=TrainerConfig(batch_size=16))
pictures = open_pictures(config, data, ImagePreprocessing("RGB", 320, 320), Quiet(), Path(sys.argv[2]))
def peak():  # ru_maxrss would begin at what the process that started this one had
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
steps = sum(1 for _ in pictures.train)
print(steps, (peak() - before) // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_what_is_streamed(tmp_path: Path) -> None:
    """1,536 pictures are 472 MB decoded; windows of 16 MB need a few of these."""
    said = subprocess.run(
        [sys.executable, "-c", _STREAM, str(tmp_path / "set"), str(tmp_path / "work")],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    steps, megabytes = map(int, said.stdout.split())
    assert steps == 96
    assert megabytes < 200
