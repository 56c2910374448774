"""Pictures that lie in a Parquet table, as Hugging Face keeps them: a column of bytes and one of labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from tidemill.dataset.checks.decodable import check_decodable
from tidemill.dataset.checks.finding import Inspection
from tidemill.dataset.columns import choose
from tidemill.dataset.picture_rows import Named, picture_source, same
from tidemill.dataset.pictures import Checked, Facts, bombs_are_errors, check
from tidemill.dataset.reading import Reading
from tidemill.dataset.source import Progress, Source
from tidemill.dataset.splits import split_named
from tidemill.dataset.unreadable import readable
from tidemill.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_PICTURES = ("image", "img", "picture", "data", "bytes")
_LABELS = ("class_name", "label_name", "class", "label", "target", "fine_label", "category")
_PATHS = ("file", "path", "file_name", "filename")
_AT_ONCE = 256


class _Columns(NamedTuple):
    """The columns of one file: `inside` when the bytes are a field of a structure; `names` of whole-number labels."""

    picture: str
    inside: bool
    label: str
    names: Sequence[str]
    path: str | None
    split: str | None


def read_picture_tables(
    files: Mapping[str | None, Sequence[Path]], reading: Reading, *, progress: Progress, inspection: Inspection
) -> Source:
    """The pictures of all files, each file with the split it stands for, checked. Raises DataError."""
    import pyarrow.parquet as pq

    listed = [(split, file) for split, several in files.items() for file in several]
    for _, file in listed:
        if file.suffix.lower() != ".parquet":
            raise DataError(f"{file} holds no pictures", "give class folders, an archive of them, or Parquet")
    with readable(listed[0][1]):
        total = sum(pq.ParquetFile(file).metadata.num_rows for _, file in listed)
    tried = _Tried()
    with bombs_are_errors():
        for split, file in listed:
            for row, (name, own, label, content) in enumerate(_rows(file, reading, split), start=1):
                tried.check(f"{file}, row {row}", name, own, label, content)
                if tried.count % 500 == 0 or tried.count == total:
                    progress(tried.count, total)
    check_decodable(tried.faults, tried.count, inspection)
    pictures, usable = tried.named(), tried.usable

    def contents(numbers: Sequence[int]) -> Iterator[bytes]:
        found = _contents([file for _, file in listed], reading, [usable[number] for number in numbers])
        for number, content in zip(numbers, found, strict=True):
            yield same(content, pictures.names[number], pictures.facts.digest(number))

    return picture_source(pictures, contents, inspection)


class _Tried:
    """Rows that were looked at: `usable` are the numbers of those that hold a picture, each with a name of its own."""

    def __init__(self) -> None:
        self.count = 0
        self.usable: list[int] = []
        self.faults: list[DataError] = []
        self._names: list[str] = []
        self._splits: list[str | None] = []
        self._labels: list[str] = []
        self._taken: set[str] = set()
        self._checked: list[Checked] = []
        self._facts: list[Facts] = []

    def check(self, where: str, name: str, split: str | None, label: str, content: bytes) -> None:
        """Look at the next row."""
        self.count += 1
        try:
            self._checked.append(check(content, where))
        except DataError as error:
            self.faults.append(error)
            return
        self.usable.append(self.count - 1)
        self._names.append(self._own(name))
        self._splits.append(split)
        self._labels.append(label)
        if len(self._checked) == _AT_ONCE:
            self._settle()

    def named(self) -> Named:
        """All that are usable."""
        self._settle()
        return Named(self._names, self._splits, self._labels, Facts.joined(self._facts))

    def _settle(self) -> None:
        self._facts.append(Facts.of(self._checked))
        self._checked = []

    def _own(self, name: str) -> str:
        path, number = PurePosixPath(name), 1
        while name in self._taken:
            number += 1
            name = str(path.with_stem(f"{path.stem}-{number}"))
        self._taken.add(name)
        return name


def _rows(file: Path, reading: Reading, split: str | None) -> Iterator[tuple[str, str | None, str, bytes]]:
    """The name in the layout of class folders, the split, the label and the bytes of each row."""
    import pyarrow.parquet as pq

    with readable(file), pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False) as opened:
        columns = _columns(file, opened.schema_arrow, reading)
        wanted = [name for name in (columns.picture, columns.label, columns.path, columns.split) if name]
        row = 0
        for batch in opened.iter_batches(batch_size=_AT_ONCE, columns=list(dict.fromkeys(wanted)), use_threads=False):
            for each in batch.to_pylist():
                row += 1
                yield _row(file, each, row, columns, split)


def _row(
    file: Path, each: dict[str, Any], row: int, columns: _Columns, split: str | None
) -> tuple[str, str | None, str, bytes]:
    value, label = each[columns.picture], each[columns.label]
    content, inner = ((value or {}).get("bytes"), (value or {}).get("path")) if columns.inside else (value, None)
    if label is None:
        raise DataError(f"{file}: row {row} has no label", "fill it, or remove the row")
    if columns.names and isinstance(label, int) and 0 <= label < len(columns.names):
        label = columns.names[label]
    folder = str(label).replace("/", "-").strip(". ") or "-"
    given = each.get(columns.path) if columns.path else inner
    own = split_named(str(each[columns.split])) if columns.split and each[columns.split] else split
    base = PurePosixPath(str(given)).name if given else f"{row:07d}"
    name = f"{own}/{folder}/{base}" if own else f"{folder}/{base}"
    return name, own, folder, content or b""


def _contents(files: Sequence[Path], reading: Reading, numbers: Sequence[int]) -> Iterator[bytes]:
    waiting = iter(numbers)
    wanted = next(waiting, None)
    place = 0
    import pyarrow.parquet as pq

    for file in files:
        if wanted is None:
            return
        with pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False) as opened:
            rows = opened.metadata.num_rows
            if wanted >= place + rows:
                place += rows
                continue
            columns = _columns(file, opened.schema_arrow, reading)
            for batch in opened.iter_batches(batch_size=_AT_ONCE, columns=[columns.picture], use_threads=False):
                column = batch.column(0).field("bytes") if columns.inside else batch.column(0)
                while wanted is not None and wanted < place + batch.num_rows:
                    yield column[wanted - place].as_py()
                    wanted = next(waiting, None)
                place += batch.num_rows


def _columns(file: Path, schema: pa.Schema, reading: Reading) -> _Columns:
    import pyarrow as pa

    def holds(kind: pa.DataType) -> bool:
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    def inside(kind: pa.DataType) -> bool:
        return bool(pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 and holds(kind.field("bytes").type))

    possible = [field.name for field in schema if holds(field.type) or inside(field.type)]
    if not possible:
        raise DataError(f"{file} has no column with pictures", "it needs one of bytes, or of {bytes, path}")
    guesses = [name for name in _PICTURES if name in possible]
    picture = reading.picture or (guesses or possible)[0]
    if picture not in possible:
        raise DataError(f"{file}: column {picture!r} holds no pictures", f"columns that may: {', '.join(possible)}")
    others = [name for name in schema.names if name not in possible]
    label = choose(reading.target, _LABELS, others, option="--target", what="holds the label")
    path = next((name for name in _PATHS if name in others and name != label), None)
    return _Columns(
        picture, inside(schema.field(picture).type), label, _names(schema, label), path,
        "split" if "split" in others else None,
    )  # fmt: skip


def _names(schema: pa.Schema, label: str) -> Sequence[str]:
    """The names of the classes, where the file says them."""
    try:
        about = json.loads((schema.metadata or {})[b"huggingface"])
        names = about["info"]["features"][label]["names"]
    except (KeyError, ValueError, TypeError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []
