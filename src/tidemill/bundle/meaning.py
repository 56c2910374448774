"""What the numbers of a model mean, kept beside its golden requests: the replay compares numbers, not their names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tidemill.domain.bundle import Signature
from tidemill.domain.digest import Digest

KEY = b"tidemill.meaning"
"""Where the schema of golden.parquet kept it (protocols 1 and 2); the first of such files have none."""

_PARTS = {"labels": "label", "inputs": "input"}


def meaning(signature: Signature, tokenizer: Path | None) -> bytes:
    """The names of labels and inputs in order, and the digest of the tokenizer, as JSON."""
    parts = {
        "labels": list(signature.labels),
        "inputs": [tensor.name for tensor in signature.inputs],
        "tokenizer": str(Digest.of_file(tokenizer)) if tokenizer else "",
    }
    return json.dumps(parts, ensure_ascii=False).encode()


def changed_meaning(kept: bytes, now: bytes) -> str | None:
    """The first part of `now` that is not as `kept`, in words; None when all are. Raises ValueError for no meaning."""
    before, after = (_read(each) for each in (kept, now))
    for part, name in _PARTS.items():
        for index, (was, is_now) in enumerate(zip(before[part], after[part], strict=False)):
            if was != is_now:
                return f"{name} {index} is {str(is_now)[:60]!r}, kept {str(was)[:60]!r}"
        if len(before[part]) != len(after[part]):
            return f"there are {len(after[part])} {part}, kept {len(before[part])}"
    if before["tokenizer"] != after["tokenizer"]:
        return f"the tokenizer is {after['tokenizer'][:19] or 'missing'}…, kept {before['tokenizer'][:19]}…"
    return None


def _read(content: bytes) -> dict[str, Any]:
    try:
        parts = json.loads(content)
    except RecursionError:
        raise ValueError("its meaning is nested too deep") from None
    sound = isinstance(parts, dict) and all(isinstance(parts.get(name), list) for name in _PARTS)
    if not sound or not isinstance(parts.get("tokenizer"), str):
        raise ValueError("its meaning is none")
    return dict(parts)
