"""The models of runs, read back from what `save` wrote, in their frameworks' own formats.

XGBoost and scikit-learn believe what a file says: a damaged one is their process's death. So a folder that this
project has not written itself meets them in a process that may die. Networks are safetensors, which need no trial.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.digest import Digest
from tidemill.errors import BundleError, TidemillError, first_line
from tidemill.project.families import family_of
from tidemill.project.layout import Layout

if TYPE_CHECKING:
    from tidemill.config.schema import Config
    from tidemill.dataset.read import PackedDataset
    from tidemill.domain.bundle import TableColumn, TabularPreprocessing
    from tidemill.domain.dataset import Task
    from tidemill.ports import ModelFamily, Reporter, SourceModel

_ROWS = 256
_REMEDY = "fetch it anew from where it was kept, or train it again"


class TriedFamily:
    """The family of a task, which loads what somebody else may have written, or a disk has damaged."""

    def __init__(self, layout: Layout, task: Task) -> None:
        self._layout, self._task = layout, task
        self._family = family_of(task, layout.root)

    def check(self, config: Config, data: PackedDataset) -> None:
        """As the family does."""
        self._family.check(config, data)

    def fit(self, config: Config, data: PackedDataset, report: Reporter, workdir: Path) -> SourceModel:
        """As the family does."""
        return self._family.fit(config, data, report, workdir)

    def load(self, directory: Path) -> SourceModel:
        """What `SourceModel.save` wrote. Raises BundleError for anything else."""
        if self._task == "tabular":
            _prove(self._layout, self._task, directory)
        try:
            return self._family.load(directory)
        except TidemillError:
            raise
        except Exception as error:  # a field that fits no model: each library has exceptions of its own
            raise BundleError(f"{directory} holds no saved model: {first_line(error)}", _REMEDY) from None

    def remember(self, directory: Path) -> None:
        """The model was saved there just now, by this installation: it need not be tried."""
        from tidemill.bundle.proofs import remember

        if self._task == "tabular":
            remember(self._layout.proofs, _digest(directory), _libraries())


def _prove(layout: Layout, task: Task, directory: Path) -> None:
    from tidemill.bundle.proofs import is_proven, one_at_a_time, remember
    from tidemill.bundle.prove import STARTING, Limits, Trial, try_elsewhere

    digest, libraries = _digest(directory), _libraries()
    if is_proven(layout.proofs, digest, libraries):
        return
    ready, given = ("tidemill.project.sources", "ready"), (task, str(layout.root))
    trial = Trial(str(directory.absolute()), str(digest), ready, given, Limits(), "the saved model", _REMEDY)
    with one_at_a_time(layout.proofs, digest, trial.limits.seconds + STARTING):
        if not is_proven(layout.proofs, digest, libraries):
            try_elsewhere(trial)
            remember(layout.proofs, digest, libraries)


def _digest(directory: Path) -> Digest:
    """Of all files by their names."""
    try:
        files = sorted(path for path in directory.rglob("*") if path.is_file())
        lines = [f"{path.relative_to(directory).as_posix()} {Digest.of_file(path)}" for path in files]
    except OSError as error:
        raise BundleError(f"{directory} cannot be read: {error.strerror}", _REMEDY) from None
    return Digest.of_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))


def _libraries() -> str:
    import sklearn
    import skops
    import xgboost

    return ", ".join(f"{each.__name__} {each.__version__}" for each in (xgboost, sklearn, skops))


def ready(task: Task, root: str) -> Callable[[Path, str], None]:
    """For `bundle.trial`: loads a saved model, walks through all of its trees, and asks it for rows of all kinds."""
    family = family_of(task, Path(root))

    def attempt(directory: Path, digest: str) -> None:
        _try(family, directory)

    return attempt


def _try(family: ModelFamily, directory: Path) -> None:
    from tidemill.bundle.preprocess import Preprocessor

    model = family.load(directory)
    _ = model.params
    feed = Preprocessor(model.preprocessing).prepare(_rows(model.preprocessing))  # type: ignore[arg-type]  # a table's
    model.score(feed)


def _rows(prepared: TabularPreprocessing) -> list[dict[str, object]]:
    chance = random.Random(0)  # noqa: S311 - rows to try, no secret

    def value(column: TableColumn) -> object:
        if column.type == "category":
            return chance.choice(column.categories) if column.categories else None
        low = -math.inf if column.low is None else column.low
        high = math.inf if column.high is None else column.high
        number = min(max(chance.choice((-1, 1)) * 10 ** chance.uniform(-3, 6), low), high)
        if column.type == "float":
            return number
        return math.floor(number) if math.floor(number) >= low else math.ceil(number)

    return [{each.name: value(each) for each in prepared.columns} for _ in range(_ROWS)]
