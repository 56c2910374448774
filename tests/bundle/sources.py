"""Small source models of every framework, and the examples they are exported on."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tidemill.backends.families._chain import Chain
from tidemill.backends.families.models.bert import BertNetwork, fresh_encoder
from tidemill.backends.families.models.small_cnn import SmallCnnNetwork
from tidemill.backends.families.networks.graphs import PictureGraph, SentenceGraph
from tidemill.backends.families.networks.source import NetworkModel
from tidemill.backends.families.tables.columns import frame
from tidemill.backends.families.tables.encode import plain, standardiser
from tidemill.backends.families.tables.linear import fit_linear, with_all_classes
from tidemill.backends.families.tables.pipeline import PipelineModel
from tidemill.backends.families.tables.trees import Part, TreesModel, boost
from tidemill.bundle.consistency import signature_of
from tidemill.bundle.preprocess import Preprocessor
from tidemill.config.architectures import ARCHITECTURES
from tidemill.config.schema import Config, DataConfig, ModelConfig
from tidemill.dataset.read import Examples
from tidemill.domain.bundle import (
    ImagePreprocessing,
    Lineage,
    TableColumn,
    TabularPreprocessing,
    TextPreprocessing,
)
from tidemill.domain.digest import Digest

_ZERO = Digest("sha256:" + "0" * 64)
LINEAGE = Lineage("run", _ZERO, _ZERO, _ZERO, "0" * 40, _ZERO, "rows-v1.0.0", _ZERO, 1)
LABELS = ("a", "b", "c", "d")


class Silent:
    def metrics(self, *_: Any) -> None: ...

    def progress(self, *_: Any) -> None: ...


def columns(*, nullable: bool) -> TabularPreprocessing:
    """Names that converters like to change, and one that two of them become."""
    return TabularPreprocessing(
        (
            TableColumn("a b", "float", (), nullable),
            TableColumn("a_b", "integer", (), nullable),
            TableColumn("größe", "category", ("x", "y", "z"), nullable),
            TableColumn("n!", "category", ("1", "2")),
        )
    )


def rows(number: int, *, nullable: bool) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    made = []
    for _ in range(number):
        row: dict[str, Any] = {"a b": float(rng.normal(7, 1000)), "a_b": int(rng.integers(0, 99)),
                               "größe": str(rng.choice(["x", "y", "z"])), "n!": str(rng.integers(1, 3))}  # fmt: skip
        if nullable:
            row |= {name: None for name in ("a b", "a_b", "größe") if rng.random() < 0.1}
        made.append(row)
    return made


def table_model(kind: str, *, classes: int, nullable: bool, number: int = 400) -> tuple[Any, Examples]:
    """Of `classes` (0: regression); with four of them the third is not in the training rows."""
    prepared = columns(nullable=nullable)
    inputs = rows(number, nullable=nullable)
    feed = Preprocessor(prepared).prepare(inputs)
    value = np.nan_to_num(feed["a b"][:, 0]).astype(np.float64)
    target: Any = value / 3 + 5
    if classes == 2:
        target = (value > 7).astype(np.int64)
    elif classes:
        target = np.digitize(value, [-600, 7]).astype(np.int64)
        target[target == 2] = 3
    labels = LABELS[:classes]
    settings = Config(name="x", task="tabular", data=DataConfig(name="rows"), model=ModelConfig(kind, {}))
    return _fitted(settings, prepared, feed, target, labels), _examples(inputs, labels, target)


def _fitted(settings: Config, prepared: TabularPreprocessing, feed: Any, target: Any, labels: Sequence[str]) -> Any:
    if settings.model.kind != "xgboost":
        pipeline = fit_linear(settings, prepared, frame(prepared, feed), target)
        if labels:
            pipeline = with_all_classes(pipeline, len(labels))
        width = int(pipeline["predict"].n_features_in_)
        return PipelineModel(signature_of("tabular", prepared, tuple(labels), width), prepared, pipeline)
    encoder = plain(prepared)
    features = np.asarray(encoder.fit_transform(frame(prepared, feed)), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        chain = Chain(Path(folder))
        booster = boost(settings, Part(features, target), None, classes=len(labels), report=Silent(), chain=chain)
    signature = signature_of("tabular", prepared, tuple(labels), features.shape[1])
    return TreesModel(signature, prepared, encoder, booster, standardiser().fit(features))


def _examples(inputs: list[Any], labels: Sequence[str], target: Any) -> Examples:
    names = tuple(f"test/{index}" for index in range(len(inputs)))
    if not labels:
        return Examples(names, inputs, (), np.asarray(target, np.float64))
    return Examples(names, inputs, tuple(labels[index] for index in target), None)


def picture_model(height: int, width: int, channels: int) -> tuple[NetworkModel, Examples]:
    """A small network with random weights."""
    import torch

    torch.manual_seed(0)
    shape = {"channels": channels, "height": height, "width": width}
    network = SmallCnnNetwork(ARCHITECTURES["small_cnn"].params(), **shape, classes=4)
    graph = PictureGraph(network, [0.4] * channels, [0.2] * channels)
    prepared = ImagePreprocessing("L" if channels == 1 else "RGB", height, width)
    model = NetworkModel(signature_of("image", prepared, LABELS, network.head.in_features), prepared, graph, {})
    rng = np.random.default_rng(0)
    inputs = []
    for _ in range(12):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(file, "PNG")
        inputs.append(file.getvalue())
    return model, _examples(inputs, LABELS, np.arange(12) % 4)


def sentence_model() -> tuple[NetworkModel, Examples]:
    """A small encoder with random weights."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    torch.manual_seed(0)
    params = ARCHITECTURES["bert"].params()
    words = {f"w{index}": index for index in range(50)} | {"[UNK]": 50, "[PAD]": 51}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    encoder = fresh_encoder(params, vocabulary=len(words), pad_id=51)
    network = SentenceGraph(BertNetwork(encoder, hidden=params.hidden, dropout=0.1, classes=4))
    prepared = TextPreprocessing(params.max_length, 51)
    signature = signature_of("text", prepared, LABELS, params.hidden)
    model = NetworkModel(signature, prepared, network, {}, tokenizer.to_str().encode())
    rng = np.random.default_rng(0)
    inputs = [" ".join(f"w{word}" for word in rng.integers(0, 60, rng.integers(1, 40))) for _ in range(12)]
    return model, _examples(inputs, LABELS, np.arange(12) % 4)
