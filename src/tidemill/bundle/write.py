"""Sealing a directory as a bundle: bundle.json with the digest of every other file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tidemill.domain.bundle import PROTOCOL, Bundle, FileRecord, Golden, Lineage, Parity, Preprocessing, Signature
from tidemill.domain.digest import Digest
from tidemill.domain.record import to_plain

RECORD = "bundle.json"


def write_bundle(
    directory: Path,
    *,
    name: str,
    signature: Signature,
    preprocessing: Preprocessing,
    lineage: Lineage,
    metrics: Mapping[str, float],
    per_class: Mapping[str, Mapping[str, float]],
    parity: Parity,
    golden: Golden,
) -> tuple[Bundle, Digest]:
    """Write `directory`/bundle.json over the files that are there already.

    Returns the record and the bundle's digest, which is that of bundle.json's bytes and through them covers every file.
    """
    bundle = Bundle(
        protocol=PROTOCOL,
        name=name,
        signature=signature,
        preprocessing=preprocessing,
        files=record_files(directory),
        lineage=lineage,
        metrics=metrics,
        parity=parity,
        golden=golden,
        per_class=per_class,
    )
    content = (json.dumps(to_plain(bundle), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    (directory / RECORD).write_bytes(content)
    return bundle, Digest.of_bytes(content)


def record_files(directory: Path) -> dict[str, FileRecord]:
    """Every file under `directory` but bundle.json, by its path with forward slashes, sorted."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    names = {path.relative_to(directory).as_posix(): path for path in paths}
    return {
        name: FileRecord(Digest.of_file(path), path.stat().st_size) for name, path in names.items() if name != RECORD
    }
