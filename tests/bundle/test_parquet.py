"""The Parquet files of a bundle: small ones that unpack to much, and damaged ones."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.bundle import parquet
from tidemill.bundle.parquet import read_columns
from tidemill.errors import BundleError


def _text_repeated(path: Path, rows: int, size: int) -> None:
    numbers = pa.array([0] * rows, pa.int32())
    column = pa.DictionaryArray.from_arrays(numbers, pa.array([b"x" * size], pa.binary()))
    pq.write_table(pa.table({"input": column}), path, store_schema=False)


def test_a_text_repeated_by_number_is_counted_before_it_is_repeated(tmp_path: Path) -> None:
    _text_repeated(tmp_path / "bomb", 1_000_000, 100_000)
    assert (tmp_path / "bomb").stat().st_size < 10_000
    with pytest.raises(BundleError, match="would unpack to more than 1,024 MB"):
        read_columns(tmp_path / "bomb", {"input": "binary"})
    _text_repeated(tmp_path / "sound", 1000, 10)
    assert read_columns(tmp_path / "sound", {"input": "binary"})["input"].to_pylist() == [b"x" * 10] * 1000


@pytest.fixture
def lower(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that a test passes quickly."""
    monkeypatch.setattr(parquet, "MAX_BYTES", 1 << 24)


@pytest.mark.usefixtures("lower")
def test_a_long_list_of_nothing_is_counted(tmp_path: Path) -> None:
    long = pa.ListArray.from_arrays(pa.array([0, 5_000_000], pa.int32()), pa.nulls(5_000_000, pa.float32()))
    pq.write_table(pa.table({"scores": long}), tmp_path / "bomb")
    assert (tmp_path / "bomb").stat().st_size < 1000
    with pytest.raises(BundleError, match="would unpack to more"):
        read_columns(tmp_path / "bomb", {"scores": "list<float>"})


@pytest.mark.usefixtures("lower")
def test_pages_that_unpack_to_much_are_not_unpacked(tmp_path: Path) -> None:
    zeros = pa.array([bytes(1 << 20)] * 20, pa.binary())
    pq.write_table(pa.table({"input": zeros}), tmp_path / "bomb", compression="zstd", use_dictionary=False)
    assert (tmp_path / "bomb").stat().st_size < 1 << 20
    with pytest.raises(BundleError, match="would unpack to more"):
        read_columns(tmp_path / "bomb", {"input": "binary"})


def test_text_that_is_none_is_refused(tmp_path: Path) -> None:
    raw = pa.array([b"\xff\xfe"], pa.binary())
    text = pa.StringArray.from_buffers(1, raw.buffers()[1], raw.buffers()[2])
    pq.write_table(pa.table({"output": text}), tmp_path / "file")
    with pytest.raises(BundleError, match="cannot be read"):
        read_columns(tmp_path / "file", {"output": "string"})


def test_nulls_and_no_rows_are_read(tmp_path: Path) -> None:
    for values in ([], [None], [b"a", None, b""]):
        pq.write_table(pa.table({"input": pa.array(values, pa.binary())}), tmp_path / "file")
        assert read_columns(tmp_path / "file", {"input": "binary"})["input"].to_pylist() == values
