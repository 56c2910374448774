"""Each architecture's own settings, typed; `model.kind` chooses one, `model.params` is checked against it.

Field comments are documentation, as in `schema.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from tidemill.config.schema import ModelConfig, bounded
from tidemill.domain.dataset import Kind, Task

P = TypeVar("P")


@dataclass
class SmallCnn:
    """Three blocks of two convolutions; for small pictures."""

    channels: int = bounded(32, low=4, high=512)  # of the first block; doubled in each further one
    dropout: float = bounded(0.1, low=0, high=0.9)


@dataclass
class AlexNet:
    """Krizhevsky et al. (2012), its strides fitted to the size of the pictures."""

    width: float = bounded(1.0, above=0, high=2)  # share of the paper's channels
    dropout: float = bounded(0.5, low=0, high=0.9)


@dataclass
class ResNet18:
    """He et al. (2015); small pictures enter without the first pooling."""

    channels: int = bounded(64, low=8, high=128)  # of the first stage; 64 in the paper


@dataclass
class Bert:
    """A BERT-like encoder (Devlin et al., 2018), with its own tokenizer or with pretrained weights."""

    hidden: int = bounded(96, low=16, high=1024)  # a multiple of `heads`
    layers: int = bounded(2, low=1, high=24)
    heads: int = bounded(4, low=1, high=16)
    dropout: float = bounded(0.1, low=0, high=0.9)
    vocabulary: int = bounded(2000, low=300, high=100_000)  # size of the tokenizer trained from the data
    lowercase: bool = False
    max_length: int = bounded(64, low=4, high=512)  # tokens
    pretrained: str = ""  # a folder with config.json, model.safetensors, tokenizer.json; or hub:NAME


@dataclass
class Linear:
    """Linear regression, or logistic regression for classes."""

    l2: float = bounded(1.0, above=0)  # strength of the penalty (classes only)


@dataclass
class Lasso:
    """Linear regression with an L1 penalty (Tibshirani, 1996)."""

    alpha: float = bounded(0.1, above=0)  # strength of the penalty


@dataclass
class XGBoost:
    """Gradient-boosted trees (Chen and Guestrin, 2016)."""

    trees: int = bounded(300, low=1, high=10_000)
    depth: int = bounded(4, low=1, high=12)
    learning_rate: float = bounded(0.1, above=0, high=1)
    subsample: float = bounded(0.9, above=0, high=1)  # share of rows per tree
    column_sample: float = bounded(0.9, above=0, high=1)  # share of features per tree
    min_child_weight: float = bounded(1.0, low=0)
    l2: float = bounded(1.0, low=0)
    patience: int = bounded(20, low=0)  # trees without a better validation loss before it ends; 0: never


class Architecture(NamedTuple):
    """What `model.kind` may be: for which task, with which settings, for which kinds of target."""

    task: Task
    params: type[Any]
    kinds: tuple[Kind, ...] = ("classification",)


ARCHITECTURES: Mapping[str, Architecture] = {
    "small_cnn": Architecture("image", SmallCnn),
    "alexnet": Architecture("image", AlexNet),
    "resnet18": Architecture("image", ResNet18),
    "bert": Architecture("text", Bert),
    "linear": Architecture("tabular", Linear, ("classification", "regression")),
    "lasso": Architecture("tabular", Lasso, ("regression",)),
    "xgboost": Architecture("tabular", XGBoost, ("classification", "regression")),
}


def params_of(model: ModelConfig, cls: type[P]) -> P:
    """The checked settings of `model` as the dataclass `cls` of its architecture."""
    return cls(**model.params)
