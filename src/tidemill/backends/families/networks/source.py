"""A trained network as a source model: scoring, and saving as safetensors beside a config.json."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tidemill.domain.bundle import Preprocessing, Signature, Tensor
from tidemill.domain.record import from_plain, to_plain
from tidemill.errors import BundleError
from tidemill.ports import Scored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.backends.families.networks.graphs import Graph
    from tidemill.ports import Feed

BATCH = 512
TOKENIZER = "tokenizer.json"


@dataclass
class NetworkModel:
    """`module` takes the arrays of `signature.inputs` and gives (scores, embedding).

    `architecture` is what `load` needs to build the module again; `tokenizer` is the content of tokenizer.json.
    """

    signature: Signature
    preprocessing: Preprocessing
    module: Graph
    architecture: dict[str, Any]
    tokenizer: bytes | None = None
    params: int = field(init=False)

    def __post_init__(self) -> None:
        self.params = sum(each.numel() for each in self.module.parameters() if each.requires_grad)
        self.module.eval()

    def score(self, feed: Feed) -> Scored:
        """Scores and embedding of a batch of any size, computed on the CPU in parts of 512 rows."""
        arrays = [torch.from_numpy(np.ascontiguousarray(feed[name])) for name in self.module.inputs]
        scores, embedding = [], []
        with torch.inference_mode():
            for start in range(0, len(arrays[0]), BATCH):
                part = self.module(*(each[start : start + BATCH] for each in arrays))
                scores.append(part[0].numpy())
                embedding.append(part[1].numpy())
        return Scored(np.concatenate(scores), np.concatenate(embedding))

    def example(self) -> Feed:
        """A feed of two rows, for tracing."""
        feed = {}
        for each in self.signature.inputs:
            shape = (2, *(8 if side == -1 else side for side in each.shape[1:]))
            feed[each.name] = np.ones(shape, each.dtype)
        return feed

    def save(self, directory: Path) -> None:
        """model.safetensors, config.json and, for text, tokenizer.json."""
        directory.mkdir(parents=True, exist_ok=True)
        save_file({name: each.contiguous() for name, each in self.module.state_dict().items()},
                  directory / "model.safetensors")  # fmt: skip
        config = {
            "architecture": self.architecture,
            "signature": to_plain(self.signature),
            "preprocessing": to_plain(self.preprocessing),
        }
        (directory / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
        if self.tokenizer is not None:
            (directory / TOKENIZER).write_bytes(self.tokenizer)


@dataclass(frozen=True)
class Saved:
    """What `NetworkModel.save` wrote, read but for the weights."""

    architecture: dict[str, Any]
    signature: Signature
    preprocessing: Any
    tokenizer: bytes | None
    directory: Path

    @classmethod
    def read(cls, directory: Path, preprocessing: type[Any]) -> Saved:
        """Raises BundleError for a folder that holds no saved model."""
        try:
            config = json.loads((directory / "config.json").read_bytes())
            signature = from_plain(Signature, config["signature"])
            prepared = from_plain(preprocessing, config["preprocessing"])
            tokenizer = directory / TOKENIZER
            content = tokenizer.read_bytes() if tokenizer.is_file() else None
            return cls(dict(config["architecture"]), signature, prepared, content, directory)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"{directory} holds no saved model: {error}", "train it again") from None

    def with_weights(self, module: Graph) -> NetworkModel:
        """Raises BundleError when the weights are not those of `module`."""
        try:
            module.load_state_dict(load_file(self.directory / "model.safetensors"))
        except (OSError, RuntimeError, SafetensorError) as error:
            first = str(error).splitlines()[0]
            raise BundleError(f"{self.directory}: the weights do not fit: {first}", "train it again") from None
        return NetworkModel(self.signature, self.preprocessing, module, self.architecture, self.tokenizer)


def classifier_signature(task: Any, inputs: Sequence[Tensor], labels: Sequence[str], width: int) -> Signature:
    """The signature of a classifier whose embedding has `width` values."""
    outputs = (Tensor("scores", "float32", (-1, len(labels))), Tensor("embedding", "float32", (-1, width)))
    return Signature(task, "classification", tuple(inputs), outputs, tuple(labels))
