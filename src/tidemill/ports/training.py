"""Who trains a model, and who hears of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from tidemill.config.schema import Config
    from tidemill.dataset.read import PackedDataset
    from tidemill.ports.model import SourceModel


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


class ModelFamily(Protocol):
    """Trains the models of one task."""

    def check(self, config: Config, data: PackedDataset) -> None:
        """Before a run begins: raises ConfigError or GateError for a model that cannot be trained on `data`."""

    def fit(self, config: Config, data: PackedDataset, report: Reporter, workdir: Path) -> SourceModel:
        """Train. `workdir` outlives the process: what a killed fit left there is gone on from, or begun anew."""

    def load(self, directory: Path) -> SourceModel:
        """What `SourceModel.save` wrote."""
