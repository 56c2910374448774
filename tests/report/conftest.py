"""Small data sets and models that answer as a test wants it, and what a browser would make of a page."""

from __future__ import annotations

import html.parser
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from tidemill.dataset.read import PackedDataset, open_dataset
from tidemill.domain.bundle import Lineage, Signature, Tensor
from tidemill.domain.dataset import Task
from tidemill.domain.digest import Digest
from tidemill.ports import Scored
from tidemill.stages.evaluation.page import Subject
from tidemill.stages.evaluation.records import About
from tidemill.stages.ingest import Reading, ingest

EVIL = "<img src=x onerror=alert(1)>&\"'"
NOBODY = About()


@dataclass
class Page(html.parser.HTMLParser):
    """Collects what a browser would load or run, and all text."""

    content: str
    tags: set[str] = field(default_factory=set)
    addresses: list[str] = field(default_factory=list)
    handlers: list[str] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data

    def check_inert(self) -> None:
        """It loads nothing, runs nothing, and sends nothing."""
        assert self.handlers == []
        assert not self.tags & {"script", "link", "iframe", "object", "embed", "form", "base", "a"}
        assert all(each.startswith(("data:image/png;base64,", "data:image/jpeg;base64,")) for each in self.addresses)


def subject(signature: Signature, name: str = "sample") -> Subject:
    digest = Digest("sha256:" + "0" * 64)
    lineage = Lineage("run1", digest, digest, digest, "c" * 40, digest, "sample-v1.0.0", digest, 42)
    return Subject(name, signature, lineage)


def classifier(task: Task, labels: Sequence[str]) -> Signature:
    return Signature(task, "classification", (Tensor("x", "float32", (-1, 1)),), (), tuple(labels))


def answers(scores: Callable[[Sequence[Any]], NDArray[Any]]) -> Callable[[Sequence[Any]], Scored]:
    """What answers raw inputs with `scores` of them."""

    def answer(inputs: Sequence[Any]) -> Scored:
        found = scores(inputs).astype(np.float32)
        return Scored(found, np.zeros((len(found), 1), np.float32))

    return answer


def picture(seed: int, side: int) -> bytes:
    """Noise, which no format makes smaller."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()


def packed(path: Path, into: Path, task: Task, *, target: str | None = None) -> PackedDataset:
    into.mkdir(parents=True)
    ingest(
        path, into, name="sample", version="1.0.0", task=task, reading=Reading(target=target), previous=None,
        note=lambda _: None, progress=lambda *_: None,
    )  # fmt: skip
    return open_dataset(into)


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., PackedDataset]:
    """Packs noise of `side` pixels, one in every split for each class of `labels`; in train also `only_train`."""

    def pack(labels: Sequence[str], side: int, only_train: Sequence[str] = ()) -> PackedDataset:
        for at, split in enumerate(("train", "val", "test")):
            for number, label in enumerate((*labels, *(only_train if split == "train" else ()))):
                folder = tmp_path / "raw" / split / label
                folder.mkdir(parents=True)
                (folder / f"{at}-{number}.png").write_bytes(picture(at * 1000 + number, side))
        return packed(tmp_path / "raw", tmp_path / "packed", "image")

    return pack


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., PackedDataset]:
    """Packs a table given by columns; `y` is what is predicted."""

    def pack(**columns: Any) -> PackedDataset:
        file = tmp_path / "table.parquet"
        pd.DataFrame(columns).to_parquet(file)
        return packed(file, tmp_path / "packed", "tabular", target="y")

    return pack
