"""In what manner training runs: device and precision, quiet, repeatable, and to be interrupted."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts; needed for equal results

import torch
from lightning.fabric import Fabric

from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.config.schema import TrainerConfig

_PRECISION: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def fabric_for(settings: TrainerConfig) -> Fabric:
    """One device, with the precision that is asked for. Raises ConfigError for what this machine does not have."""
    if settings.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("trainer.accelerator=gpu: there is no GPU that torch can use", "use auto or cpu")
    gpu = settings.accelerator != "cpu" and torch.cuda.is_available()
    if settings.precision == "16" and not gpu:
        raise ConfigError("trainer.precision=16 needs a GPU", "on a CPU use trainer.precision=bf16 or 32")
    with quiet():
        return Fabric(accelerator="gpu" if gpu else "cpu", devices=1, precision=_PRECISION[settings.precision])


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning without its banners and tips."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning.fabric.utilities.rank_zero")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Only algorithms that give the same result again; on a GPU some operations have none, and go on."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(wanted, warn_only=torch.cuda.is_available())
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
