"""The training loop: everything that moves while a network learns, and how it is put down and taken up again."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tidemill.backends.families._chain import Chain
from tidemill.backends.families.networks.averaging import Average
from tidemill.backends.families.networks.checkpoints import (
    FOLDER,
    Checkpoints,
    State,
    optimizer_state,
    restore_optimizer,
)
from tidemill.backends.families.networks.freezing import Freezing
from tidemill.backends.families.networks.meter import Meter, class_weights, loss_of
from tidemill.backends.families.networks.optimizers import optimizer_for
from tidemill.backends.families.networks.progress import Progress
from tidemill.backends.families.networks.randomness import random_state, restore_random
from tidemill.backends.families.networks.schedules import Course, Schedule
from tidemill.backends.families.networks.summary import SUMMARY, summarise
from tidemill.backends.families.networks.watch import Watch
from tidemill.domain.chain import Link
from tidemill.domain.record import from_plain, to_plain
from tidemill.errors import StateError
from tidemill.ports import Remarked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightning.fabric import Fabric
    from torch import Tensor

    from tidemill.backends.families.networks.batches import Batch
    from tidemill.backends.families.networks.fit import Splits
    from tidemill.backends.families.networks.graphs import Graph
    from tidemill.config.schema import Config
    from tidemill.ports import Reporter


@dataclass
class Place:
    """How far training is: batches of this epoch, and the optimizer's steps in all, that are done."""

    epoch: int = 0
    batch: int = 0
    step: int = 0


class Logits(nn.Module):
    """What the loss is computed from, as a module of its own, so that it runs in the wanted precision."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.graph.logits(*inputs)[0]


class Training:
    """Trains `graph` on `fabric`'s device. `folder` outlives the process: what lies there is gone on from."""

    def __init__(
        self, graph: Graph, config: Config, splits: Splits, fabric: Fabric, report: Reporter, folder: Path
    ) -> None:
        settings = config.trainer
        self.graph, self._config, self._splits, self._fabric, self._report = graph, config, splits, fabric, report
        if settings.channels_last:
            graph.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        fused = fabric.device.type == "cpu"  # elsewhere it would unscale fp16 by itself
        self._optimizer = optimizer_for(graph, config.optimizer, fused=fused)
        self._freezing = Freezing(graph, settings.freeze_epochs)
        self._module, self._stepper = fabric.setup(Logits(graph), self._optimizer)
        self._batches = len(splits.train)
        self._schedule = Schedule(self._optimizer, config.optimizer.scheduler, self._course())
        self._meter = Meter(config.optimizer.loss)
        self._weights = class_weights(splits.train.taken, config.optimizer.loss)
        self.watch = Watch(config.callbacks.early_stopping, keep=config.callbacks.checkpoint)
        self.average = Average(graph, settings.ema_decay) if settings.ema_decay else None
        self._checkpoints = Checkpoints(folder / FOLDER, settings.resume)
        self._place, self._elapsed = Place(), 0.0
        self._random: State | None = None  # to be restored before the first step
        last = self._restore()
        self._chain = Chain(folder, last)
        self._summary = folder / SUMMARY
        self._named = sorted(graph.state_dict())
        for each in splits:
            if each is not None:
                each.to(fabric.device)

    def run(self) -> None:
        """From where it stands to the last epoch, or to the one after which nothing gets better."""
        for epoch in range(self._place.epoch, self._config.trainer.max_epochs):
            began = time.monotonic() - self._elapsed
            self._learn(epoch, began)
            if self._close(epoch, began):
                break
        self._freezing.leave()

    @property
    def hashing_seconds(self) -> float:
        """What the chain of weight digests has cost so far in this process."""
        return self._chain.seconds

    def weights_in_place(self) -> Any:
        """Inside the block the graph has the weights that count: the running mean, where one is kept."""
        return self.average.in_place() if self.average else nullcontext()

    def _learn(self, epoch: int, began: float) -> None:
        accumulate = self._config.trainer.accumulate
        progress = Progress(self._report, epochs=self._config.trainer.max_epochs, batches=self._batches)
        self.graph.train()
        self._freezing.enter(epoch)
        for number, (inputs, targets) in self._rest_of(epoch):
            if self._config.callbacks.summary and not self._summary.exists():
                summarise(self.graph, inputs, self._report, self._summary)
            if self._random is not None:
                restore_random(self._random)
                self._random = None
            if number % accumulate == 0:
                self._place = Place(epoch, number, self._place.step)
                self._elapsed = time.monotonic() - began
                self._keep()
            first = number - number % accumulate
            self._backward(inputs, targets, min(accumulate, self._batches - first))
            if (number + 1) % accumulate == 0 or number + 1 == self._batches:
                self._step()
            progress.batch(epoch, number, len(targets), self._meter)

    def _rest_of(self, epoch: int) -> Iterator[tuple[int, Batch]]:
        """The batches of `epoch` that are left, each with its number in it."""
        source, first = self._splits.train, self._place.batch
        source.set_epoch(epoch)
        source.start_at(first)
        return enumerate(source, first)

    def _backward(self, inputs: tuple[Tensor, ...], targets: Tensor, parts: int) -> None:
        logits = self._module(*inputs)
        loss = loss_of(logits, targets, self._config.optimizer.loss, weights=self._weights)
        self._meter.count(loss, logits.detach(), targets)
        self._fabric.backward(loss / parts if parts > 1 else loss)

    def _step(self) -> None:
        settings = self._config.trainer
        if settings.gradient_clip:
            self._fabric.clip_gradients(
                self._module, self._stepper, max_norm=settings.gradient_clip, error_if_nonfinite=False
            )
        self._stepper.step()
        self._stepper.zero_grad()
        self._schedule.step()
        self._place.step += 1
        if self.average:
            self.average.update(self._place.step)
        if self._place.step % settings.digest_every == 0:
            self._link()

    def _close(self, epoch: int, began: float) -> bool:
        """Validate, report, remember; whether training is to end."""
        self._link()
        metrics = self._meter.close("train")
        rate = float(self._optimizer.param_groups[0]["lr"])
        with self.weights_in_place():
            metrics |= self._validated()
            stop = self.watch.see(epoch + 1, metrics, self.graph)
        self._schedule.close_epoch(metrics.get("val_loss"))
        self._place, self._elapsed = Place(epoch + 1, 0, self._place.step), 0.0
        found = {**metrics, "epoch_seconds": time.monotonic() - began}
        if self._config.callbacks.lr_monitor:
            found["learning_rate"] = rate
        self._report.metrics(found, epoch + 1)
        if stop and epoch + 1 < self._config.trainer.max_epochs and isinstance(self._report, Remarked):
            self._report.remark(self.watch.told(epoch + 1))
        return stop or not math.isfinite(metrics.get("train_loss", 0.0))

    @torch.no_grad()
    def _validated(self) -> dict[str, float]:
        if self._splits.val is None:
            return {}
        self.graph.eval()
        self._splits.val.set_epoch(0)
        for inputs, targets in self._splits.val:
            logits = self._module(*inputs)
            loss = loss_of(logits, targets, self._config.optimizer.loss, smoothing=False)
            self._meter.count(loss, logits, targets)
        return self._meter.close("val")

    def _course(self) -> Course:
        settings = self._config.trainer
        epoch = math.ceil(self._batches / settings.accumulate)
        frozen = min(settings.freeze_epochs, settings.max_epochs) * epoch
        return Course(max(1, settings.max_epochs * epoch), epoch, frozen, settings.finetune_lr_factor)

    def _link(self) -> None:
        weights = self.graph.state_dict()
        self._chain.add(self._place.step, (_bytes(weights[name]) for name in self._named))

    def _keep(self) -> None:
        step = self._place.step
        if self._checkpoints.due(step, epoch_begins=self._place.batch == 0):
            self._chain.sync()
            self._checkpoints.write(step, self._state(), self.watch.weights, self.watch.epoch)

    def _state(self) -> State:
        parts = {"optimizer": optimizer_state(self._optimizer), "random": random_state()}
        parts["graph"] = State(self.graph.state_dict(), {})
        parts["meter"] = State({"sums": self._meter.sums}, {})
        if self.average:
            parts["average"] = State(self.average.mean, {})
        scaler = getattr(self._fabric._precision, "scaler", None)  # Fabric shows it nowhere else
        plain = {
            "step": self._place.step, "place": to_plain(self._place), "elapsed": self._elapsed,
            "chain": to_plain(self._chain.last), "schedule": self._schedule.state(), "watch": self.watch.state(),
            "scaler": scaler.state_dict() if scaler else None, "threads": torch.get_num_threads(),
            "parts": {name: part.plain for name, part in parts.items()},
        }  # fmt: skip
        tensors = {f"{name}/{key}": each for name, part in parts.items() for key, each in part.tensors.items()}
        return State(tensors, plain)

    def _restore(self) -> Link | None:
        """Take up what the last checkpoint has; returns the last link of the chain as it was then."""
        read = self._checkpoints.read()
        if read is None:
            return None
        (tensors, plain), best = read
        parts = {name: State({}, found) for name, found in plain["parts"].items()}
        for path, each in tensors.items():
            name, _, key = path.partition("/")
            parts[name].tensors[key] = each
        try:
            self.graph.load_state_dict(parts["graph"].tensors)
        except RuntimeError as error:
            raise StateError(
                f"the checkpoint is of another network: {str(error).splitlines()[0]}", "train anew"
            ) from None
        restore_optimizer(self._optimizer, parts["optimizer"])
        self._meter.sums = parts["meter"].tensors["sums"].to(self._fabric.device)
        if self.average:
            self.average.restore(parts["average"].tensors)
        self._random = parts["random"]
        self._place, self._elapsed = from_plain(Place, plain["place"]), plain["elapsed"]
        self._schedule.restore(plain["schedule"])
        self.watch.restore(plain["watch"], best)
        scaler = getattr(self._fabric._precision, "scaler", None)
        if scaler and plain["scaler"]:
            scaler.load_state_dict(plain["scaler"])
        torch.set_num_threads(plain["threads"])  # sums are taken in another order by another number of threads
        return from_plain(Link, plain["chain"]) if plain["chain"] else None


def _bytes(weight: Tensor) -> Any:
    """The bytes of a tensor on any device, in rows."""
    return weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
