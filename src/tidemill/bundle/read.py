"""Opening a bundle: everything is audited before anything is made from it."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidemill.bundle.consistency import check_consistency
from tidemill.bundle.graph import MAX_BYTES as MAX_GRAPH
from tidemill.bundle.graph import audit_graph
from tidemill.bundle.protocols import READERS, required_files
from tidemill.bundle.write import RECORD
from tidemill.domain.bundle import PROTOCOL, Bundle, TextPreprocessing
from tidemill.domain.digest import Digest
from tidemill.errors import BundleError

GRAPH, TOKENIZER = "model.onnx", "tokenizer.json"
_REPORT = re.compile(r"report/[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_MAX_RECORD = 8 << 20
_MAX_FILES = 1000
_MAX_BYTES = {GRAPH: MAX_GRAPH, "golden.parquet": 1 << 30, "golden.jsonl": 1 << 28, "reference.parquet": 1 << 30}
_MAX_OTHER = 64 << 20
"""A file may be a hole of terabytes that takes no room: what is larger than any honest one is not read."""

_REMEDY = "fetch the bundle anew, or export the model again"


@dataclass(frozen=True, slots=True)
class OpenBundle:
    """A bundle that passed its audit. `digest` is that of bundle.json's bytes."""

    directory: Path
    bundle: Bundle
    digest: Digest

    @property
    def tokenizer(self) -> Path | None:
        """The path of tokenizer.json, for text."""
        return self.directory / TOKENIZER if isinstance(self.bundle.preprocessing, TextPreprocessing) else None


def open_bundle(directory: Path, *, expected: Digest | None = None) -> OpenBundle:
    """Audit `directory` and return what it holds; nothing in it was loaded, and nothing it names outside was followed.

    `expected` is the bundle's digest as a registry or a manifest gives it; a folder whose name is 64 hexadecimal digits
    is held to them in any case. Raises BundleError for anything that is altered, incomplete, hostile or too new.
    """
    if expected is None and re.fullmatch(r"[0-9a-f]{64}", directory.name):
        expected = Digest(f"sha256:{directory.name}")
    try:
        sizes = _sizes(directory)
        content, digest = _record(directory, sizes, expected)
        bundle = _parse(directory, content)
        _check_files(directory, bundle, sizes)
    except OSError as error:
        raise _bad(directory, f"{error.strerror or error}") from None
    try:
        check_consistency(bundle)
    except ValueError as error:
        raise _bad(directory, str(error)) from None
    _check_graph(directory, bundle)
    return OpenBundle(directory, bundle, digest)


def recheck(opened: OpenBundle) -> None:
    """Audit again what can have changed of a bundle since it was opened: which files there are, and every digest.

    A record and a graph of the same digest are the same, and are not read again. Raises BundleError.
    """
    directory = opened.directory
    try:
        sizes = _sizes(directory)
        _record(directory, sizes, opened.digest)
        _check_files(directory, opened.bundle, sizes)
    except OSError as error:
        raise _bad(directory, f"{error.strerror or error}") from None


def read_record(directory: Path) -> tuple[Bundle, Digest]:
    """The record of a bundle and its digest, without a look at its other files. Raises BundleError."""
    try:
        content = _plain_content(directory)
    except OSError as error:
        raise _bad(directory, f"{error.strerror or error}") from None
    return _parse(directory, content), Digest.of_bytes(content)


def _sizes(directory: Path) -> dict[str, int]:
    """Size of every file by its name. Links, devices and anything but plain files and the folder report are refused."""
    if not directory.is_dir():
        raise BundleError(f"there is no bundle at {directory}", "a bundle is a directory that holds bundle.json")
    sizes: dict[str, int] = {}
    for entry in sorted(directory.iterdir()):
        if entry.name == "report" and not entry.is_symlink() and entry.is_dir():
            sizes |= {f"report/{inner.name}": _plain_size(inner) for inner in sorted(entry.iterdir())}
        else:
            sizes[entry.name] = _plain_size(entry)
    return sizes


def _plain_size(path: Path) -> int:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise _bad(path.parent, f"{path.name!r} is not a plain file")
    return status.st_size


def _record(directory: Path, sizes: Mapping[str, int], expected: Digest | None) -> tuple[bytes, Digest]:
    if RECORD not in sizes:
        raise BundleError(f"there is no bundle at {directory}: {RECORD} is missing", _REMEDY)
    _check_record_size(directory, sizes[RECORD])
    content = _plain_content(directory)
    digest = Digest.of_bytes(content)
    if expected is not None and digest != expected:
        raise _bad(directory, f"its digest is {digest.short}…, not {expected.short}…")
    return content, digest


def _plain_content(directory: Path) -> bytes:
    """The bytes of bundle.json, when that is a plain file: a pipe would block, and a link leads elsewhere."""
    handle = os.open(directory / RECORD, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise _bad(directory, f"{RECORD!r} is not a plain file")
        _check_record_size(directory, status.st_size)
        return file.read(_MAX_RECORD)


def _check_record_size(directory: Path, size: int) -> None:
    if size > _MAX_RECORD:
        raise _bad(directory, f"{RECORD} is larger than {_MAX_RECORD >> 20} MB")


def _parse(directory: Path, content: bytes) -> Bundle:
    try:
        plain = json.loads(
            content.decode(), object_pairs_hook=_once, parse_constant=_not_finite, parse_float=_finite_float
        )
        protocol = plain.get("protocol") if isinstance(plain, dict) else None
        if type(protocol) is not int:  # True and 1.0 would count as 1
            raise ValueError(f"protocol {str(protocol)[:20]!r} is no number")
        if protocol > PROTOCOL:
            raise BundleError(
                f"{directory} is a bundle of protocol {protocol}, and this Tidemill reads up to {PROTOCOL}",
                "upgrade:  pip install --upgrade tidemill",
            )
        if protocol not in READERS:
            raise ValueError(f"protocol {protocol} is unknown")
        return READERS[protocol](plain)
    except (ValueError, RecursionError) as error:  # bad UTF-8 and bad JSON are ValueErrors too
        raise _bad(directory, f"{RECORD}: {str(error)[:200]}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is given twice")
    return found


def _not_finite(text: str) -> float:
    raise ValueError(f"{text} is not a number")


def _finite_float(text: str) -> float:
    value = float(text)
    if abs(value) == float("inf"):
        raise ValueError(f"{text[:40]} is too large")
    return value


def _check_files(directory: Path, bundle: Bundle, sizes: Mapping[str, int]) -> None:
    if len(sizes) > _MAX_FILES:
        raise _bad(directory, f"it has {len(sizes):,} files, more than {_MAX_FILES:,}")
    required = required_files(bundle.protocol)
    if isinstance(bundle.preprocessing, TextPreprocessing):
        required |= {TOKENIZER}
    for name in required - bundle.files.keys():
        raise _bad(directory, f"{RECORD} does not list {name}")
    for name in bundle.files:
        if name not in required and not _REPORT.fullmatch(name):
            raise _bad(directory, f"{RECORD} lists {name[:100]!r}, which is no part of a bundle")
    for name in sizes.keys() - bundle.files.keys() - {RECORD}:
        raise _bad(directory, f"{name[:100]!r} is not listed in {RECORD}")
    for name, record in bundle.files.items():
        if name not in sizes:
            raise _bad(directory, f"{name} is missing")
        if sizes[name] > (most := _MAX_BYTES.get(name, _MAX_OTHER)):
            raise _bad(directory, f"{name} has {sizes[name]:,} bytes, more than {most:,}")
        if sizes[name] != record.bytes:
            raise _bad(directory, f"{name} has {sizes[name]:,} bytes, not {record.bytes:,}")
        if Digest.of_file(directory / name) != record.digest:
            raise _bad(directory, f"{name} was altered: its digest is not the recorded one")


def _check_graph(directory: Path, bundle: Bundle) -> None:
    graph = audit_graph(directory / GRAPH)
    for kind, tensors, found in (
        ("takes", bundle.signature.inputs, graph.inputs),
        ("gives", bundle.signature.outputs, graph.outputs),
    ):
        if {tensor.name: tensor.dtype for tensor in tensors} != found:
            raise _bad(directory, f"{GRAPH} {kind} {_shown(found)}, and the signature says otherwise")


def _shown(values: Mapping[str, str]) -> str:
    shown = ", ".join(f"{name} {dtype or 'of another type'}" for name, dtype in list(values.items())[:4])
    return shown[:200] + (", …" if len(values) > 4 else "")


def _bad(directory: Path, problem: str) -> BundleError:
    """`problem` may quote the record: no line break and no terminal's escape of it is printed."""
    shown = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in problem)
    return BundleError(f"the bundle {directory} cannot be used: {shown}", _REMEDY)
