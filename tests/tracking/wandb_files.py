"""Reads what W&B wrote offline: records in LevelDB's log format."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2 as records

_BLOCK, _HEADER, _IDENT = 32768, struct.Struct("<IHB"), 7
_FULL, _LAST = 1, 4


def read_records(path: Path) -> Iterator[Any]:
    content = path.read_bytes()
    assert content.startswith(b":W&B")
    position, whole = _IDENT, b""
    while position + _HEADER.size <= len(content):
        if _BLOCK - position % _BLOCK < _HEADER.size:
            position += _BLOCK - position % _BLOCK
            continue
        _, length, kind = _HEADER.unpack_from(content, position)
        position += _HEADER.size
        whole += content[position : position + length]
        position += length
        if kind in (_FULL, _LAST):
            record = records.Record()  # type: ignore[attr-defined]  # made when it is imported
            record.ParseFromString(whole)
            whole = b""
            yield record


def history(path: Path) -> list[dict[str, Any]]:
    """Each row that was logged, by dotted name."""
    return [
        {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for record in read_records(path)
        if record.WhichOneof("record_type") == "history"
    ]


def config(path: Path) -> dict[str, Any]:
    """The run's config."""
    found: dict[str, Any] = {}
    for record in read_records(path):
        for items in (record.run.config.update, record.config.update):
            found |= {item.key: json.loads(item.value_json) for item in items if item.key}
    return found
