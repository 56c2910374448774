"""Training a graph with Lightning: quiet, repeatable, on the GPU if there is one."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts; needed for equal results

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping

from tidemill.backends.families.networks.batches import Batches
from tidemill.backends.families.networks.callbacks import Checkpoints, Report
from tidemill.backends.families.networks.module import Training
from tidemill.errors import ConfigError, GateError
from tidemill.process import limit_threads

if TYPE_CHECKING:
    from tidemill.backends.families.networks.graphs import Graph
    from tidemill.config.schema import Config
    from tidemill.ports import Reporter


_WORTH_SHARING = 1 << 15  # found by trying 1, 2 and 4 threads on 8 x 8 and 32 x 32 pictures


class Splits(NamedTuple):
    """Batches of training and validation; None where there is nothing to validate on."""

    train: Batches
    val: Batches | None


def seeded(config: Config) -> None:
    """Threads and random numbers, set before the weights are drawn."""
    torch.set_num_threads(limit_threads())
    torch.manual_seed(config.seed)


def share_batches(values: int) -> None:
    """Use no more threads than batches of `values` numbers keep busy: small ones are slower on four than on two."""
    if values < _WORTH_SHARING:
        torch.set_num_threads(min(2, limit_threads()))


def fit(graph: Graph, config: Config, splits: Splits, report: Reporter, workdir: Path) -> None:
    """Train `graph` in place; it ends on the CPU, with its best weights when checkpoints are kept.

    Raises GateError when the loss is no number any more.
    """
    module = Training(graph, config.optimizer, epochs=config.trainer.max_epochs, steps=len(splits.train))
    stopping = config.callbacks.early_stopping
    checkpoints = Checkpoints(workdir / "checkpoints", stopping.monitor) if config.callbacks.checkpoint else None
    callbacks: list[Any] = [Report(report, learning_rate=config.callbacks.lr_monitor)]
    callbacks += [checkpoints] if checkpoints else []
    if stopping.enabled and splits.val is not None:
        mode = "max" if stopping.monitor.endswith("accuracy") else "min"
        callbacks.append(EarlyStopping(stopping.monitor, patience=stopping.patience, mode=mode, check_finite=True))
    with _quiet(), _deterministic(config.trainer.deterministic), _interruptible():
        _trainer(config, callbacks, workdir).fit(module, splits.train, splits.val)
    module.cpu()
    if checkpoints:
        checkpoints.restore(module)
    if not all(bool(each.isfinite().all()) for each in graph.parameters()):
        raise GateError(
            "training diverged: the weights are no numbers any more",
            f"lower the learning rate:  optimizer.lr={config.optimizer.lr / 10:g}",
        )


def _trainer(config: Config, callbacks: list[Any], workdir: Path) -> Trainer:
    if config.trainer.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("trainer.accelerator=gpu: there is no GPU that torch can use", "use auto or cpu")
    gpu = config.trainer.accelerator != "cpu" and torch.cuda.is_available()
    return Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=1,
        max_epochs=config.trainer.max_epochs,
        gradient_clip_val=config.trainer.gradient_clip or None,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=workdir,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning without its banners, tips and advice about data loaders, which are not used here."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
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
def _deterministic(wanted: bool) -> Iterator[None]:
    """Only algorithms that give the same result again; on a GPU some operations have none, and go on."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(wanted, warn_only=torch.cuda.is_available())
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C stays a KeyboardInterrupt: Lightning would ignore further ones and leave with code 1."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as leaving:
        if isinstance(leaving.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if main and handler is not None:
            signal.signal(signal.SIGINT, handler)
