"""Settings of the networks for sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tidemill.config.schema import bounded


@dataclass
class Bert:
    """A BERT-like encoder (Devlin et al., 2018), with its own tokenizer or with pretrained weights."""

    hidden: int = bounded(96, low=16, high=1024)  # a multiple of `heads`
    layers: int = bounded(2, low=1, high=24)
    heads: int = bounded(4, low=1, high=16)
    dropout: float = bounded(0.1, low=0, high=0.9)  # everywhere, in pretrained weights, too
    vocabulary: int = bounded(2000, low=300, high=100_000)  # size of the tokenizer trained from the data
    lowercase: bool = False
    max_length: int = bounded(64, low=4, high=512)  # tokens
    pooling: Literal["mean", "cls"] = "mean"  # what stands for the sentence: the mean of its tokens, or the first
    freeze_embeddings: bool = False  # of pretrained weights: tokens keep their vectors, half of a small encoder
    pretrained: str = ""  # a folder with config.json, model.safetensors, tokenizer.json; or hub:NAME
