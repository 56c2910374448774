"""A BERT-like encoder (Devlin et al., 2018) its tokens pooled, on transformers' implementation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from tidemill.backends.families.models.pretrained import again, load_pretrained
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from tidemill.config.architectures import Bert

ENCODERS = ("bert", "distilbert", "roberta", "electra", "mpnet")
"""Encoders that take token ids and a mask and nothing else; a pretrained one must be of these kinds."""
_SHIFTED = ("roberta", "mpnet")
"""They number their places from behind the padding token's own number."""


class BertNetwork(nn.Module):
    """Encoder, mean over the tokens that are not padding or the state of the first, linear head."""

    def __init__(self, encoder: nn.Module, *, hidden: int, dropout: float, classes: int, pooling: str = "mean") -> None:
        super().__init__()
        self.encoder = encoder
        self.mean = pooling == "mean"
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """int64 [N, L] each, to logits [N, classes] and embedding float32 [N, hidden]."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        embedding = _mean(states, attention_mask) if self.mean else states[:, 0]
        return self.head(self.dropout(embedding)), embedding


def _mean(states: Tensor, attention_mask: Tensor) -> Tensor:
    weights = attention_mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1.0)


def fresh_encoder(params: Bert, *, vocabulary: int, pad_id: int) -> nn.Module:
    """An encoder with random weights. Raises ConfigError when `hidden` cannot be shared among the heads."""
    from transformers import BertConfig, BertModel

    if params.hidden % params.heads:
        raise ConfigError(
            f"model.params.hidden={params.hidden} is no multiple of model.params.heads={params.heads}",
            "choose, for example, hidden=128 and heads=4",
        )
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=params.hidden,
        num_hidden_layers=params.layers,
        num_attention_heads=params.heads,
        intermediate_size=4 * params.hidden,
        hidden_dropout_prob=params.dropout,
        attention_probs_dropout_prob=params.dropout,
        max_position_embeddings=params.max_length,
        pad_token_id=pad_id,
    )
    return _without_pooler(BertModel(config))


def pretrained_encoder(params: Bert, root: Path) -> nn.Module:
    """The encoder that `params.pretrained` names: a folder below `root`, or on the hub."""
    encoder = _without_pooler(load_pretrained(params.pretrained, ENCODERS, "an encoder for sentences", root))
    for part in encoder.modules():
        if isinstance(part, nn.Dropout):
            part.p = params.dropout
    if params.freeze_embeddings:
        encoder.get_input_embeddings().requires_grad_(False)  # type: ignore[operator]  # transformers' own
    return encoder


def encoder_again(plain: Mapping[str, Any]) -> nn.Module:
    """An encoder of the shape that `plain_config` described; its weights are random."""
    return _without_pooler(again(plain, ENCODERS))


def positions(encoder: nn.Module) -> int:
    """The tokens that an encoder can tell apart by their place."""
    config: Any = encoder.config
    most = int(config.max_position_embeddings)
    return most - config.pad_token_id - 1 if config.model_type in _SHIFTED else most


def _without_pooler(encoder: nn.Module) -> nn.Module:
    """The pooling here takes the place of the layer over the first token."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.register_module("pooler", None)
    return encoder
