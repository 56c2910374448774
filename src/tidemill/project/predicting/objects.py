"""Rows as JSON: a list, a request as the server takes it, or an object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.project.predicting.sources import LINES, numbered

if TYPE_CHECKING:
    import pyarrow as pa

_MAX_JSON = 256 << 20
_SHOWN = 40


class Objects:
    """One file. The first row says which columns there are; `numbers` of them are numbers, the others become text.

    A line that is no object is there, all null, with its problem. `rows` is known once all were read.
    """

    def __init__(self, path: Path, numbers: Sequence[str], *, lines: bool) -> None:
        import pyarrow as pa

        self._path, self._lines = path, lines
        self._whole = None if lines else _rows(path)
        self.rows: int | None = None if self._whole is None else len(self._whole)
        objects = (row for rows in self._parsed() for row in rows if isinstance(row, dict))
        first = next(objects, None)
        if first is None:
            raise ValueError('expected rows as objects, or {"inputs": [...]}')
        self.texts = [name for name, value in first.items() if isinstance(value, str)]
        self.schema: pa.Schema = pa.schema([(name, pa.float64() if name in numbers else pa.string()) for name in first])

    def _parsed(self) -> Iterator[list[dict[str, Any] | str]]:
        """Rows, or what is wrong in place of one."""
        if self._whole is not None:
            for start in range(0, len(self._whole), LINES):
                yield [row if isinstance(row, dict) else "not an object" for row in self._whole[start : start + LINES]]
            return
        for lines in numbered(self._path):
            yield [_object(line) for _, line in lines]

    def tables(self, skip: int) -> Iterator[tuple[pa.Table, Mapping[int, str]]]:
        """The rows behind the first `skip`, with what is wrong with some of each table's, by their index in it."""
        import pyarrow as pa

        count = 0
        for rows in self._parsed():
            count += len(rows)
            kept = rows[skip:]
            skip = max(0, skip - len(rows))
            if not kept:
                continue
            problems = {index: row for index, row in enumerate(kept) if isinstance(row, str)}
            objects = [{} if isinstance(row, str) else row for row in kept]
            columns = {}
            for field in self.schema:
                read = _as_number if field.type == pa.float64() else _as_text
                values = []
                for index, row in enumerate(objects):
                    value, wrong = read(row.get(field.name))
                    values.append(value)
                    if wrong:
                        problems.setdefault(index, f"column {field.name!r}: {wrong}")
                columns[field.name] = pa.array(values, field.type)
            yield pa.table(columns), problems
        self.rows = count


def _rows(path: Path) -> list[Any]:
    if path.stat().st_size > _MAX_JSON:
        raise ValueError(f"it is larger than {_MAX_JSON >> 20} MB; give JSON lines, an object a line")
    found = json.loads(path.read_bytes())
    rows = found.get("inputs") if isinstance(found, dict) else found
    if not isinstance(rows, list):
        raise ValueError('expected rows as objects, or {"inputs": [...]}')
    return rows


def _object(line: bytes) -> dict[str, Any] | str:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"no JSON: {str(error)[:100]}"
    return found if isinstance(found, dict) else "not an object"


def _as_number(value: Any) -> tuple[float | None, str]:
    if value is None:
        return None, ""
    if isinstance(value, bool | str) or not isinstance(value, int | float):
        return None, f"{_shown(value)} is not a number"
    try:
        return float(value), ""
    except OverflowError:
        return None, "this number is too large"


def _as_text(value: Any) -> tuple[str | None, str]:
    if value is None or isinstance(value, str):
        return value, ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # as a category is written
    return json.dumps(value, ensure_ascii=False), ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
