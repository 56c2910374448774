"""The modules that are exported: inputs as a client has them after decoding; normalisation and softmax inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Graph(nn.Module):
    """A network between the prepared inputs and (scores, embedding)."""

    inputs: tuple[str, ...]
    network: nn.Module  # with a last layer called `head`

    def logits(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [N, classes] and embedding [N, D]: what the loss is computed from."""
        raise NotImplementedError  # each kind of input has a graph of its own

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """`scores` float32 [N, classes], rows summing to 1, and `embedding` float32 [N, D]."""
        logits, embedding = self.logits(*inputs)
        return torch.softmax(logits, dim=-1), embedding


class PictureGraph(Graph):
    """`image` uint8 [N, H, W, C]; `mean` and `std` are those of the training pictures, per channel, in [0, 1]."""

    inputs = ("image",)
    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))

    def logits(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Of uint8 [N, H, W, C]."""
        (image,) = inputs
        return cast("tuple[Tensor, Tensor]", self.network(self._normalised(image)))

    def look_at(self, image: Tensor) -> None:
        """Let a network that sets a part of itself up from the data (it has `initialise`) see training pictures."""
        initialise = getattr(self.network, "initialise", None)
        if initialise is not None:
            initialise(self._normalised(image))

    def _normalised(self, image: Tensor) -> Tensor:
        return (image.permute(0, 3, 1, 2).to(torch.float32) / 255.0 - self.mean) / self.std

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]  # the exporter names inputs by it
        """`scores` and `embedding` of uint8 [N, H, W, C]."""
        return super().forward(image)


class SentenceGraph(Graph):
    """`input_ids` and `attention_mask`, int64 [N, L]."""

    inputs = ("input_ids", "attention_mask")

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def logits(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Of int64 [N, L] each."""
        return cast("tuple[Tensor, Tensor]", self.network(*inputs))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]  # the exporter names inputs by it
        """`scores` and `embedding` of int64 [N, L] each."""
        return super().forward(input_ids, attention_mask)
