"""The artefact that goes from training to monitoring, as data. docs/bundle.md describes the directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tidemill.domain.dataset import Kind, Task
from tidemill.domain.digest import Digest

PROTOCOL = 3

Precision = Literal["float32", "float16", "int8_dynamic", "int8_static"]
"""In what numbers a graph keeps its weights (float16) and computes (int8; the ranges per batch, or taken once)."""


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
    """A feature column. `categories` lists what a category column may hold, `low` and `high` what a number may be: as
    the data set declares it, None where it says nothing."""

    name: str
    type: Literal["float", "integer", "category"]
    categories: tuple[str, ...] = ()
    nullable: bool = False
    low: float | None = None
    high: float | None = None


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
class Latency:
    """Median milliseconds of one request, and of a batch of 32; preprocessing is not counted. 0: not measured."""

    one_ms: float = 0.0
    batch_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Parity:
    """The exported graph against the source model, on every row of the test split, on the CPU that exported it.

    `changed` counts rows whose decision differs (regression: whose value differs by more than `tolerance`), and `limit`
    is the share of rows that may. `loss` is how much accuracy (regression: R²) the graph has lost, negative where it
    gained; `class_loss` is that of `worst_class`, the class nearest to its limit, or furthest past it. `latency_ms` is
    the graph's for one request. What protocol 1 did not have keeps its default in bundles of that number.
    """

    rows: int
    changed: int
    largest_difference: float
    tolerance: float
    limit: float
    latency_ms: float
    precision: Precision = "float32"
    loss: float = 0.0
    loss_limit: float = 1.0
    worst_class: str = ""
    class_loss: float = 0.0
    class_loss_limit: float = 1.0
    bytes: int = 0
    source_bytes: int = 0
    batch_latency_ms: float = 0.0
    source_latency: Latency = Latency()

    @property
    def share(self) -> float:
        return self.changed / self.rows if self.rows else 0.0

    @property
    def held(self) -> bool:
        return not self.exceeded

    @property
    def exceeded(self) -> tuple[str, ...]:
        """What is past its limit, in words; none where parity holds."""
        found = []
        if self.share > self.limit:
            found.append(f"{self.changed} of {self.rows} test rows change ({self.share:.2%}, allowed {self.limit:.2%})")
        if self.loss > self.loss_limit:
            found.append(f"{self.loss:.2%} of accuracy is lost (allowed {self.loss_limit:.2%})")
        if self.class_loss > self.class_loss_limit:
            lost = f"{self.class_loss:.2%} of the accuracy of {self.worst_class!r} is lost"
            found.append(f"{lost} (allowed {self.class_loss_limit:.2%})")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Golden:
    """How many golden requests there are and how far an answer may be off (absolute, per score)."""

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
