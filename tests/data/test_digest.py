"""The digest covers every byte, label, name, cell, type and split; order and packing do not change it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tidemill.dataset.digest import RowHashes, row_hashes
from tidemill.domain.dataset import Column, Kind, Task
from tidemill.domain.digest import Digest
from tidemill.stages.ingest import Reading

from .conftest import paint
from .reading import read

IMAGE = (Column("name", "string", "path"), Column("label", "string", "target"), Column("data", "binary", "image"))
Row = tuple[str, str, str, bytes]

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
rows = st.lists(
    st.tuples(st.sampled_from(["train", "val", "test"]), names, names, st.binary(min_size=1, max_size=30)),
    min_size=1,
    max_size=12,
)


def digest_of(pictures: Sequence[Row], pieces: int = 1) -> Digest:
    hashes = RowHashes("image", "classification", IMAGE)
    for piece in range(pieces):
        for split, name, label, data in pictures[piece::pieces]:
            values = [pa.array([name], pa.string()), pa.array([label], pa.string()), pa.array([data], pa.binary())]
            hashes.add(split, pa.record_batch(values, names=["name", "label", "data"]))
    return hashes.digest()


@settings(deadline=None, max_examples=50)
@given(rows, st.randoms(use_true_random=False), st.integers(1, 5))
def test_order_and_packing_do_not_matter(pictures: list[Row], chance: random.Random, pieces: int) -> None:
    shuffled = chance.sample(pictures, len(pictures))
    assert digest_of(shuffled, pieces) == digest_of(pictures)


@settings(deadline=None, max_examples=50)
@given(rows, st.data())
def test_any_change_of_a_picture_changes_it(pictures: list[Row], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(pictures) - 1))
    split, name, label, content = pictures[at]
    position = data.draw(st.integers(0, len(content) - 1))
    flipped = bytearray(content)
    flipped[position] ^= 1 << data.draw(st.integers(0, 7))
    other = data.draw(names)
    for changed in (
        (split, name, label, bytes(flipped)),
        (split, name + other, label, content),
        (split, name, label + other, content),
        ("val" if split != "val" else "test", name, label, content),
    ):
        assert digest_of([*pictures[:at], changed, *pictures[at + 1 :]]) != digest_of(pictures)


@settings(deadline=None, max_examples=50)
@given(rows)
def test_a_row_more_or_less_changes_it(pictures: list[Row]) -> None:
    assert digest_of([*pictures, pictures[0]]) != digest_of(pictures)


@settings(deadline=None, max_examples=50)
@given(rows, st.data())
def test_two_labels_swapped_change_it(pictures: list[Row], data: st.DataObject) -> None:
    a, b = data.draw(st.integers(0, len(pictures) - 1)), data.draw(st.integers(0, len(pictures) - 1))
    first, second = pictures[a], pictures[b]
    assume(first[2] != second[2] and (first[0], first[1], first[3]) != (second[0], second[1], second[3]))
    swapped = list(pictures)
    swapped[a] = (first[0], first[1], second[2], first[3])
    swapped[b] = (second[0], second[1], first[2], second[3])
    assert digest_of(swapped) != digest_of(pictures)


CELLS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "double": (pa.float64(), st.floats(allow_nan=False)),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "bool": (pa.bool_(), st.booleans()),
    "string": (pa.string(), st.text(st.characters(codec="utf-8"), max_size=6)),
    "timestamp": (pa.timestamp("us"), st.integers(0, 2**50)),
}


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(sorted(CELLS)), st.data())
def test_any_cell_of_a_table_counts(kind: str, data: st.DataObject) -> None:
    arrow, cells = CELLS[kind]
    column = data.draw(st.lists(st.none() | cells, min_size=1, max_size=8))
    at = data.draw(st.integers(0, len(column) - 1))
    cell = data.draw(st.none() | cells)
    changed = [*column[:at], cell, *column[at + 1 :]]
    equal = pa.array(changed, arrow).equals(pa.array(column, arrow)) and repr(cell) == repr(
        column[at]
    )  # -0.0 is not 0.0
    assert (table_digest({"x": pa.array(changed, arrow)}) == table_digest({"x": pa.array(column, arrow)})) == equal


def table_digest(columns: dict[str, pa.Array], task: Task = "tabular", kind: Kind = "classification") -> Digest:
    described = tuple(Column(name, str(array.type), "feature") for name, array in columns.items())
    hashes = RowHashes(task, kind, described)
    hashes.add("train", pa.record_batch(list(columns.values()), names=list(columns)))
    return hashes.digest()


def test_names_types_and_kind_of_a_table_count() -> None:
    ones, twos = pa.array([1, 1], pa.int64()), pa.array([2, 2], pa.int64())
    digest = table_digest({"a": ones, "b": twos})
    assert table_digest({"b": twos, "a": ones}) == digest
    assert table_digest({"a": twos, "b": ones}) != digest
    assert table_digest({"a": ones, "c": twos}) != digest
    assert table_digest({"a": ones.cast(pa.int32()), "b": twos}) != digest
    assert table_digest({"a": ones, "b": twos}, kind="regression") != digest


def test_a_slice_has_the_hashes_of_its_rows() -> None:
    table = pa.record_batch({"x": ["a", None, "b", "a"], "y": [1.0, 2.0, None, 1.0], "z": [True, None, False, True]})
    whole = row_hashes(table, ["x", "y", "z"])
    assert (row_hashes(table.slice(1, 2), ["z", "y", "x"]) == whole[1:3]).all()
    assert (whole[0] == whole[3]).all()
    assert (whole[0] != whole[1]).any()


@pytest.mark.parametrize("type", [pa.bool_(), pa.int16(), pa.float64(), pa.timestamp("us"), pa.string(), pa.binary()])
def test_what_lies_under_a_null_is_no_content(type: pa.DataType) -> None:
    """Arrow leaves anything there: the same column with other bytes beneath its nulls is the same."""
    made = {pa.string(): ["a", "b", "c"], pa.binary(): [b"a", b"b", b"c"], pa.bool_(): [True, False, True]}
    whole = pa.array(made.get(type, [1, 2, 3]), type)
    valid = pa.py_buffer(bytes([0b101]))
    covered = pa.Array.from_buffers(type, 3, [valid, *whole.buffers()[1:]])
    plain = pa.array([whole[0].as_py(), None, whole[2].as_py()], type)
    hashes = [row_hashes(pa.RecordBatch.from_arrays([each], ["a"]), ["a"]) for each in (covered, plain)]
    assert (hashes[0] == hashes[1]).all()
    assert (hashes[0][1] != row_hashes(pa.RecordBatch.from_arrays([whole], ["a"]), ["a"])[1]).any()


@pytest.mark.slow
def test_one_thing_among_twenty_thousand_files(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for label in "ab":
        first = paint(folder / label / "0.png", ord(label)).read_bytes()
        for number in range(1, 10_000):
            (folder / label / f"{number}.png").write_bytes(first + number.to_bytes(4, "little"))
    seen = {read(folder, "image", Reading()).version.digest}
    file = folder / "a" / "7777.png"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    seen.add(read(folder, "image").version.digest)
    file.rename(folder / "a" / "7777x.png")
    seen.add(read(folder, "image").version.digest)
    (folder / "a" / "5.png").rename(folder / "b" / "5x.png")
    (folder / "b" / "5.png").rename(folder / "a" / "5.png")
    (folder / "b" / "5x.png").rename(folder / "b" / "5.png")
    seen.add(read(folder, "image").version.digest)
    assert len(seen) == 4


def test_one_cell_in_row_seventy_thousand(tmp_path: Path) -> None:
    lines = [f"{row % 977}.5,{row % 7},{'yes' if row % 2 else 'no'}" for row in range(100_000)]
    seen = set()
    for cell in (None, "0.25,3,yes", "3.5,3,no"):
        if cell is not None:
            lines[70_000] = cell
        (tmp_path / "t.csv").write_text("\n".join(["a,b,target", *lines]) + "\n")
        seen.add(read(tmp_path / "t.csv", "tabular").version.digest)
    random.Random(0).shuffle(lines)
    (tmp_path / "t.csv").write_text("\n".join(["a,b,target", *lines]) + "\n")
    assert read(tmp_path / "t.csv", "tabular").version.digest in seen
    assert len(seen) == 3
