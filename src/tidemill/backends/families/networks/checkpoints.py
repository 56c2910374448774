"""Where a killed training goes on: everything that moves, in one file without pickle, replaced whole or not at all.

`resume.safetensors` holds tensors by name, and in its header, as JSON, all that is not a tensor. Beside it lies
`best-EPOCH.safetensors`, the weights of the best epoch so far, written once when a checkpoint first needs them.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save, save_file

from tidemill.errors import StateError
from tidemill.files import write_atomic

if TYPE_CHECKING:
    from torch import Tensor

    from tidemill.config.schema.trainer import ResumeConfig

FOLDER, LAST = "checkpoints", "last.safetensors"
_RESUME, _BEST, _PLAIN, _FORMAT = "resume.safetensors", "best-*.safetensors", "state", 1
_SHARE = 0.05  # of the time, at most, goes into the checkpoints that epochs ask for


class State(NamedTuple):
    """`tensors` by name, and `plain`: JSON values."""

    tensors: dict[str, Tensor]
    plain: dict[str, Any]


class Checkpoints:
    """Knows when a checkpoint is due, writes it to `folder`, and reads the one that is there."""

    def __init__(self, folder: Path, settings: ResumeConfig) -> None:
        self._folder, self._settings = folder, settings
        self._written, self._cost, self._step = time.monotonic(), 0.0, 0

    def due(self, step: int, *, epoch_begins: bool) -> bool:
        """Whether to write one now, after `step` steps."""
        if step == self._step:
            return False
        since = time.monotonic() - self._written
        if self._settings.every_seconds and since >= self._settings.every_seconds:
            return True
        if self._settings.every_steps:
            return step - self._step >= self._settings.every_steps
        return epoch_begins and since * _SHARE >= self._cost

    def write(self, step: int, state: State, best: dict[str, Tensor], best_epoch: int) -> None:
        """Durable when it returns. Before it does, the checkpoint before this one is still whole."""
        began = time.monotonic()
        place = self._best(best_epoch)
        if best and not place.is_file():
            write_atomic(place, save(best))
        plain = {**state.plain, "format": _FORMAT, "best_epoch": best_epoch if best else 0}
        header = {_PLAIN: json.dumps(plain)}
        write_atomic(self._folder / _RESUME, save({k: v.contiguous() for k, v in state.tensors.items()}, header))
        self._remove_best(but=place)
        self._written, self._step = time.monotonic(), step
        self._cost = self._written - began

    def read(self) -> tuple[State, dict[str, Tensor]] | None:
        """The state that was written last, and the best weights; None when there is none. Raises StateError.

        Best weights that it does not name are removed: a kill came before the checkpoint that they were written for,
        and what comes again may be other ones.
        """
        path = self._folder / _RESUME
        if not path.is_file():
            self._remove_best(but=None)
            return None
        try:
            with safe_open(path, "pt") as file:
                plain = json.loads((file.metadata() or {})[_PLAIN])
            if plain.pop("format") != _FORMAT:
                raise ValueError("another version of tidemill wrote it")
            best = plain.pop("best_epoch")
            weights = load_file(self._best(best)) if best else {}
            state = State(load_file(path), plain)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise StateError(
                f"{path} cannot be read: {error}", "remove it, and --resume trains this run from its start"
            ) from None
        self._remove_best(but=self._best(best))
        self._step = plain["step"]
        return state, weights

    def keep_last(self, weights: dict[str, Tensor]) -> None:
        """The weights with which training ended."""
        self._folder.mkdir(parents=True, exist_ok=True)
        save_file(weights, self._folder / LAST)

    def _remove_best(self, *, but: Path | None) -> None:
        for each in self._folder.glob(_BEST):
            if each != but:
                each.unlink()

    def _best(self, epoch: int) -> Path:
        return self._folder / _BEST.replace("*", str(epoch))


def optimizer_state(optimizer: torch.optim.Optimizer) -> State:
    """The moments and counters of each parameter; groups have nothing that the configuration does not say."""
    tensors, plain = {}, {}
    for number, found in optimizer.state_dict()["state"].items():
        for name, value in found.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{number}/{name}"] = value
            else:
                plain[f"{number}/{name}"] = value
    return State(tensors, plain)


def restore_optimizer(optimizer: torch.optim.Optimizer, state: State) -> None:
    """Give `optimizer`, made anew for the same parameters, the state it had."""
    found: dict[int, dict[str, Any]] = {}
    for path, value in (*state.tensors.items(), *state.plain.items()):
        number, _, name = path.partition("/")
        found.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": found, "param_groups": optimizer.state_dict()["param_groups"]})
