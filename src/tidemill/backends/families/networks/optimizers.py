"""The optimizers, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

    from tidemill.config.schema import OptimizerConfig


def optimizer_for(  # noqa: PLR0911 - one a name
    graph: nn.Module, settings: OptimizerConfig, *, fused: bool
) -> torch.optim.Optimizer:
    """Weight decay on matrices and kernels only: biases and normalisation keep their scale. Raises ConfigError.

    `fused` is one pass over all weights where there is such a form: on a CPU a step takes a sixth of the time.
    """
    if settings.nesterov and not settings.momentum:
        raise ConfigError("optimizer.nesterov=true needs momentum", "give optimizer.momentum=0.9")
    wide = [each for each in graph.parameters() if each.requires_grad and each.ndim > 1]
    narrow = [each for each in graph.parameters() if each.requires_grad and each.ndim <= 1]
    groups = [{"params": wide, "weight_decay": settings.weight_decay}, {"params": narrow, "weight_decay": 0.0}]
    betas = settings.beta1, settings.beta2
    match settings.name:
        case "sgd":
            return torch.optim.SGD(
                groups, settings.lr, momentum=settings.momentum, nesterov=settings.nesterov, fused=fused
            )
        case "adam":
            return torch.optim.Adam(groups, settings.lr, betas, fused=fused)
        case "nadam":
            return torch.optim.NAdam(groups, settings.lr, betas, decoupled_weight_decay=True)
        case "radam":
            return torch.optim.RAdam(groups, settings.lr, betas, decoupled_weight_decay=True)
        case "adamax":
            return torch.optim.Adamax(groups, settings.lr, betas)
        case "rmsprop":
            return torch.optim.RMSprop(groups, settings.lr, momentum=settings.momentum)
        case "adagrad":
            return torch.optim.Adagrad(groups, settings.lr, fused=fused)
        case "adamw":
            return torch.optim.AdamW(groups, settings.lr, betas, fused=fused)
