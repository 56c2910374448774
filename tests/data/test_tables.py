"""Tables and texts: formats, meaning of columns, drawn splits, and each thing that can be wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from tidemill.dataset.checks.finding import Inspection
from tidemill.dataset.diff import compare
from tidemill.domain.dataset import Kind
from tidemill.errors import DataError
from tidemill.stages.ingest import Reading

from .conftest import write_csv
from .reading import read


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".CSV"])
def test_every_format_gives_the_same_data(tmp_path: Path, suffix: str) -> None:
    table = pacsv.read_csv(write_csv(tmp_path / "source.csv"))
    file = tmp_path / f"table{suffix}"
    if suffix == ".parquet":
        pq.write_table(table, file)
    else:
        options = pacsv.WriteOptions(delimiter="\t" if suffix == ".tsv" else ",")
        pacsv.write_csv(table, file, options)
    data = read(file, "tabular")
    assert data.version.digest == read(tmp_path / "source.csv", "tabular").version.digest
    assert [(c.name, c.type, c.role) for c in data.version.columns] == [
        ("size", "double", "feature"),
        ("count", "int64", "feature"),
        ("colour", "string", "feature"),
        ("target", "string", "target"),
    ]
    assert data.version.classes == ("no", "yes")
    assert data.version.rows == 60


def test_rows_keep_their_split_when_more_come_in_another_order(tmp_path: Path) -> None:
    header, *lines = write_csv(tmp_path / "one.csv", 200).read_text().splitlines()
    _, *more = write_csv(tmp_path / "more.csv", 100, shift=1000).read_text().splitlines()
    mixed = random.Random(0).sample(lines + more, 300)
    (tmp_path / "two.csv").write_text("\n".join([header, *mixed]) + "\n")
    one, two = read(tmp_path / "one.csv", "tabular"), read(tmp_path / "two.csv", "tabular")
    for split in ("train", "val", "test"):
        assert set(one.table(split)["size"].to_pylist()) <= set(two.table(split)["size"].to_pylist())
    assert abs(two.version.split("test").rows - 60) < 30


def test_equal_rows_are_parted_too(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,target\n" + "1,x\n2,y\n" * 200)
    counts = {split.name: split.rows for split in read(tmp_path / "t.csv", "tabular").version.splits}
    assert counts["train"] > counts["test"] > counts["val"] > 10


def test_a_folder_of_tables_is_its_splits(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for at, split in enumerate(("train", "Validation", "test")):
        write_csv(folder / f"{split}.csv", 30 + at, shift=100 * at)
    assert [s.rows for s in read(folder, "tabular").version.splits] == [30, 31, 32]


def test_rows_in_two_splits_are_mentioned(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for at, split in enumerate(("train", "val", "test")):
        write_csv(folder / f"{split}.csv", 14 * (at + 1))
    inspection = Inspection()
    read(folder, "tabular", inspection=inspection)
    (found,) = (each for each in inspection.report().findings if each.check == "equal_rows")
    assert (
        found.headline == "14 of 28 val rows (50.0%) are in train, too and 14 of 42 test rows (33.3%) are in train, too"
    )


@pytest.mark.parametrize(
    ("values", "given", "kind", "classes"),
    [
        ([0, 1] * 30, None, "classification", ("0", "1")),
        (list(range(60)), None, "regression", ()),
        ([0.5, 1.0] * 30, None, "regression", ()),
        ([0.0, 1.0] * 30, "classification", "classification", ("0", "1")),
        ([True, False] * 30, None, "classification", ("false", "true")),
        (["a", "b"] * 30, None, "classification", ("a", "b")),
        ([1, 2, 10] * 20, None, "classification", ("1", "2", "10")),
        ([1, 2, 3] * 20, "regression", "regression", ()),
    ],
)
def test_the_kind_follows_from_the_target(
    tmp_path: Path, values: list[object], given: Kind | None, kind: Kind, classes: tuple[str, ...]
) -> None:
    pq.write_table(pa.table({"x": [float(i) for i in range(60)], "y": values}), tmp_path / "t.parquet")
    version = read(tmp_path / "t.parquet", "tabular", Reading(kind=given)).version
    assert (version.kind, version.classes) == (kind, classes)


def test_columns_that_cannot_help_are_kept_but_no_features(tmp_path: Path) -> None:
    count = 200
    table = pa.table(
        {
            "id": list(range(count)),
            "when": pa.array(range(count), pa.timestamp("us")),
            "void": pa.nulls(count),
            "note": [f"text {i}" for i in range(count)],
            "few": pa.array(["a", "b"] * (count // 2)).dictionary_encode(),
            "gap": pa.array([None, 1.0] * (count // 2)),
            "y": ["p", "q"] * (count // 2),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    notes: list[str] = []
    data = read(tmp_path / "t.parquet", "tabular", notes=notes)
    assert [column.name for column in data.version.features] == ["few", "gap"]
    assert len(notes) == 4
    assert set(data.table("train").column_names) == set(table.column_names)


def text_csv(file: Path, rows: int = 60) -> Path:
    lines = (f'{row},"a sentence, number {row}",{"good" if row % 2 else "bad"}\n' for row in range(rows))
    file.write_text("source,sentence,label\n" + "".join(lines))
    return file


def test_texts_and_labels_are_found_by_name(tmp_path: Path) -> None:
    notes: list[str] = []
    data = read(text_csv(tmp_path / "t.csv"), "text", notes=notes)
    assert [(c.name, c.role) for c in data.version.columns] == [
        ("name", "path"), ("sentence", "text"), ("label", "target"),
    ]  # fmt: skip
    examples = data.examples("test")
    assert all(
        f"number {int(name) - 1}" in str(text) for name, text in zip(examples.names, examples.inputs, strict=True)
    )
    assert notes == ["left out: source"]


def test_a_tsv_without_header_and_with_quotes_as_letters(tmp_path: Path) -> None:
    lines = (f'g{row % 3}\t{row % 2}\t\t"Odd quotes number {row}\n' for row in range(50))
    (tmp_path / "t.tsv").write_text("".join(lines))
    with pytest.raises(DataError, match="without a name") as caught:
        read(tmp_path / "t.tsv", "text")
    assert "--no-header" in caught.value.remedy
    data = read(tmp_path / "t.tsv", "text", Reading(target="c2", text="c4", header=False))
    assert data.version.rows == 50
    assert data.examples("train").labels[0] in ("0", "1")
    assert str(data.examples("train").inputs[0]).startswith('"Odd quotes')


def test_sentences_with_line_breaks(tmp_path: Path) -> None:
    lines = (f'"one\nand {row}",{row % 2}\n' for row in range(30))
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(lines))
    assert read(tmp_path / "t.csv", "text").version.rows == 30


GOOD = "size,count,colour,target\n" + "".join(f"{i}.5,{i % 7},red,{'yes' if i % 2 else 'no'}\n" for i in range(30))
BAD: dict[str, tuple[bytes, str]] = {
    "no bytes": (b"", "is empty"),
    "only a header": (b"size,target\n", "has no rows"),
    "blank lines": (b"\n\n\n", "cannot be read|without a name|no rows"),
    "ragged": (GOOD.encode() + b"1,2\n", r"ragged: row 31 has 2 cells where 4"),
    "NaN": (GOOD.encode() + b"NaN,1,red,yes\n", r"column 'size' holds NaN in row 31"),
    "infinity": (GOOD.encode() + b"inf,1,red,yes\n", r"column 'size' holds inf in row 31"),
    "text among numbers": (GOOD.encode() + b"tall,1,red,yes\n", r"'size' holds numbers, but row 31 holds 'tall'"),
    "two columns of one name": (b"a,a,target\n1,2,x\n", "two columns called 'a'"),
    "not UTF-8": (GOOD.encode() + b"1,1,\xe9\xff,yes\n", "not UTF-8"),
    "UTF-16": (GOOD.encode("utf-16"), "not UTF-8"),
    "zero bytes": (b"\0\0\0\0", "zero bytes"),
    "no target": (b"a,b\n1,2\n3,4\n", "what|which column is to be predicted"),
    "target with a gap": (GOOD.encode() + b"1.5,1,red,\n", r"target column 'target' has no value in row 31"),
    "one class": (b"a,target\n1,x\n2,x\n3,x\n", "only one class"),
    "only a target": (b"target\nx\ny\n" * 9, "no column to predict"),
    "as many classes as rows": (
        b"a,target\n" + b"".join(f"{i},name{i}\n".encode() for i in range(50)), "those are no classes"
    ),
    "two rows": (b"a,target\n1,x\n2,y\n", "too few"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_used_is_one_error_with_a_remedy(tmp_path: Path, what: str) -> None:
    content, headline = BAD[what]
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=headline) as caught:
        read(tmp_path / "t.csv", "tabular")
    assert caught.value.remedy
    assert "\n" not in caught.value.headline


@pytest.mark.parametrize(
    ("reading", "headline"),
    [
        (Reading(target="tarqet"), "no column 'tarqet'"),
        (Reading(target="colour", kind="regression"), "no number"),
        (Reading(target="size", kind="classification"), "only one class|no classes"),
    ],
)
def test_what_was_said_about_it_is_wrong(tmp_path: Path, reading: Reading, headline: str) -> None:
    with pytest.raises(DataError, match=headline):
        read(write_csv(tmp_path / "t.csv"), "tabular", reading)


def _other_name(text: str) -> str:
    return text.replace("colour", "color", 1)


def _text_cell(text: str) -> str:
    return text.replace("3.5,", "three,", 1)


def _words(text: str) -> str:
    return "\n".join([text.splitlines()[0], *(line.replace(".5,", "m,", 1) for line in text.splitlines()[1:])])


@pytest.mark.parametrize(
    ("change", "headline"),
    [
        (_other_name, "'colour' is missing .it was string.; 'color' is new"),
        (_text_cell, "'size' holds numbers, but row 4 holds 'three'"),
        (_words, "'size' holds numbers in things-v1.0.0, but row 1 holds '0m'"),
    ],
)
def test_other_columns_than_before(tmp_path: Path, change: Callable[[str], str], headline: str) -> None:
    first = write_csv(tmp_path / "one.csv")
    (tmp_path / "two.csv").write_text(change(first.read_text()))
    previous = read(first, "tabular").version
    with pytest.raises(DataError, match=headline):
        read(tmp_path / "two.csv", "tabular", previous=previous)


def test_whole_numbers_stay_the_type_they_were(tmp_path: Path) -> None:
    previous = read(write_csv(tmp_path / "one.csv"), "tabular").version
    (tmp_path / "two.csv").write_text((tmp_path / "one.csv").read_text().replace(".5,", ","))
    later = read(tmp_path / "two.csv", "tabular", previous=previous).version
    assert later.columns == previous.columns
    (tmp_path / "three.csv").write_text((tmp_path / "one.csv").read_text().replace(",3,", ",3.25,"))
    widened = read(tmp_path / "three.csv", "tabular", previous=previous).version
    assert [column.type for column in widened.columns] == ["double", "double", "string", "string"]


def test_numbers_may_be_meant_as_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("code,target\n" + "".join(f"0{i % 5},{'xy'[i % 2]}\n" for i in range(30)))
    data = read(tmp_path / "t.csv", "tabular", Reading(as_text=frozenset({"code"})))
    assert data.version.columns[0].type == "string"
    assert data.examples("train").inputs[0]["code"].startswith("0")  # type: ignore[index, call-overload]  # a mapping here


@pytest.mark.parametrize(
    ("names", "headline"),
    [
        (("a", "b"), "says no split"),
        (("val", "test"), "no train table"),
        (("train", "training"), "are both the train split"),
    ],
)
def test_tables_whose_names_say_too_little(tmp_path: Path, names: tuple[str, str], headline: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for at, name in enumerate(names):
        write_csv(folder / f"{name}.csv", shift=at)
    with pytest.raises(DataError, match=headline):
        read(folder, "tabular")


def test_two_splits_that_are_the_same_file(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for split in ("train", "test"):
        write_csv(folder / f"{split}.csv")
    with pytest.raises(DataError, match="two splits share a file"):
        read(folder, "tabular")


def test_texts_that_are_empty_or_no_text(tmp_path: Path) -> None:
    text_csv(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text((tmp_path / "t.csv").read_text() + '60,"  ",good\n')
    with pytest.raises(DataError, match="has no value in row 61"):
        read(tmp_path / "t.csv", "text")
    with pytest.raises(DataError, match="holds int64"):
        read(text_csv(tmp_path / "u.csv"), "text", Reading(text="source"))


def test_a_parquet_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "t.parquet", "tabular")
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match="is no table"):
        read(tmp_path / "t.xlsx", "tabular")


def test_a_column_that_holds_lists(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [[1], [2]], "target": ["a", "b"]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="'x' holds list"):
        read(tmp_path / "t.parquet", "tabular")


def test_the_semicolon_separates_where_no_comma_does(tmp_path: Path) -> None:
    rows = [line.split(",") for line in write_csv(tmp_path / "comma.csv").read_text().splitlines()]
    (tmp_path / "semicolon.csv").write_text("\n".join(";".join(row) for row in rows) + "\n")
    given, other = read(tmp_path / "comma.csv", "tabular"), read(tmp_path / "semicolon.csv", "tabular")
    assert given.version.digest == other.version.digest


@pytest.mark.parametrize(("charset", "said"), [("latin-1", "-f LATIN1"), ("utf-16", "-f UTF-16")])
def test_another_encoding_of_the_names_is_named(tmp_path: Path, charset: str, said: str) -> None:
    (tmp_path / "t.csv").write_bytes("größe,target\n1,x\n2,y\n".encode(charset))
    with pytest.raises(DataError, match="is not UTF-8") as caught:
        read(tmp_path / "t.csv", "tabular")
    assert said in caught.value.remedy


def test_text_that_is_no_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column 'colr'") as caught:
        read(write_csv(tmp_path / "t.csv"), "tabular", Reading(as_text=frozenset({"colr"})))
    assert caught.value.remedy == "did you mean colour?"


def test_texts_are_classified(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,target\n" + "".join(f"words {i},{i}.5\n" for i in range(60)))
    with pytest.raises(DataError, match="texts are classified"):
        read(tmp_path / "t.csv", "text", Reading(kind="regression"))


def test_tables_without_a_common_column_have_no_common_row(tmp_path: Path) -> None:
    one = read(write_csv(tmp_path / "one.csv"), "tabular")
    (tmp_path / "two.csv").write_text("weight,kind\n" + "".join(f"{i}.5,{'ab'[i % 2]}\n" for i in range(60)))
    two = read(tmp_path / "two.csv", "tabular", Reading(target="kind"))
    found = compare(one, two)
    assert {split.removed for split in found.splits} == {split.before for split in found.splits}
    assert {split.added for split in found.splits} == {split.after for split in found.splits}
