"""How golden requests are written down: as lines of JSON, which a server reads without Arrow; as Parquet before.

    {"labels": [...], "inputs": [...], "tokenizer": "..."}           what the numbers mean (`bundle.meaning`)
    {"input": INPUT, "scores": [0.25, 0.75], "output": "cat"}        a request and its answer, as often as there are

INPUT is what /v1 takes: {"b64": "…"} for a picture's file, a sentence, or a row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tidemill.bundle.meaning import KEY
from tidemill.bundle.preprocess import asked, raw_input, taken
from tidemill.domain.bundle import Signature
from tidemill.domain.dataset import Task
from tidemill.errors import MissingExtraError

if TYPE_CHECKING:
    from tidemill.ports import Raw

_FIELDS = ("input", "scores", "output")
_COLUMNS = {"input": "binary", "scores": "list<float>", "output": "string"}


class Kept(NamedTuple):
    """What a file says: what its numbers mean (None where it does not tell), and of each row input, scores, output."""

    meaning: bytes | None
    rows: list[tuple[Raw, list[float], str]]


def write_lines(path: Path, meaning: bytes, rows: Iterable[tuple[Raw, list[float], str]]) -> None:
    """Write golden.jsonl; numbers keep their value to the last bit. Raises ValueError for one that is not finite."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(meaning.decode() + "\n")
        for raw, scores, output in rows:
            line = {"input": asked(raw), "scores": scores, "output": output}
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")


def read_file(path: Path, signature: Signature, limit: int) -> Kept:
    """The golden requests at `path`, which has the name that its protocol gives it; no more than `limit` rows.

    Raises BundleError for a file that cannot be read, ValueError for what its rows say, MissingExtraError for Parquet
    where nothing reads it.
    """
    return (_read_parquet if path.suffix == ".parquet" else _read_lines)(path, signature.task, limit)


def _read_lines(path: Path, task: Task, limit: int) -> Kept:
    rows = []
    with path.open("rb") as file:
        meaning = file.readline()
        for number, line in enumerate(file):
            if number >= limit:
                raise ValueError(f"it has more than {limit} rows")
            rows.append(_row(number, line, task))
    return Kept(meaning, rows)


def _row(number: int, line: bytes, task: Task) -> tuple[Raw, list[float], str]:
    fields: Any = json.loads(line)
    if not isinstance(fields, dict) or sorted(fields) != sorted(_FIELDS):
        raise ValueError(f"row {number} is no request with its answer")
    scores = fields["scores"]
    if not isinstance(scores, list) or not all(type(each) in (int, float) for each in scores):
        raise ValueError(f"row {number} has scores that are no list of numbers")
    if not isinstance(fields["output"], str):
        raise ValueError(f"row {number} has an output that is no text")
    return taken(task, fields["input"]), scores, fields["output"]


def _read_parquet(path: Path, task: Task, limit: int) -> Kept:
    try:
        from tidemill.bundle.parquet import read_columns

        table = read_columns(path, _COLUMNS)
    except ModuleNotFoundError:
        raise MissingExtraError("a bundle of protocol 1 or 2", "parquet") from None
    if table.num_rows > limit:
        raise ValueError(f"it has {table.num_rows} rows, more than {limit}")
    rows = []
    for row in table.to_pylist():
        if row["input"] is None:
            raise ValueError("a request is null")
        rows.append((raw_input(task, row["input"]), row["scores"], row["output"]))
    return Kept((table.schema.metadata or {}).get(KEY), rows)
