"""Text classification: a BERT-like encoder with its own tokenizer, or pretrained weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.backends.families.models.available import check_network
from tidemill.backends.families.models.sentences import sentence_network, sentence_parts
from tidemill.backends.families.models.tokenizer import pad_id
from tidemill.backends.families.networks.batches import Batches
from tidemill.backends.families.networks.fit import Splits, fit, seeded
from tidemill.backends.families.networks.graphs import SentenceGraph
from tidemill.backends.families.networks.source import TOKENIZER, NetworkModel, Saved, classifier_signature
from tidemill.backends.families.networks.split import labelled, learnable
from tidemill.bundle.preprocess import Preprocessor
from tidemill.domain.bundle import Tensor, TextPreprocessing

if TYPE_CHECKING:
    from tidemill.config.schema import Config
    from tidemill.dataset.read import PackedDataset
    from tidemill.ports import ModelFamily, Reporter


@dataclass(frozen=True)
class TextFamily:
    """Networks for sentences, by `model.kind`; `root` is the project that holds own models and pretrained weights."""

    root: Path = Path()

    def check(self, config: Config, data: PackedDataset) -> None:
        """Whether the project's own code can be imported, and pretrained weights are there. Raises ConfigError."""
        check_network(config.model, self.root)

    def fit(self, config: Config, data: PackedDataset, report: Reporter, workdir: Path) -> NetworkModel:
        """A tokenizer of the training sentences and random weights, or both as `model.params.pretrained` has them."""
        seeded(config)
        train = data.examples("train")
        labels = data.version.classes
        parts = sentence_parts(config.model, train.inputs, len(labels), self.root)  # type: ignore[arg-type]  # a text data set holds sentences
        preprocessing = TextPreprocessing(parts.max_length, pad_id(parts.tokenizer))
        (workdir / TOKENIZER).write_text(parts.tokenizer.to_str(), encoding="utf-8")
        prepare = Preprocessor(preprocessing, workdir / TOKENIZER)
        rows = labelled(prepare, train, labels, SentenceGraph.inputs)
        val = learnable(prepare, data, rows, labels, SentenceGraph.inputs)
        if val is not None:
            val.lengths = val.rows.inputs[1].sum(1)
        graph = SentenceGraph(parts.network)
        batches = Batches(
            rows, config.trainer.batch_size, shuffle=True, seed=config.seed, lengths=rows.inputs[1].sum(1)
        )
        fit(graph, config, Splits(batches, val), report, workdir)
        inputs = [Tensor(name, "int64", (-1, -1)) for name in SentenceGraph.inputs]
        signature = classifier_signature("text", inputs, labels, parts.width)
        return NetworkModel(signature, preprocessing, graph, parts.architecture, (workdir / TOKENIZER).read_bytes())

    def load(self, directory: Path) -> NetworkModel:
        """What `NetworkModel.save` wrote."""
        saved = Saved.read(directory, TextPreprocessing)
        network = sentence_network(saved.architecture, len(saved.signature.labels), self.root)
        return saved.with_weights(SentenceGraph(network))


if TYPE_CHECKING:
    _fits: type[ModelFamily] = TextFamily
