"""What a model takes and gives, where it was trained and where it answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tidemill.domain.bundle import Bundle, Preprocessing, Signature

    Feed = Mapping[str, NDArray[Any]]
    """A batch as the graph takes it: input name -> array whose first axis is the batch."""

Raw = bytes | str | Mapping[str, Any]
"""One request as a client has it: a picture file's bytes, a sentence, or a row by column name."""


class Scored(NamedTuple):
    """`scores` float32 [N, C] and `embedding` float32 [N, D], as `Signature` describes them."""

    scores: NDArray[np.float32]
    embedding: NDArray[np.float32]


class SourceModel(Protocol):
    """A trained model in the framework that trained it: the truth that an export is compared with."""

    @property
    def signature(self) -> Signature: ...

    @property
    def preprocessing(self) -> Preprocessing: ...

    @property
    def params(self) -> int:
        """Trainable parameters."""

    def score(self, feed: Feed) -> Scored: ...

    def save(self, directory: Path) -> None:
        """Write the model natively, no pickle: safetensors, UBJSON, JSON, skops; for text also `tokenizer.json`."""


class Exporter(Protocol):
    """Writes a source model as one file that a runtime reads."""

    def export(self, model: SourceModel, path: Path) -> None:
        """Raises GateError naming the part that cannot be converted."""


class Session(Protocol):
    """A model that is loaded and answers."""

    def run(self, feed: Feed) -> Scored: ...


class Runtime(Protocol):
    """Loads the graph of an audited bundle."""

    def load(self, directory: Path, bundle: Bundle, *, threads: int) -> Session: ...
