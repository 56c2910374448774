"""Data that scikit-learn carries, packed once, and a project folder with a `src/` of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tidemill.dataset.read import PackedDataset
from tidemill.domain.dataset import Kind
from tidemill.project.samples import write_breast_cancer, write_diabetes, write_digits, write_sentences

from ..training.samples import packed


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    folder = tmp_path_factory.mktemp("digits")
    return packed(write_digits(folder / "raw"), folder / "packed", "image")


@pytest.fixture(scope="session")
def cancer(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    folder = tmp_path_factory.mktemp("cancer")
    return packed(write_breast_cancer(folder / "raw"), folder / "packed", "tabular", target="diagnosis")


@pytest.fixture(scope="session")
def diabetes(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    folder = tmp_path_factory.mktemp("diabetes")
    return packed(write_diabetes(folder / "raw"), folder / "packed", "tabular", target="progression")


@pytest.fixture(scope="session")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    folder = tmp_path_factory.mktemp("sentences")
    return packed(write_sentences(folder / "raw"), folder / "packed", "text")


@pytest.fixture
def source(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a file of a project's `src/`; returns the project's folder."""

    def write(name: str, content: str) -> Path:
        path = tmp_path / "project" / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return tmp_path / "project"

    return write


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., PackedDataset]:
    """Packs a table given by columns; `target` is what is predicted."""

    def pack(kind: Kind, **columns: Any) -> PackedDataset:
        file = tmp_path / "table.parquet"
        pd.DataFrame(columns).to_parquet(file)
        return packed(file, tmp_path / "packed", "tabular", target="target", kind=kind)

    return pack
