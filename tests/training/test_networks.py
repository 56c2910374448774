"""Families of networks: one real training each; what is learned, saved, repeated."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from tidemill.backends.families.image import ImageFamily
from tidemill.backends.families.networks.batches import Batches, Rows
from tidemill.backends.families.networks.source import NetworkModel
from tidemill.backends.families.text import TextFamily
from tidemill.bundle.preprocess import Preprocessor
from tidemill.dataset.read import PackedDataset
from tidemill.errors import BundleError, ConfigError, DataError, GateError
from tidemill.stages.evaluate import evaluate

from .samples import Heard, settings

TINY = ("trainer.max_epochs=1", "model.params.channels=4", "trainer.batch_size=128")


def feed_of(
    model: NetworkModel, data: PackedDataset, split: str, folder: Path, rows: int = 64
) -> dict[str, np.ndarray]:
    tokenizer = folder / "tokenizer.json"
    prepare = Preprocessor(model.preprocessing, tokenizer if tokenizer.is_file() else None)
    return prepare.prepare(data.examples(split).inputs[:rows])


def weights(model: NetworkModel, folder: Path) -> str:
    model.save(folder)
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_a_small_cnn_reads_digits(digits: PackedDataset, heard: Heard, tmp_path: Path) -> None:
    model = ImageFamily().fit(settings("image"), digits, heard, tmp_path)
    examples = digits.examples("test")
    prepared = Preprocessor(model.preprocessing).prepare(examples.inputs)
    assert evaluate(model.signature, model.score(prepared), examples).metrics["accuracy"] >= 0.97
    assert [step for step, _ in heard.steps] == list(range(1, 11))
    assert set(heard.steps[0][1]) == {
        "train_loss", "train_accuracy", "val_loss", "val_accuracy", "epoch_seconds", "learning_rate",
    }  # fmt: skip
    assert heard.notes[-1].startswith("epoch 10/10 · loss 0.")
    assert (model.signature.inputs[0].shape, model.preprocessing.mode) == ((-1, 8, 8, 1), "L")  # type: ignore[union-attr]  # an image's


def test_a_class_that_training_lacks_is_a_label_that_is_never_answered(
    digits_withheld: PackedDataset, heard: Heard, tmp_path: Path
) -> None:
    model = ImageFamily().fit(settings("image", "trainer.max_epochs=4"), digits_withheld, heard, tmp_path)
    assert model.signature.labels == tuple("0123456789")
    examples = digits_withheld.examples("test")
    prepared = Preprocessor(model.preprocessing).prepare(examples.inputs)
    evaluation = evaluate(model.signature, model.score(prepared), examples)
    assert [evaluation.per_class[label]["recall"] for label in "89"] == [0.0, 0.0]
    assert [label for label, _ in evaluation.worst(2)] == ["8", "9"]
    assert 0.7 < evaluation.metrics["accuracy"] < 0.85


@pytest.mark.parametrize("kind", ["small_cnn", "alexnet", "resnet18"])
def test_saved_and_loaded_it_answers_the_same(kind: str, digits: PackedDataset, heard: Heard, tmp_path: Path) -> None:
    params = {"small_cnn": "channels=4", "alexnet": "width=0.1", "resnet18": "channels=8"}[kind]
    chosen = settings("image", f"model={kind}", f"model.params.{params}", "trainer.max_epochs=1", "data.augment=shift")
    model = ImageFamily().fit(chosen, digits, heard, tmp_path)
    feed = feed_of(model, digits, "test", tmp_path)
    before = model.score(feed)
    assert before.scores.dtype == before.embedding.dtype == np.float32
    np.testing.assert_allclose(before.scores.sum(axis=1), 1, atol=1e-5)
    assert before.embedding.shape == (64, model.signature.outputs[1].shape[1])
    model.save(tmp_path / "saved")
    after = ImageFamily().load(tmp_path / "saved")
    np.testing.assert_array_equal(after.score(feed).scores, before.scores)
    assert (after.signature, after.preprocessing, after.params) == (model.signature, model.preprocessing, model.params)
    assert model.score(model.example()).scores.shape == (2, 10)


@pytest.mark.parametrize("kind", ["small_cnn", "alexnet", "resnet18"])
@pytest.mark.parametrize("size", [8, 28, 64, 97, 224])
def test_every_network_fits_every_size(kind: str, size: int) -> None:
    from tidemill.backends.families.models.pictures import picture_network

    params = {"small_cnn": {"channels": 4}, "alexnet": {"width": 0.1}, "resnet18": {"channels": 8}}[kind]
    shape = {"channels": 3, "height": size, "width": size + 5}
    network = picture_network({"kind": kind, "params": params, "shape": shape}, 3, Path()).eval()
    with torch.inference_mode():
        logits, embedding = network(torch.zeros(2, 3, size, size + 5))
    assert logits.shape == (2, 3)
    assert embedding.ndim == 2


def test_the_same_seed_gives_the_same_weights(digits: PackedDataset, heard: Heard, tmp_path: Path) -> None:
    def train(folder: str, seed: int) -> str:
        chosen = settings("image", *TINY, "data.augment=shift", f"seed={seed}")
        (tmp_path / folder).mkdir()
        return weights(ImageFamily().fit(chosen, digits, heard, tmp_path / folder), tmp_path / folder / "saved")

    first, second, other = train("a", 1), train("b", 1), train("c", 2)
    assert first == second
    assert first != other


@pytest.mark.parametrize(
    "overrides",
    [
        ("optimizer=sgd", "optimizer.scheduler.name=step"),
        ("optimizer=adam",),
        ("optimizer.scheduler.name=plateau", "optimizer.loss.label_smoothing=0.1"),
        ("optimizer.scheduler.name=none", "callbacks=none"),
        ("trainer.batch_size=100000", "data.augment=flip"),
    ],
)
def test_every_optimizer_and_schedule_trains(
    overrides: tuple[str, ...], digits: PackedDataset, heard: Heard, tmp_path: Path
) -> None:
    chosen = settings("image", *TINY, *overrides, "trainer.max_epochs=2")
    ImageFamily().fit(chosen, digits, heard, tmp_path)
    assert len(heard.steps) == 2
    assert ("learning_rate" in heard.steps[0][1]) == ("callbacks=none" not in overrides)


def test_training_ends_early_and_with_the_best_weights(digits: PackedDataset, heard: Heard, tmp_path: Path) -> None:
    patience = ("callbacks.early_stopping.patience=1", "callbacks.early_stopping.monitor=val_loss")
    chosen = settings("image", *TINY, *patience, "trainer.max_epochs=40", "optimizer.lr=0.1", "optimizer=sgd")
    model = ImageFamily().fit(chosen, digits, heard, tmp_path)
    losses = [step["val_loss"] for _, step in heard.steps]
    assert len(losses) < 40
    assert losses[-1] >= min(losses)
    best = losses.index(min(losses)) + 1
    said = f"stopped after epoch {len(losses)}: val_loss no better for 1 epoch; weights of epoch {best}"
    assert heard.remarks == [said]
    examples = digits.examples("val")
    scored = model.score(Preprocessor(model.preprocessing).prepare(examples.inputs))
    assert evaluate(model.signature, scored, examples).metrics["log_loss"] == pytest.approx(min(losses), abs=1e-3)


def test_divergence_is_an_error_that_says_what_to_lower(digits: PackedDataset, heard: Heard, tmp_path: Path) -> None:
    chosen = settings(
        "image", "model=alexnet", "model.params.width=0.1", "optimizer=sgd", "optimizer.lr=10", "trainer.max_epochs=2",
        "trainer.gradient_clip=0", "callbacks=none",
    )  # fmt: skip
    with pytest.raises(GateError) as raised:
        ImageFamily().fit(chosen, digits, heard, tmp_path)
    assert "optimizer.lr=1" in raised.value.remedy


def test_a_gpu_that_is_not_there_is_an_error(digits: PackedDataset, heard: Heard, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ConfigError, match="no GPU"):
        ImageFamily().fit(settings("image", *TINY, "trainer.accelerator=gpu"), digits, heard, tmp_path)


def test_altered_files_are_refused(digits: PackedDataset, heard: Heard, tmp_path: Path) -> None:
    ImageFamily().fit(settings("image", *TINY), digits, heard, tmp_path).save(tmp_path / "saved")
    (tmp_path / "saved" / "model.safetensors").write_bytes(b"\x80\x04not safetensors")
    with pytest.raises(BundleError, match="weights"):
        ImageFamily().load(tmp_path / "saved")
    (tmp_path / "saved" / "config.json").write_text("{}")
    with pytest.raises(BundleError, match="no saved model"):
        ImageFamily().load(tmp_path / "saved")


def test_batches_hold_each_row_once_and_never_one_alone() -> None:
    rows = Rows((torch.arange(33).view(-1, 1),), torch.arange(33))
    batches = Batches(rows, 8, shuffle=True, seed=3)
    first, second = ([batch[1] for batch in batches] for _ in range(2))
    assert [len(batch) for batch in first] == [8, 8, 8, 8]
    assert len(batches) == 4
    assert len(set(torch.cat(first).tolist())) == 32
    assert not torch.equal(torch.cat(first), torch.cat(second))
    assert [len(batch[1]) for batch in Batches(rows, 8)] == [8, 8, 8, 8, 1]


def test_an_encoder_tells_natural_from_scrambled(sentences: PackedDataset, heard: Heard, tmp_path: Path) -> None:
    model = TextFamily().fit(settings("text", "trainer.max_epochs=3", "optimizer.lr=2e-3"), sentences, heard, tmp_path)
    model.save(tmp_path / "saved")
    examples = sentences.examples("test")
    prepare = Preprocessor(model.preprocessing, tmp_path / "saved" / "tokenizer.json")
    feed = prepare.prepare(examples.inputs)
    scored = model.score(feed)
    assert evaluate(model.signature, scored, examples).metrics["accuracy"] > 0.7
    after = TextFamily().load(tmp_path / "saved")
    np.testing.assert_array_equal(after.score(feed).scores, scored.scores)
    longer = {name: np.pad(array, ((0, 0), (0, 3))) for name, array in feed.items()}
    np.testing.assert_allclose(model.score(longer).scores, scored.scores, atol=1e-5)  # padding says nothing


def test_an_encoder_repeats_and_goes_on_from_pretrained_weights(
    sentences: PackedDataset, heard: Heard, tmp_path: Path
) -> None:
    small = ("trainer.max_epochs=1", "model.params.hidden=16", "model.params.layers=1", "model.params.vocabulary=300")

    def train(folder: str, *more: str) -> NetworkModel:
        (tmp_path / folder).mkdir()
        return TextFamily().fit(settings("text", *small, *more), sentences, heard, tmp_path / folder)

    first = train("a")
    assert weights(first, tmp_path / "one") == weights(train("b"), tmp_path / "two")
    pretrained = tmp_path / "pretrained"
    first.module.network.encoder.save_pretrained(pretrained)  # type: ignore[union-attr,operator]  # transformers' own
    (pretrained / "tokenizer.json").write_bytes(first.tokenizer or b"")
    again = train("c", f"model.params.pretrained={pretrained}", "optimizer.lr=1e-9")
    word = "network.encoder.embeddings.word_embeddings.weight"
    torch.testing.assert_close(again.module.state_dict()[word], first.module.state_dict()[word], atol=1e-6, rtol=0)
    (pretrained / "model.safetensors").rename(pretrained / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"no model\.safetensors"):
        train("d", f"model.params.pretrained={pretrained}")


def test_settings_that_make_no_encoder_are_named(sentences: PackedDataset, heard: Heard, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no multiple"):
        TextFamily().fit(settings("text", "model.params.hidden=30"), sentences, heard, tmp_path)


def test_one_class_alone_cannot_be_learned(tmp_path: Path, heard: Heard) -> None:
    from PIL import Image

    from .samples import packed

    for number in range(12):
        for label, split in (("a", "train"), ("a", "val"), ("a", "test"), ("b", "test")):
            file = tmp_path / "raw" / split / label / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 9), (number * 9, len(split) * 20, ord(label))).save(file)
    data = packed(tmp_path / "raw", tmp_path / "packed", "image")
    with pytest.raises(DataError, match="1 class"):
        ImageFamily().fit(settings("image"), data, heard, tmp_path)
