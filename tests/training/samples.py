"""What the tests of training share: packing, settings, and a Reporter that remembers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tidemill.config.compose import compose
from tidemill.config.schema import Config
from tidemill.dataset.read import PackedDataset, open_dataset
from tidemill.domain.dataset import Kind, Task
from tidemill.stages.ingest import Reading, ingest


class Heard:
    """A Reporter that remembers."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, Mapping[str, float]]] = []
        self.notes: list[str] = []
        self.remarks: list[str] = []

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self.steps.append((step, dict(values)))

    def progress(self, done: int, total: int, note: str) -> None:
        self.notes.append(note)

    def remark(self, text: str) -> None:
        self.remarks.append(text)


def packed(path: Path, into: Path, task: Task, *, target: str | None = None, kind: Kind | None = None) -> PackedDataset:
    into.mkdir(parents=True)
    ingest(
        path, into, name="sample", version="1.0.0", task=task, reading=Reading(target=target, kind=kind), previous=None,
        note=lambda _: None, progress=lambda *_: None,
    )  # fmt: skip
    return open_dataset(into)


def settings(task: Task, *overrides: str) -> Config:
    return compose(None, overrides, name="sample", task=task)
