"""The network for sentences that `model.kind` names, with its tokenizer; new, or again from what was saved of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from tokenizers import Tokenizer
from torch import nn

from tidemill.backends.families.models.bert import (
    BertNetwork,
    encoder_again,
    fresh_encoder,
    positions,
    pretrained_encoder,
)
from tidemill.backends.families.models.own import own_network
from tidemill.backends.families.models.pretrained import first_line, place, plain_config
from tidemill.backends.families.models.tokenizer import pad_id, train_tokenizer
from tidemill.config.architectures import ARCHITECTURES, Bert, Own
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.config.schema import ModelConfig

_TOKENIZER = "tokenizer.json"


class SentenceParts(NamedTuple):
    """A network that gives (logits, embedding of `width` values), what `sentence_network` needs to build it again, and
    the tokenizer that goes with it."""

    network: nn.Module
    architecture: dict[str, Any]
    width: int
    tokenizer: Tokenizer
    max_length: int


def sentence_parts(model: ModelConfig, sentences: Sequence[str], classes: int, root: Path) -> SentenceParts:
    """For `sentences` to be trained on. Raises ConfigError for settings and weights that do not fit."""
    params = ARCHITECTURES[model.kind].params(**model.params)
    if isinstance(params, Own):
        return _own(params, model, sentences, classes, root)
    tokenizer, encoder = _encoder(params, sentences, root)
    if params.max_length > positions(encoder):
        raise ConfigError(
            f"model.params.max_length={params.max_length}: these weights know {positions(encoder)} positions",
            "give less",
        )
    width = int(encoder.config.hidden_size)  # type: ignore[union-attr,arg-type]  # transformers' own
    shape = {"hidden": width, "dropout": params.dropout, "pooling": params.pooling}
    network = BertNetwork(encoder, **shape, classes=classes)
    return SentenceParts(network, {"encoder": plain_config(encoder), **shape}, width, tokenizer, params.max_length)


def sentence_network(architecture: Mapping[str, Any], classes: int, root: Path) -> nn.Module:
    """The network that `SentenceParts.architecture` describes; its weights are random."""
    if "own" in architecture:
        shape = architecture["shape"]
        network: nn.Module = own_network(
            Own(**architecture["own"]), _example(), shape, root, digest=architecture["code"]
        )
        return network
    return BertNetwork(
        encoder_again(architecture["encoder"]),
        hidden=architecture["hidden"],
        dropout=architecture["dropout"],
        pooling=architecture.get("pooling", "mean"),  # models from before it could be chosen
        classes=classes,
    )


def _own(params: Own, model: ModelConfig, sentences: Sequence[str], classes: int, root: Path) -> SentenceParts:
    tokenizer = train_tokenizer(sentences, vocabulary=params.vocabulary, lowercase=params.lowercase)
    shape = {
        "vocabulary": tokenizer.get_vocab_size(), "max_length": params.max_length, "pad_id": pad_id(tokenizer),
        "classes": classes,
    }  # fmt: skip
    network = own_network(params, _example(), shape, root)
    architecture = {"own": model.params, "shape": shape, "code": str(network.code.digest)}
    return SentenceParts(network, architecture, network.width, tokenizer, params.max_length)


def _example() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.ones(2, 4, dtype=torch.int64), torch.ones(2, 4, dtype=torch.int64)


def _encoder(params: Bert, sentences: Sequence[str], root: Path) -> tuple[Tokenizer, nn.Module]:
    if not params.pretrained:
        tokenizer = train_tokenizer(sentences, vocabulary=params.vocabulary, lowercase=params.lowercase)
        return tokenizer, fresh_encoder(params, vocabulary=tokenizer.get_vocab_size(), pad_id=pad_id(tokenizer))
    where, local = place(params.pretrained, root)
    try:
        tokenizer = Tokenizer.from_file(str(Path(where) / _TOKENIZER)) if local else Tokenizer.from_pretrained(where)
    except Exception as error:  # the parser's and the hub's errors have no class in common
        raise ConfigError(
            f"model.params.pretrained: {where} has no {_TOKENIZER} that can be read: {first_line(error)}",
            f"it needs a {_TOKENIZER} beside its weights",
        ) from None
    return tokenizer, pretrained_encoder(params, root)
