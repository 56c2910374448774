"""How alike pictures are is found once, the same in this process and in workers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tidemill.dataset import picture_files, picture_folder
from tidemill.dataset import workers as workers_
from tidemill.dataset.checks.finding import Inspection, Report
from tidemill.dataset.checks.likeness import remembered_likeness
from tidemill.dataset.picture_files import PROGRAM, compare
from tidemill.dataset.source import Source
from tidemill.dataset.workers import Workers

from .conftest import jpeg, scene

PAIRS = np.array([[0, 1], [0, 2], [1, 2]])
DIGESTS = np.array([hashlib.sha256(name).digest() for name in (b"a", b"b", b"c")], "S32")


class _Asked:
    """Stands for reading pictures; remembers which pairs it was asked for."""

    def __init__(self, answer: float = 0.95) -> None:
        self.pairs: list[list[int]] = []
        self._answer = answer

    def __call__(self, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        self.pairs += pairs.tolist()
        return np.full(len(pairs), self._answer)


def test_only_new_pairs_are_compared(tmp_path: Path) -> None:
    file, asked = tmp_path / "pairs.npz", _Asked()
    remembered_likeness(PAIRS[:2], DIGESTS, asked, file)
    assert asked.pairs == [[0, 1], [0, 2]]
    again = _Asked(0.0)
    assert remembered_likeness(PAIRS, DIGESTS, again, file).tolist() == [0.95, 0.95, 0.0]
    assert again.pairs == [[1, 2]]
    other = DIGESTS[[2, 0, 1]]  # the same pictures under other names
    third = _Asked()
    assert remembered_likeness(PAIRS, other, third, file).tolist() == [0.95, 0.0, 0.95]
    assert third.pairs == []


def test_what_could_not_be_read_is_tried_again(tmp_path: Path) -> None:
    file, asked = tmp_path / "pairs.npz", _Asked()
    assert np.isnan(remembered_likeness(PAIRS, DIGESTS, _Asked(np.nan), file)).all()
    remembered_likeness(PAIRS, DIGESTS, asked, file)
    assert asked.pairs == PAIRS.tolist()


@pytest.mark.parametrize("damage", [b"", b"nothing", None])
def test_a_damaged_memory_is_no_memory(tmp_path: Path, damage: bytes | None) -> None:
    file, asked = tmp_path / "pairs.npz", _Asked()
    remembered_likeness(PAIRS, DIGESTS, _Asked(0.0), file)
    file.write_bytes(file.read_bytes()[:-40] if damage is None else damage)
    assert remembered_likeness(PAIRS, DIGESTS, asked, file).tolist() == [0.95] * 3


def test_workers_find_what_this_process_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = _paint(tmp_path, 12)
    digests = [hashlib.sha256(Path(file).read_bytes()).digest() for file in files]
    pairs = np.array([[a, b] for a in range(12) for b in range(a + 1, 12)])
    Path(files[3]).write_bytes(jpeg(scene(99)))  # it is another picture now
    for module in (picture_files, workers_):
        monkeypatch.setattr(module, "usable_cores", lambda: 2)
    with Workers(PROGRAM) as workers:
        here = compare(files, digests, pairs, workers)
        monkeypatch.setattr(picture_files, "_FEW_PAIRS", 1)
        monkeypatch.setattr(picture_files, "_PAIRS", 7)
        there = compare(files, digests, pairs, workers)
    assert np.array_equal(here, there, equal_nan=True)
    assert np.isnan(here).tolist() == (pairs == 3).any(axis=1).tolist()
    assert (here[~np.isnan(here)] > 0).sum() == 5  # each picture twice, but for the one that changed


def test_pictures_read_while_others_are_listed_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for label in ("a", "b", "c"):
        _paint(tmp_path / label, 10)
        (tmp_path / label / "torn.jpg").write_bytes(b"\xff\xd8 no more")
    here, report = _read(tmp_path)
    for module in (picture_folder, picture_files):
        monkeypatch.setattr(module, "usable_cores", lambda: 2)
        monkeypatch.setattr(module, "MANY", 5)
    monkeypatch.setattr(workers_, "usable_cores", lambda: 2)
    there, other = _read(tmp_path)
    assert report == other and len(report.findings) >= 2
    assert [each.tobytes() for each in here.rows.hashes.chunks()] == [e.tobytes() for e in there.rows.hashes.chunks()]
    assert [batch for _, batch in here.batches] == [batch for _, batch in there.batches]


def _read(folder: Path) -> tuple[Source, Report]:
    inspection = Inspection()
    source = picture_folder.read_folder(folder, note=lambda _: None, progress=lambda *_: None, inspection=inspection)
    return source, inspection.report()


def _paint(folder: Path, count: int) -> list[str]:
    """Pictures, each of them twice: once more with fewer bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number in range(count):
        file = folder / f"{number:02d}.jpg"
        file.write_bytes(jpeg(scene(number // 2), 90 if number % 2 else 60))
        files.append(str(file))
    return files
