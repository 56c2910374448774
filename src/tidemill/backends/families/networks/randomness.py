"""The states of all global random generators, as tensors and plain values."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from tidemill.backends.families.networks.checkpoints import State


def random_state() -> State:
    """Of torch (every GPU, too), numpy and Python."""
    tensors = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors |= {f"cuda{number}": each for number, each in enumerate(torch.cuda.get_rng_state_all())}
    kind, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)
    tensors["numpy"] = torch.from_numpy(np.asarray(keys, np.int64))
    version, words, normal = random.getstate()
    plain: dict[str, Any] = {"numpy": [kind, place, has_gauss, gauss], "python": [version, list(words), normal]}
    return State(tensors, plain)


def restore_random(state: State) -> None:
    """Go on from what `random_state` gave; generators of GPUs that are not here are left out."""
    torch.set_rng_state(state.tensors["torch"])
    for number in range(torch.cuda.device_count()):
        if f"cuda{number}" in state.tensors:
            torch.cuda.set_rng_state(state.tensors[f"cuda{number}"], number)
    kind, place, has_gauss, gauss = state.plain["numpy"]
    np.random.set_state((kind, state.tensors["numpy"].numpy().astype(np.uint32), place, has_gauss, gauss))
    version, words, normal = state.plain["python"]
    random.setstate((version, tuple(words), normal))
