"""The cache of decoded pictures: made once, whole or not at all, the oldest used out first; and workers that die."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.input.conftest import Quiet, noise, packed, saved
from tidemill.backends.families.pictures.cache import decoded, recipe_of
from tidemill.backends.families.pictures.pool import Decoding, _Crew
from tidemill.bundle.preprocess import Preprocessor
from tidemill.dataset.decoded import Decoded, evict, key_of, open_decoded, room, writing
from tidemill.dataset.read import PackedDataset, open_dataset
from tidemill.dataset.slices import Slice, read_slice, slices
from tidemill.domain.bundle import ImagePreprocessing
from tidemill.errors import DataError, StorageError

SMALL = Decoding("data", ImagePreprocessing("RGB", 12, 12), 0)


def cached(
    data: PackedDataset, root: Path, decoding: Decoding = SMALL, *, limit: float = 1, split: str = "train"
) -> Decoded | None:
    return decoded(data, split, decoding, root, limit=limit, report=Quiet())


def folders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if not path.name.startswith("."))


def test_slices_are_all_rows_in_order(kinds: PackedDataset) -> None:
    parts = slices(kinds, "train")
    assert [part.first for part in parts] == list(np.cumsum([0, *map(len, parts)])[:-1])
    assert [file for part in parts for file in read_slice(part, "data")] == kinds.examples("train").inputs


def test_decoded_once_then_mapped_and_writing_into_it_changes_no_file(kinds: PackedDataset, tmp_path: Path) -> None:
    report = Quiet()
    first = decoded(kinds, "train", SMALL, tmp_path, limit=1, report=report)
    assert report.heard[-1] == (200, 200, "decoding train pictures, once")
    second = decoded(kinds, "train", SMALL, tmp_path, limit=1, report=report)
    assert first is not None
    assert second is not None
    assert len([None for done, _, _ in report.heard if done == 200]) == 1
    np.testing.assert_array_equal(first.pixels, second.pixels)
    second.pixels[0] = 7
    again = cached(kinds, tmp_path)
    assert again is not None
    np.testing.assert_array_equal(first.pixels, again.pixels)


def test_the_key_covers_all_that_pixels_depend_on(kinds: PackedDataset) -> None:
    keys = {
        key_of(recipe_of(kinds, split, replace(SMALL, preprocessing=preprocessing)))
        for split in ("train", "val")
        for preprocessing in (
            ImagePreprocessing("RGB", 12, 12), ImagePreprocessing("L", 12, 12), ImagePreprocessing("RGB", 12, 13),
            ImagePreprocessing("RGB", 12, 12, "nearest"),
        )
    }  # fmt: skip
    assert len(keys) == 8
    assert key_of(recipe_of(kinds, "val", SMALL)) == key_of(recipe_of(kinds, "val", replace(SMALL, workers=3)))


@pytest.mark.parametrize("harm", ["shorter", "header", "record", "shape", "gone"])
def test_what_is_damaged_is_made_again(kinds: PackedDataset, tmp_path: Path, harm: str) -> None:
    before = cached(kinds, tmp_path)
    assert before is not None
    (folder,) = folders(tmp_path)
    pixels, record = tmp_path / folder / "pixels.npy", tmp_path / folder / "record.json"
    expected = np.array(before.pixels)
    if harm == "shorter":
        os.truncate(pixels, pixels.stat().st_size - 1)
    elif harm == "header":
        pixels.write_bytes(b"\x93NUMPY\x01\x00" + pixels.read_bytes()[8:40])
    elif harm == "record":
        record.write_text("{}")
    elif harm == "shape":
        record.write_text(record.read_text().replace("[200, 12, 12, 3]", "[200, 12, 11, 3]"))
    else:
        pixels.unlink()
    again = cached(kinds, tmp_path)
    assert again is not None
    np.testing.assert_array_equal(again.pixels, expected)


def test_the_longest_unused_goes_first_and_what_is_mapped_stays_readable(kinds: PackedDataset, tmp_path: Path) -> None:
    sizes = [ImagePreprocessing("RGB", 12, 12 + extra) for extra in range(3)]
    first = cached(kinds, tmp_path, replace(SMALL, preprocessing=sizes[0]))
    second = cached(kinds, tmp_path, replace(SMALL, preprocessing=sizes[1]))
    assert first is not None
    assert second is not None
    keys = [key_of(recipe_of(kinds, "train", replace(SMALL, preprocessing=size))) for size in sizes]
    os.utime(tmp_path / keys[1] / "record.json", (1, 1))
    cached(kinds, tmp_path, replace(SMALL, preprocessing=sizes[0]))  # used now
    total = sum(each.pixels.nbytes for each in (first, second))
    third = cached(kinds, tmp_path, replace(SMALL, preprocessing=sizes[2]), limit=(total + 50_000) / 1e9)
    assert third is not None
    assert folders(tmp_path) == sorted([keys[0], keys[2]])
    assert int(second.pixels.sum()) > 0
    evict(tmp_path, 0, spare=keys[2])
    assert folders(tmp_path) == [keys[2]]


def test_what_does_not_fit_is_streamed(kinds: PackedDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert cached(kinds, tmp_path, limit=0) is None
    with caplog.at_level(logging.WARNING):
        assert cached(kinds, tmp_path, limit=1e-6) is None
    assert "streaming" in caplog.text
    assert not tmp_path.is_dir() or folders(tmp_path) == []
    assert room(tmp_path / "not" / "there", -1) > 0


def test_two_trainings_decode_once(kinds: PackedDataset, tmp_path: Path) -> None:
    reports = [Quiet(), Quiet(), Quiet()]
    threads = [
        threading.Thread(target=decoded, args=(kinds, "train", SMALL, tmp_path), kwargs={"limit": 1, "report": each})
        for each in reports
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(bool(each.heard[1:]) for each in reports) == [False, False, True]
    assert len(folders(tmp_path)) == 1


_DECODE = """
import sys
from pathlib import Path
from tests.input.conftest import Quiet
from tidemill.backends.families.pictures.cache import decoded
from tidemill.backends.families.pictures.pool import Decoding
from tidemill.dataset.read import open_dataset
from tidemill.domain.bundle import ImagePreprocessing
class Slow(Quiet):
    def progress(self, done, total, note):
        if done:
            print(done, flush=True)
            sys.stdin.readline()
found = decoded(open_dataset(Path(sys.argv[1])), "train", Decoding("data", ImagePreprocessing("RGB", 12, 12), 0),
                Path(sys.argv[2]), limit=1, report=Slow())
print("none" if found is None else "done", flush=True)
"""


def decoding_process(data: PackedDataset, root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _DECODE, str(data.root), str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip


def test_killed_halfway_leaves_nothing_that_is_read(kinds: PackedDataset, tmp_path: Path) -> None:
    with decoding_process(kinds, tmp_path) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 0
        process.kill()
    assert len(list((tmp_path / ".staging").iterdir())) == 1
    assert folders(tmp_path) == []
    whole = cached(kinds, tmp_path)
    assert whole is not None
    served = Preprocessor(SMALL.preprocessing).prepare(kinds.examples("train").inputs)["image"]
    np.testing.assert_array_equal(whole.pixels, served)
    assert list((tmp_path / ".staging").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="mounting a small disk needs root")
def test_a_full_disk_leaves_no_half_file_and_training_streams(kinds: PackedDataset, tmp_path: Path) -> None:
    """120 KB are enough for the folder and not for 200 pictures of 432 bytes and their record."""
    small = tmp_path / "small"
    small.mkdir()
    script = tmp_path / "decode.py"
    script.write_text(_DECODE.replace("sys.stdin.readline()", "pass"))
    command = (
        f"mount -t tmpfs -o size=64k none {small} && PYTHONPATH='{Path(__file__).parents[2]}' "
        f"'{sys.executable}' {script} {kinds.root} {small}; find {small} -type f"
    )
    said = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, text=True)
    assert "streaming from the shards instead" in said.stderr
    assert "none" in said.stdout
    assert "pixels.npy" not in said.stdout


def test_an_error_while_writing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="meant"), writing(tmp_path, "key", {}, (2, 2, 2, 1)) as writer:
        writer.write(0, np.zeros((1, 2, 2, 1), np.uint8))
        raise ValueError("meant")
    assert open_decoded(tmp_path, "key") is None
    assert list((tmp_path / ".staging").iterdir()) == []


def test_a_worker_that_is_killed_is_named_and_replaced(kinds: PackedDataset, caplog: pytest.LogCaptureFixture) -> None:
    decoding = Decoding("data", ImagePreprocessing("RGB", 12, 12), 2)
    parts = slices(kinds, "train")
    crew = _Crew(decoding, parts, 2)
    got: dict[Slice, NDArray[np.uint8]] = {}
    with caplog.at_level(logging.WARNING):
        for part, pixels in crew.answers():
            if not got:
                victim = next(iter(crew._processes))
                os.kill(victim.pid, signal.SIGKILL)
            got[part] = pixels
    assert sorted(got) == parts
    served = Preprocessor(decoding.preprocessing).prepare(kinds.examples("train").inputs)["image"]
    np.testing.assert_array_equal(np.concatenate([got[part] for part in parts]), served)
    assert "signal 9" in caplog.text
    assert not crew._processes


def test_a_slice_that_kills_every_worker_is_an_error(kinds: PackedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")  # no interpreter can start
    with pytest.raises(StorageError, match=r"rows \d+ to \d+.*ends every process"):
        list(Decoding("data", ImagePreprocessing("RGB", 12, 12), 2).decoded(slices(kinds, "train")))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_picture_is_named(tmp_path: Path, workers: int) -> None:
    from PIL import Image

    files = [saved(Image.fromarray(noise(number)), "PNG") for number in range(40)]
    files[33] = files[33][:100]
    data = packed(tmp_path / "set", {"train": files})
    with pytest.raises(DataError, match=r"row 33 of .*train-.*damaged or truncated"):
        list(Decoding("data", ImagePreprocessing("RGB", 12, 12), workers).decoded(slices(data, "train")))


def test_leaving_early_ends_the_workers(kinds: PackedDataset) -> None:
    crew = _Crew(Decoding("data", ImagePreprocessing("RGB", 12, 12), 2), slices(kinds, "train"), 2)
    answers = crew.answers()
    next(answers)
    processes = list(crew._processes)
    answers.close()  # type: ignore[attr-defined]  # a generator
    assert processes
    assert all(process.poll() is not None for process in processes)


def test_workers_end_when_their_parent_is_killed(kinds: PackedDataset) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from tidemill.backends.families.pictures.pool import Decoding, _Crew\n"
        "from tidemill.dataset.read import open_dataset\n"
        "from tidemill.dataset.slices import slices\n"
        "from tidemill.domain.bundle import ImagePreprocessing\n"
        "parts = slices(open_dataset(Path(sys.argv[1])), 'train')\n"
        "crew = _Crew(Decoding('data', ImagePreprocessing('RGB', 12, 12), 2), parts, 2)\n"
        "answers = crew.answers(); next(answers)\n"
        "print(*[each.pid for each in crew._processes], flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(kinds.root)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert pids
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() and "Z" not in _state(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_the_set_opens_as_it_was_packed(kinds: PackedDataset) -> None:
    assert open_dataset(kinds.root).version == kinds.version
