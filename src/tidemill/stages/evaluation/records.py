"""What an evaluation report is made of: everything that is on the page, as plain values, bounded in size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidemill.domain.dataset import Kind, Task
from tidemill.domain.digest import Digest
from tidemill.stages.evaluate import Evaluation


@dataclass(frozen=True, slots=True)
class About:
    """What a person says of the model; empty where nobody did."""

    intended_use: str = ""
    not_for: str = ""
    limits: str = ""
    contact: str = ""


@dataclass(frozen=True, slots=True)
class MadeWith:
    """Where it was trained: the interpreter, the platform, and the packages that have a part in what it answers."""

    python: str
    platform: str
    packages: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SplitResult:
    """The figures of a split, on all of its rows or on a part drawn at random; `rows` is what it has."""

    name: str
    rows: int
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers whose confidence lies in a fifteenth of 0 to 1: how many, how sure on average, how many were right."""

    rows: int
    confidence: float
    right: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """`ece`: expected calibration error over 15 bins of equal width (Guo et al., 2017), of the highest score."""

    bins: tuple[Bin, ...]
    ece: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Decile:
    """A tenth of the rows by what is true: from `low` to `high`, mean error (answer minus truth), MAE and RMSE."""

    low: float
    high: float
    rows: int
    bias: float
    mae: float
    rmse: float


@dataclass(frozen=True, slots=True)
class Residuals:
    """`points` are pairs of truth and answer, drawn at random; `counts` the rows with an error between the `edges`."""

    points: tuple[tuple[float, ...], ...]
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    deciles: tuple[Decile, ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A row that was answered wrong. `score` is that of the answer, `truth_score` that of what is true; of a value
    the first is the error. One of `picture` (a data address), `words` and `cells` shows the input.
    """

    name: str
    label: str
    answer: str
    score: float
    truth_score: float = 0.0
    picture: str = ""
    words: str = ""
    cells: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """`splits` ends with the test split, which everything else is about. `wrong` counts its wrong answers."""

    task: Task
    kind: Kind
    dataset: str
    dataset_digest: Digest
    target: str
    splits: tuple[SplitResult, ...]
    mistakes: tuple[Mistake, ...]
    wrong: int
    about: About
    calibration: Calibration | None = None
    residuals: Residuals | None = None
    made_with: MadeWith | None = None

    @property
    def test(self) -> Evaluation:
        return self.splits[-1].evaluation
