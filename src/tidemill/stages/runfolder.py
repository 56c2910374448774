"""A run's own folder: what it needs to go on after its process has died. It is removed when the run has finished.

run.json        the run's record (Record); without it the folder is debris
lock            held by the process that works on the run
lineage/        spec.json and dirty.diff, before they are kept by the tracker
metrics.jsonl   every metric that was told, in order
weights.jsonl   the chain of weight digests
checkpoints/    of the family that trains
source/         the trained model, with fitted.json beside it: from then on only what follows is left to do
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

from tidemill.domain.record import from_plain, to_plain
from tidemill.domain.run import RunSpec
from tidemill.errors import BusyError, NotFoundError
from tidemill.files import fsync_directory, write_atomic

RECORD, LOCK, SPEC, METRICS, FITTED = "run.json", "lock", "spec.json", "metrics.jsonl", "fitted.json"
CHECKPOINTS = "checkpoints"
_YOUNG = 3600.0  # seconds
_LOOKED_AT = 1.0  # seconds in which others who only look at a run have let go of its lock


@dataclass(frozen=True, slots=True)
class Record:
    """`run` is the tracker's id, `beside` the ids that further trackers gave, in their order.

    `parent` is the run it is shown under; `resumed` counts how often it was gone on with. `tracker` is the address of
    the tracking server, without its password: "" for the project's own, None in records that do not have it.
    """

    run: str
    spec: RunSpec
    started: datetime
    beside: tuple[str, ...] = ()
    parent: str = ""
    resumed: int = 0
    tracker: str | None = None


class Told(NamedTuple):
    """Metrics as they were told once."""

    values: dict[str, float]
    step: int


@dataclass(frozen=True)
class RunFolder:
    """An unfinished run's folder, locked by this process as long as it is `held`."""

    path: Path
    record: Record
    _held: list[IO[bytes]] = field(default_factory=list, repr=False, compare=False)

    @property
    def source(self) -> Path:
        return self.path / "source"

    @property
    def lineage(self) -> Path:
        return self.path / "lineage"

    def has_lineage(self) -> bool:
        return (self.lineage / SPEC).is_file()

    def put_lineage(self, spec: RunSpec, difference: bytes) -> None:
        """`spec.json`, and `dirty.diff` when `difference` is not empty."""
        if difference:
            write_atomic(self.lineage / "dirty.diff", difference)
        write_atomic(self.lineage / SPEC, _json(spec))

    def write(self, record: Record) -> RunFolder:
        """The same folder with another record."""
        write_atomic(self.path / RECORD, _json(record))
        return RunFolder(self.path, record, self._held)

    def tell(self, values: Mapping[str, float], step: int) -> None:
        """Remember metrics that are told now."""
        with (self.path / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"values": dict(values), "step": step}) + "\n")

    def told(self) -> list[Told]:
        """All metrics that were told; lines that a kill or a power cut tore are removed."""
        path = self.path / METRICS
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
        read = [(line, _told(line)) for line in lines]
        whole = [(line, told) for line, told in read if told is not None]
        if len(whole) < len(lines):
            write_atomic(path, b"".join(line for line, _ in whole))
        return [told for _, told in whole]

    def fitted(self) -> Mapping[str, float] | None:
        """The metrics of the training when it is done and its model lies in `source`."""
        path = self.path / FITTED
        return json.loads(path.read_bytes()) if path.is_file() else None

    def note_fitted(self, metrics: Mapping[str, float]) -> None:
        """The model in `source` is whole."""
        write_atomic(self.path / FITTED, json.dumps(dict(metrics)).encode())

    def has_progress(self) -> bool:
        """Whether there is anything here that would have to be computed again."""
        checkpoints = self.path / CHECKPOINTS
        return (self.path / FITTED).is_file() or (checkpoints.is_dir() and any(checkpoints.iterdir()))

    def discard(self) -> None:
        """Nothing is left to go on with; a kill in between leaves debris that `sweep` removes."""
        (self.path / RECORD).unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)


@contextmanager
def begin(runs: Path, record: Record) -> Iterator[RunFolder]:
    """A new folder below `runs` for a run that has just begun, locked inside the block."""
    runs.mkdir(parents=True, exist_ok=True)
    beside = runs / f".{uuid.uuid4().hex}"
    beside.mkdir()
    with (beside / LOCK).open("a+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        write_atomic(beside / RECORD, _json(record))
        final = runs / record.run
        os.rename(beside, final)
        fsync_directory(runs)
        yield RunFolder(final, record, [lock])


@contextmanager
def reopen(runs: Path, run: str) -> Iterator[RunFolder]:
    """The folder of `run`, locked inside the block.

    Raises NotFoundError when there is none, BusyError when the run's process still lives.
    """
    path = next((each for each, record in unfinished(runs) if run in (each.name, record.run)), None)
    if path is None:
        raise _nothing_left(run)
    with _patient_lock(path) as lock:
        if not (path / RECORD).exists():  # swept, or ended, since it was listed
            raise _nothing_left(run)
        if lock is None:
            raise BusyError(f"the run {run} is still at work", "wait for it to end, or end it")
        yield RunFolder(path, _read(path), [lock])


@contextmanager
def _patient_lock(path: Path) -> Iterator[IO[bytes] | None]:
    """The folder's lock, asked for until those who only look have let go of it; None as for `_try_lock`."""
    deadline = time.monotonic() + _LOOKED_AT
    while True:
        with _try_lock(path) as lock:
            if lock is not None or not path.exists() or time.monotonic() > deadline:
                yield lock
                return
        time.sleep(0.02)


def _nothing_left(run: str) -> NotFoundError:
    return NotFoundError(f"the run {run[:80]} left nothing to go on from", "it has finished, or was never begun")


def unfinished(runs: Path) -> list[tuple[Path, Record]]:
    """Folder and record of each run that has not finished, the newest first."""
    found = []
    for path in runs.iterdir() if runs.is_dir() else ():
        try:
            found.append((path, _read(path)))
        except (OSError, ValueError):  # debris, or gone since it was listed
            continue
    return sorted(found, key=lambda each: each[1].started, reverse=True)


def is_alive(path: Path) -> bool:
    """Whether a process works on the run in this folder. Those who only look are not taken for one another."""
    with _try_lock(path, shared=True) as lock:
        return lock is None


def sweep(runs: Path, keep: int) -> list[Record]:
    """Remove debris, and of the runs whose process is gone all but the newest `keep`; the runs that are removed.

    Runs that are shown under another (of a grid, of a search) are counted apart: they push out none that is not.
    """
    dead = [(path, record) for path, record in unfinished(runs) if not is_alive(path)]
    alone = [each for each in dead if not each[1].parent]
    under = [each for each in dead if each[1].parent]
    removed = [record for path, record in (*alone[keep:], *under[keep:]) if _remove(path)]
    for path in runs.iterdir() if runs.is_dir() else ():
        if _is_debris(path):
            _remove(path)
    return removed


def _remove(path: Path) -> bool:
    """Remove a folder, unless somebody works on its run."""
    with _try_lock(path) as lock:
        if lock is None:
            return False
        (path / RECORD).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)
    return True


def _is_debris(path: Path) -> bool:
    """Whether a kill left this folder; one that is being made has no record either, but is young."""
    try:
        return not (path / RECORD).exists() and time.time() - path.stat().st_mtime > _YOUNG
    except OSError:
        return False


@contextmanager
def _try_lock(path: Path, *, shared: bool = False) -> Iterator[IO[bytes] | None]:
    """The folder's lock, or None when somebody has it or it is gone; `shared` with others who only look."""
    try:
        file = (path / LOCK).open("a+b")
    except OSError:
        yield None
        return
    with file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield file


def _told(line: bytes) -> Told | None:
    """A line of METRICS; None for one that was torn."""
    try:
        plain = json.loads(line) if line.endswith(b"\n") else {}
        return Told(plain["values"], plain["step"])
    except (ValueError, KeyError, TypeError):
        return None


def _read(path: Path) -> Record:
    return from_plain(Record, json.loads((path / RECORD).read_bytes()))


def _json(record: Record | RunSpec) -> bytes:
    plain: Any = to_plain(record)
    return json.dumps(plain, indent=2, sort_keys=True).encode()
