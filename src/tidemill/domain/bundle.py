"""The artefact that goes from training to monitoring, as data. docs/bundle.md describes the directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tidemill.domain.dataset import Kind, Task
from tidemill.domain.digest import Digest

PROTOCOL = 1


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of the graph; -1 in `shape` is a dynamic length. `dtype` is NumPy's name, or 'str'."""

    name: str
    dtype: Literal["uint8", "int64", "float32", "str"]
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """What goes in and what comes out.

    Outputs are always `scores` float32 [N, classes] (probabilities; [N, 1] the value, for regression) and
    `embedding` float32 [N, D]. `labels` names the columns of `scores` in order; for regression it is empty.
    """

    task: Task
    kind: Kind
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImagePreprocessing:
    """Decode, convert to `mode`, resize to height x width with the named Pillow filter.

    Input `image`: uint8 [N, H, W, C].
    """

    mode: Literal["L", "RGB"]
    height: int
    width: int
    filter: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    type: Literal["image"] = "image"


@dataclass(frozen=True, slots=True)
class TextPreprocessing:
    """Tokenise with the bundle's tokenizer.json, cut at `max_length`, pad to the longest of the batch.

    Inputs `input_ids` and `attention_mask`: int64 [N, L].
    """

    max_length: int
    pad_id: int
    type: Literal["text"] = "text"


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A feature column. `categories` lists what a category column may hold."""

    name: str
    type: Literal["float", "integer", "category"]
    categories: tuple[str, ...] = ()
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class TabularPreprocessing:
    """Columns in order. Each is an input of its own, [N, 1]: float32 for float and integer, str for category."""

    columns: tuple[TableColumn, ...]
    type: Literal["tabular"] = "tabular"


Preprocessing = ImagePreprocessing | TextPreprocessing | TabularPreprocessing


@dataclass(frozen=True, slots=True)
class FileRecord:
    digest: Digest
    bytes: int


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a bundle comes from; each parent by digest."""

    run: str
    spec: Digest
    config: Digest
    code: Digest
    commit: str
    environment: Digest
    dataset: str
    dataset_digest: Digest
    seed: int
    decision: str | None = None


@dataclass(frozen=True, slots=True)
class Parity:
    """The exported graph against the source model, on every row of the test split.

    `changed` counts rows whose decision differs (regression: whose value differs by more than `tolerance`).
    """

    rows: int
    changed: int
    largest_difference: float
    tolerance: float
    limit: float
    latency_ms: float

    @property
    def share(self) -> float:
        return self.changed / self.rows if self.rows else 0.0

    @property
    def held(self) -> bool:
        return self.share <= self.limit


@dataclass(frozen=True, slots=True)
class Golden:
    """How many raw requests `golden.parquet` holds and how far an answer may be off (absolute, per score)."""

    rows: int
    tolerance: float


@dataclass(frozen=True, slots=True)
class Bundle:
    """The content of bundle.json."""

    protocol: int
    name: str
    signature: Signature
    preprocessing: Preprocessing
    files: Mapping[str, FileRecord]
    lineage: Lineage
    metrics: Mapping[str, float]
    parity: Parity
    golden: Golden
    per_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        return self.signature.task
