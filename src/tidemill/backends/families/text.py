"""Text classification: a BERT-like encoder with its own tokenizer, or pretrained weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer
from torch import nn

from tidemill.backends.families.models.bert import (
    BertNetwork,
    encoder_from,
    encoder_plain,
    fresh_encoder,
    pretrained_encoder,
)
from tidemill.backends.families.models.tokenizer import pad_id, train_tokenizer
from tidemill.backends.families.networks.batches import Batches
from tidemill.backends.families.networks.fit import Splits, fit, seeded
from tidemill.backends.families.networks.graphs import SentenceGraph
from tidemill.backends.families.networks.source import TOKENIZER, NetworkModel, Saved, classifier_signature
from tidemill.backends.families.networks.split import labelled, learnable
from tidemill.bundle.preprocess import Preprocessor
from tidemill.config.architectures import Bert, params_of
from tidemill.domain.bundle import Tensor, TextPreprocessing
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.config.schema import Config
    from tidemill.dataset.read import PackedDataset
    from tidemill.ports import ModelFamily, Reporter

_HUB = "hub:"


class TextFamily:
    """`model.kind`: bert."""

    def fit(self, config: Config, data: PackedDataset, report: Reporter, workdir: Path) -> NetworkModel:
        """A tokenizer of the training sentences and random weights, or both as `model.params.pretrained` has them."""
        seeded(config)
        params = params_of(config.model, Bert)
        train = data.examples("train")
        tokenizer, encoder = _parts(params, train.inputs)  # type: ignore[arg-type]  # a text data set holds sentences
        most = int(getattr(encoder.config, "max_position_embeddings", params.max_length))
        if params.max_length > most:
            raise ConfigError(
                f"model.params.max_length={params.max_length}: these weights know {most} positions", "give less"
            )
        preprocessing = TextPreprocessing(params.max_length, pad_id(tokenizer))
        (workdir / TOKENIZER).write_text(tokenizer.to_str(), encoding="utf-8")
        prepare = Preprocessor(preprocessing, workdir / TOKENIZER)
        labels = data.version.classes
        rows = labelled(prepare, train, labels, SentenceGraph.inputs)
        val = learnable(prepare, data, rows, labels, SentenceGraph.inputs)
        if val is not None:
            val.lengths = val.rows.inputs[1].sum(1)
        hidden = int(encoder.config.hidden_size)  # type: ignore[union-attr,arg-type]  # transformers' own
        architecture = {"encoder": encoder_plain(encoder), "hidden": hidden, "dropout": params.dropout}
        graph = SentenceGraph(BertNetwork(encoder, hidden=hidden, dropout=params.dropout, classes=len(labels)))
        batches = Batches(
            rows, config.trainer.batch_size, shuffle=True, seed=config.seed, lengths=rows.inputs[1].sum(1)
        )
        fit(graph, config, Splits(batches, val), report, workdir)
        inputs = [Tensor(name, "int64", (-1, -1)) for name in SentenceGraph.inputs]
        signature = classifier_signature("text", inputs, labels, hidden)
        return NetworkModel(signature, preprocessing, graph, architecture, (workdir / TOKENIZER).read_bytes())

    def load(self, directory: Path) -> NetworkModel:
        """What `NetworkModel.save` wrote."""
        saved = Saved.read(directory, TextPreprocessing)
        shape: dict[str, Any] = saved.architecture
        network = BertNetwork(
            encoder_from(dict(shape["encoder"])), hidden=shape["hidden"], dropout=shape["dropout"],
            classes=len(saved.signature.labels),
        )  # fmt: skip
        return saved.with_weights(SentenceGraph(network))


def _parts(params: Bert, sentences: Sequence[str]) -> tuple[Tokenizer, nn.Module]:
    if not params.pretrained:
        tokenizer = train_tokenizer(sentences, vocabulary=params.vocabulary, lowercase=params.lowercase)
        encoder = fresh_encoder(params, vocabulary=tokenizer.get_vocab_size(), pad_id=pad_id(tokenizer))
        return tokenizer, encoder
    if params.pretrained.startswith(_HUB):
        name = params.pretrained.removeprefix(_HUB)
        encoder = pretrained_encoder(name, local=False)
        return _tokenizer_of_hub(name), encoder
    where = Path(params.pretrained)
    encoder = pretrained_encoder(str(where), local=True)
    try:
        return Tokenizer.from_file(str(where / TOKENIZER)), encoder
    except Exception as error:  # the parser's errors have no class of their own
        raise ConfigError(
            f"model.params.pretrained: {where / TOKENIZER}: {error}", "it needs a tokenizer.json"
        ) from None


def _tokenizer_of_hub(name: str) -> Tokenizer:
    try:
        return Tokenizer.from_pretrained(name)
    except Exception as error:  # no network, no such name, no such file: all by classes of the hub's client
        first = str(error).strip().splitlines()[0]
        raise ConfigError(f"model.params.pretrained: {name} has no tokenizer.json: {first}", "check the name") from None


if TYPE_CHECKING:
    _fits: type[ModelFamily] = TextFamily
