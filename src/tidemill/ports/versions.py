"""Where versions of models and of data sets are kept, and what happened to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tidemill.domain.dataset import DatasetVersion
    from tidemill.domain.registry import Event, EventKind, ModelVersion


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


class DatasetStore(Protocol):
    """Versions of data sets, as git tags over DVC."""

    def save(self, version: DatasetVersion, packed: Path) -> None:
        """Make `packed` the new version: DVC, commit, tag. Raises StateError where git does not allow it."""

    def versions(self, name: str | None = None) -> list[DatasetVersion]: ...

    def checkout(self, name: str, version: str) -> Path:
        """A folder with that version's shards and `dataset.json`; `version` may be 'latest'. Raises NotFoundError."""

    def push(self) -> int: ...

    def pull(self) -> int: ...
