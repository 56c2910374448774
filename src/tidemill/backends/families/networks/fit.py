"""Train a graph, from its first step or from the checkpoint that a killed training left, to its best weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from tidemill.backends.families.networks.checkpoints import FOLDER, Checkpoints
from tidemill.backends.families.networks.clock import Clock
from tidemill.backends.families.networks.modes import deterministic, fabric_for, quiet
from tidemill.backends.families.networks.training import Training
from tidemill.backends.families.networks.watch import copied
from tidemill.errors import GateError
from tidemill.process import limit_threads, training_threads

if TYPE_CHECKING:
    from tidemill.backends.families.networks.batches import BatchSource
    from tidemill.backends.families.networks.graphs import Graph
    from tidemill.config.schema import Config
    from tidemill.ports import Reporter

_WORTH_SHARING = 1 << 15  # found by trying 1, 2 and 4 threads on 8 x 8 and 32 x 32 pictures


class Splits(NamedTuple):
    """Batches of training and validation; None where there is nothing to validate on."""

    train: BatchSource
    val: BatchSource | None


def seeded(config: Config) -> None:
    """Threads and random numbers, set before the weights are drawn."""
    limit_threads()
    torch.set_num_threads(training_threads(config.trainer.threads))
    torch.manual_seed(config.seed)


def share_cores(config: Config, values: int, workers: int = 0) -> None:
    """Leave cores to `workers` processes beside training, unless `trainer.threads` says how many threads compute.

    Small batches, of so many `values`, use no more threads than they keep busy: they are slower on four than on two.
    """
    threads = training_threads(config.trainer.threads, workers=workers)
    if not config.trainer.threads and values < _WORTH_SHARING:
        threads = min(2, threads)
    torch.set_num_threads(threads)


def fit(graph: Graph, config: Config, splits: Splits, report: Reporter, workdir: Path) -> None:
    """Train `graph` in place; it ends on the CPU, with its best weights when they are kept.

    `workdir` outlives the process: a training that was killed goes on from the checkpoint it left there. Raises
    GateError when the loss is no number any more, StateError for a checkpoint that does not fit.
    """
    fabric = fabric_for(config.trainer)
    splits = report.watched(splits) if isinstance(report, Clock) else splits
    with quiet(), deterministic(config.trainer.deterministic):
        training = Training(graph, config, splits, fabric, report, workdir)
        training.run()
    with training.weights_in_place():
        last = copied(graph)
    graph.cpu()
    if config.callbacks.checkpoint:
        Checkpoints(workdir / FOLDER, config.trainer.resume).keep_last(last)
    graph.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # torch's stubs lack it
    graph.load_state_dict(training.watch.weights or last)
    if not all(bool(each.isfinite().all()) for each in graph.parameters()):
        raise GateError(
            "training diverged: the weights are no numbers any more",
            f"lower the learning rate:  optimizer.lr={config.optimizer.lr / 10:g}",
        )
