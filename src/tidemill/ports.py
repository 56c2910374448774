"""What stages and the server ask of the outside, in five verbs at most a port. A backend is one file that fits one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from tidemill.config.schema import Config
    from tidemill.dataset.read import PackedDataset
    from tidemill.domain.bundle import Bundle, Preprocessing, Signature
    from tidemill.domain.dataset import DatasetVersion
    from tidemill.domain.drift import DriftTest
    from tidemill.domain.prediction import Feedback, Prediction
    from tidemill.domain.registry import Event, EventKind, ModelVersion

    Feed = Mapping[str, NDArray[Any]]
    """A batch as the graph takes it: input name -> array whose first axis is the batch."""

Raw = bytes | str | Mapping[str, Any]
"""One request as a client has it: a picture file's bytes, a sentence, or a row by column name."""


class Scored(NamedTuple):
    """`scores` float32 [N, C] and `embedding` float32 [N, D], as `Signature` describes them."""

    scores: NDArray[np.float32]
    embedding: NDArray[np.float32]


class Asked(NamedTuple):
    """Neighbouring rows of a request, as they came. `form` says what `content` holds:

    `file`: one picture file. `rows`, `texts`: a JSON body whose list `inputs` has rows, or sentences. `pixels`: uint8
    [rows, *shape]. `plain`: a JSON list of what stands for each row, where that is no request of its own.
    """

    form: Literal["file", "rows", "texts", "pixels", "plain"]
    rows: int
    content: bytes
    latency_ms: float
    shape: tuple[int, ...] = ()


class Answered(NamedTuple):
    """Rows that one run of a model answered, in the order of `asked`. `at` in microseconds since 1970, UTC."""

    model: str
    version: int
    bundle: str
    at: int
    ids: list[str]
    outputs: list[str]
    scores: NDArray[np.float32]
    embedding: NDArray[np.float32]
    asked: list[Asked]


class StopTraining(Exception):
    """Raised by `Reporter.metrics`: this training shall end here, unfinished. A family lets it through, cleaned up."""


class Times(NamedTuple):
    """Seconds that `steps` training steps on `rows` rows took, by what they went into.

    `data`: waiting for the batch; `transfer`: its copy to the device; `compute`: forward, backward and optimizer;
    `logging`: telling trackers, as over whole epochs.
    """

    steps: int
    rows: int
    data: float
    transfer: float
    compute: float
    logging: float


class Reporter(Protocol):
    """Hears of progress; the terminal, the plain log and the tracker are reporters.

    Must not raise, with one exception: the reporter of a search's trial may raise StopTraining from `metrics`.
    """

    def metrics(self, values: Mapping[str, float], step: int) -> None: ...

    def progress(self, done: int, total: int, note: str) -> None: ...


@runtime_checkable
class Summarised(Protocol):
    """A Reporter that also wants to hear what a network is made of."""

    def summary(self, text: str) -> None:
        """A table of layers as lines of text."""


@runtime_checkable
class Remarked(Protocol):
    """A Reporter that also wants to hear why a training ended before its time."""

    def remark(self, text: str) -> None:
        """One line, which stays to be read."""


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


class ModelFamily(Protocol):
    """Trains the models of one task."""

    def check(self, config: Config, data: PackedDataset) -> None:
        """Before a run begins: raises ConfigError or GateError for a model that cannot be trained on `data`."""

    def fit(self, config: Config, data: PackedDataset, report: Reporter, workdir: Path) -> SourceModel:
        """Train. `workdir` outlives the process: what a killed fit left there is gone on from, or begun anew."""

    def load(self, directory: Path) -> SourceModel:
        """What `SourceModel.save` wrote."""


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


Told = Sequence[tuple[Mapping[str, float], int]]
"""Metrics by name, and their step, in the order in which they were logged."""


class Tracker(Protocol):
    """Keeps runs: parameters, metrics, artefacts."""

    def start(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """The id of the new run."""

    def resume(self, run: str, tags: Mapping[str, str], told: Told) -> str:
        """Open a run again whose process is gone; its id, which may be another.

        `told` is every metric that was logged before: what did not arrive, because it was held back when the process
        died, is taken now, and what did is not taken twice.
        """

    def log(self, run: str, metrics: Mapping[str, float], step: int) -> None: ...

    def keep(self, run: str, path: Path, folder: str) -> None:
        """Store a file, or all files under a directory, as artefacts of the run under `folder`."""

    def finish(self, run: str, status: Literal["finished", "failed", "killed"]) -> None: ...

    def fetch(self, run: str, folder: str, into: Path) -> Path:
        """Artefacts of a run as local files. Raises NotFoundError."""


class TrackerFactory(Protocol):
    """Opens a tracker that runs beside MLflow: `open_tracker` of its module, or an entry point `tidemill.trackers`."""

    def __call__(self, folder: Path, experiment: str) -> Tracker:
        """`folder` is its own, `.tidemill/KEY`; it need not exist. Raises MissingExtraError."""


class Registry(Protocol):
    """Model versions and their aliases, where people look for them (MLflow's registry)."""

    def register(self, name: str, bundle: Path, run: str, tags: Mapping[str, str]) -> int:
        """The number of the new version; the same bundle registered again for the same run keeps its number."""

    def versions(self, name: str) -> list[ModelVersion]: ...

    def names(self) -> list[str]: ...

    def point(self, name: str, alias: str, number: int | None) -> None:
        """Set an alias, or remove it with None."""

    def bundle(self, version: ModelVersion, into: Path) -> Path:
        """A local copy of the version's bundle directory, at `into`."""


class Ledger(Protocol):
    """The append-only, hash-chained list of events: the truth about registrations, promotions and decisions."""

    def append(
        self,
        kind: EventKind,
        model: str,
        payload: Mapping[str, Any],
        *,
        check: Callable[[Sequence[Event]], None],
        who: str | None = None,
    ) -> Event:
        """One transaction: read the model's events, let `check` refuse (by raising), append. Nobody comes between.

        `who` is by default the user of this process.
        """

    def events(self, model: str | None = None) -> list[Event]: ...


class PredictionSink(Protocol):
    """Takes answered predictions before they are answered: on return they survive the death of the process."""

    def append(self, predictions: Sequence[Prediction]) -> None: ...

    def answered(self, batches: Sequence[Answered]) -> None: ...

    def answered_at_once(self, batch: Answered) -> bool:
        """As `answered`, where that takes a moment only: an event loop asks. Else False, and nothing was written."""

    def feedback(self, feedback: Sequence[Feedback]) -> None: ...

    def close(self) -> None: ...


class PredictionLog(Protocol):
    """Reads what a sink wrote, while it is writing."""

    def find(self, prediction_id: str) -> Prediction:
        """Raises NotFoundError."""

    def window(self, model: str, *, version: int | None, since: datetime | None, until: datetime | None) -> pa.Table:
        """Columns as Prediction's fields, plus `label` (null where no feedback came); oldest first."""

    def labels(self, prediction_ids: Iterable[str]) -> Mapping[str, Feedback]:
        """The latest feedback for each id that has one."""


class Sample(NamedTuple):
    """What a detector compares: rows of one model version. `scores` and `embedding` are [N, ...].

    `columns` holds facts of the inputs that were kept, by name (a table's columns, a picture's brightness), each [M].
    """

    scores: NDArray[np.float32]
    embedding: NDArray[np.float32]
    columns: Mapping[str, NDArray[Any]]


class Detector(Protocol):
    """Compares a window with the reference; every test it runs is in the answer, corrected for their number."""

    def compare(self, reference: Sample, window: Sample, *, level: float, seed: int) -> list[DriftTest]: ...


class Stage(NamedTuple):
    """A step of the training as an orchestrator sees it.

    `arguments` of `tidemill` do it in the project's folder, `needs` are the stages before it. `sections` are the parts
    of the configuration that it depends on, `deps` files and folders of the project.
    """

    name: str
    about: str
    arguments: tuple[str, ...]
    needs: tuple[str, ...]
    sections: tuple[str, ...]
    deps: tuple[str, ...]


class PipelineForm(Protocol):
    """Writes the training in the form of an orchestrator, which runs it by itself."""

    def write(self, stages: Sequence[Stage], params: Mapping[str, Any], path: Path) -> None:
        """`params` are the settings that are to be parameters, by dotted path. Raises MissingExtraError."""


class PipelineRunner(Protocol):
    """Has the stages done in this process, and shows them where its users look."""

    def run(self, name: str, stages: Sequence[Stage], do: Callable[[str], str]) -> None:
        """`do` does the stage of that name, and says what came of it. Raises MissingExtraError, and what it raises."""


class DatasetStore(Protocol):
    """Versions of data sets, as git tags over DVC."""

    def save(self, version: DatasetVersion, packed: Path) -> None:
        """Make `packed` the new version: DVC, commit, tag. Raises StateError where git does not allow it."""

    def versions(self, name: str | None = None) -> list[DatasetVersion]: ...

    def checkout(self, name: str, version: str) -> Path:
        """A folder with that version's shards and `dataset.json`; `version` may be 'latest'. Raises NotFoundError."""

    def push(self) -> int: ...

    def pull(self) -> int: ...
