"""A BERT-like encoder (Devlin et al., 2018) with a mean over its tokens, on transformers' implementation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from tidemill.config.architectures import Bert

ENCODERS = ("bert", "distilbert", "roberta", "electra", "mpnet")
"""Encoders that take token ids and a mask and nothing else; a pretrained one must be of these kinds."""


class BertNetwork(nn.Module):
    """Encoder, mean over the tokens that are not padding, linear head."""

    def __init__(self, encoder: nn.Module, *, hidden: int, dropout: float, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """int64 [N, L] each, to logits [N, classes] and embedding float32 [N, hidden]."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        weights = attention_mask.unsqueeze(-1).to(states.dtype)
        embedding = (states * weights).sum(1) / weights.sum(1).clamp(min=1.0)
        return self.head(self.dropout(embedding)), embedding


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


def pretrained_encoder(where: str, *, local: bool) -> nn.Module:
    """The encoder at a path, or on the hub when not `local`: safetensors only, never code that came with it."""
    from transformers import AutoConfig, AutoModel

    if local and not (Path(where) / "model.safetensors").is_file():
        raise ConfigError(
            f"model.params.pretrained: {where} holds no model.safetensors",
            "name a folder with config.json, model.safetensors and tokenizer.json, or hub:NAME",
        )
    try:
        config = AutoConfig.from_pretrained(where, local_files_only=local, trust_remote_code=False)
        if config.model_type not in ENCODERS:
            raise ConfigError(
                f"model.params.pretrained: {where} is a {config.model_type}, not an encoder for sentences",
                f"encoders that are known: {', '.join(ENCODERS)}",
            )
        encoder: nn.Module = AutoModel.from_pretrained(
            where, config=config, local_files_only=local, use_safetensors=True, trust_remote_code=False,
            dtype=torch.float32,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ConfigError(f"model.params.pretrained: {where} cannot be loaded: {first}", "check the name") from None
    return _without_pooler(encoder)


def encoder_from(plain: dict[str, Any]) -> nn.Module:
    """An encoder of the shape that `encoder_plain` described; its weights are random."""
    from transformers import AutoConfig, AutoModel

    kind = plain.pop("model_type")
    if kind not in ENCODERS:
        raise ConfigError(f"no encoder {kind!r}", f"encoders that are known: {', '.join(ENCODERS)}")
    encoder: nn.Module = AutoModel.from_config(AutoConfig.for_model(kind, **plain))  # type: ignore[no-untyped-call]  # transformers' own
    return _without_pooler(encoder)


def _without_pooler(encoder: nn.Module) -> nn.Module:
    """The mean over the tokens takes the place of the layer over the first one."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.register_module("pooler", None)
    return encoder


def encoder_plain(encoder: nn.Module) -> dict[str, Any]:
    """The shape of an encoder as plain values."""
    plain: dict[str, Any] = encoder.config.to_dict()  # type: ignore[union-attr,operator]  # transformers' own
    return plain
