"""Saved models of runs, damaged: read, or refused with one clear error. XGBoost dies of some; this process lives."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.bundle.sources import picture_model, table_model
from tests.registry.run import tidemill
from tidemill.errors import BundleError
from tidemill.project import scaffold, training
from tidemill.project.layout import Layout
from tidemill.project.sources import TriedFamily


def _damaged(sound: bytes, seed: int) -> bytes:
    """Some bytes changed, taken out or put in, most of them near the start, where formats say what follows."""
    rng, content = random.Random(seed), bytearray(sound)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(min(len(content), rng.choice((200, 2000, len(content)))))
        match rng.randrange(4):
            case 0:
                content[at] = rng.randrange(256)
            case 1:
                content[at : at + rng.randint(1, 8)] = rng.choice((b"\xff", b"\0", b"\x7f")) * rng.randint(1, 8)
            case 2:
                del content[at : at + rng.randint(1, 12)]
            case _:
                content[at:at] = rng.randbytes(rng.randint(1, 8))
    return bytes(content)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trees") / "source"
    table_model("xgboost", classes=4, nullable=True)[0].save(folder)
    return folder


def _spoilt(sound: Path, name: str, seed: int, folder: Path) -> Path:
    directory = Path(shutil.copytree(sound, folder / f"{name}-{seed}"))
    (directory / name).write_bytes(_damaged((sound / name).read_bytes(), seed))
    return directory


def _refused(family: TriedFamily, directory: Path) -> str:
    """What is wrong with it; empty where it is read."""
    try:
        family.load(directory)
    except BundleError as refused:
        assert refused.remedy and "\n" not in refused.headline and "took longer" not in refused.headline
        return refused.headline
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.ubj", "encoder.skops", "config.json"])
def test_damaged_trees_meet_xgboost_elsewhere(trees: Path, tmp_path: Path, name: str) -> None:
    family = TriedFamily(Layout(tmp_path), "tabular")
    heard = [_refused(family, _spoilt(trees, name, seed, tmp_path)) for seed in range(5)]
    assert sum(map(bool, heard)) >= 3, heard


@pytest.mark.slow
def test_a_sound_one_is_tried_once_and_one_of_our_own_not_at_all(trees: Path, tmp_path: Path) -> None:
    family = TriedFamily(Layout(tmp_path), "tabular")
    family.load(trees)
    proofs = Layout(tmp_path).proofs
    (proof,) = proofs.glob("*[0-9a-f]")
    assert b"xgboost" in proof.read_bytes()
    for each in proofs.iterdir():
        each.unlink()
    family.remember(trees)
    family.load(trees)
    assert [each.name for each in proofs.iterdir()] == [proof.name], "no trial, and so no lock"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_damaged_networks_are_refused_here(tmp_path: Path, name: str) -> None:
    picture_model(12, 10, 3)[0].save(tmp_path / "sound")
    family = TriedFamily(Layout(tmp_path), "image")
    heard = [_refused(family, _spoilt(tmp_path / "sound", name, seed, tmp_path)) for seed in range(60)]
    assert sum(map(bool, heard)) >= 20


@pytest.mark.slow
def test_a_version_whose_source_was_damaged_is_not_exported_again(tmp_path: Path) -> None:
    layout = scaffold.init(tmp_path / "cancer", name="cancer", task="tabular")
    training.train(layout, ("model.params.trees=10", "logger.system_metrics=false"))
    (kept,) = layout.artifacts.rglob("model.ubj")
    sound, died = kept.read_bytes(), 0
    for seed in range(100):
        kept.write_bytes(_damaged(sound, seed))
        done = tidemill(layout, "export", "cancer/1")
        assert done.code in (0, 1) and "Traceback" not in done.err
        died += "died of SIG" in done.err
        if died:
            break
    assert died, "none of these was XGBoost's death: find another damage"
    assert "the saved model" in done.err and done.code == 1
