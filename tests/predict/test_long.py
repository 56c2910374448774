"""Long work: killed at any moment and started again it goes on, no row twice and none missing; memory stays flat."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from tests.serve.bundles import image_bundle, picture, tabular_bundle, text_bundle
from tidemill.errors import BusyError
from tidemill.files import locked
from tidemill.project.predicting import predict, write

# Small parts, often: a process that is killed has then always something behind it and something before it.
_WORK = """
import sys, time
from pathlib import Path
from tidemill.project.predicting import job, predict, write
write._SECONDS = 0.0
answer = job.Job._answer
def slowly(self, chunk):
    time.sleep(0.01)
    return answer(self, chunk)
job.Job._answer = slowly
bundle, given, out, annotate = sys.argv[1:]
written = predict(None, bundle, [given], out=Path(out), annotate=Path(annotate) if annotate else None)
print(written.found, flush=True)
"""


def until_done(bundle: Path, given: Path, out: Path, annotate: str = "", *, seed: int) -> tuple[int, int]:
    """Kill the work again and again, each time when it got a little further; how often, and what it found at last."""
    chance, killed = random.Random(seed), 0
    parts = out.with_name(f".{out.name}.parts")
    while True:
        command = [sys.executable, "-c", _WORK, str(bundle), str(given), str(out), annotate]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        further = len(list(parts.glob("*.parquet"))) + chance.randrange(3)
        while killed < 6 and process.poll() is None and len(list(parts.glob("*.parquet"))) < further:
            time.sleep(0.001)
        if killed < 6:
            time.sleep(chance.uniform(0.0, 0.03))
            process.send_signal(signal.SIGKILL)
        said, _ = process.communicate(timeout=120)
        if process.returncode == 0:
            return killed, int(said)
        assert process.returncode == -signal.SIGKILL
        killed += 1


def left(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.name.startswith(".")]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_a_table_that_was_killed_again_and_again(tmp_path: Path, suffix: str) -> None:
    bundle = tabular_bundle(tmp_path / "bundle")
    rows = np.random.default_rng(0).normal(size=(400_000, 2)).round(3)
    lines = [f"{number},{a},{b}" for number, (a, b) in enumerate(rows)]
    lines[1000], lines[200_000], lines[399_999] = "1000,x,1", "200000,1", "399999,,1"
    (tmp_path / "rows.csv").write_text("id,width,height\n" + "\n".join(lines) + "\n")
    whole, pieces = tmp_path / f"whole.{suffix}", tmp_path / f"pieces.{suffix}"
    written = predict(None, str(bundle), [str(tmp_path / "rows.csv")], out=whole)
    assert (written.rows, written.answered, written.found) == (400_000, 399_997, 0)
    assert [problem.name for problem in written.problems] == ["row 1001", "row 200001", "row 400000"]
    killed, found = until_done(bundle, tmp_path / "rows.csv", pieces, seed=len(suffix))
    assert killed and found
    if suffix == "parquet":
        assert pq.read_table(pieces).equals(pq.read_table(whole))
    else:
        assert pieces.read_bytes() == whole.read_bytes()
    assert left(tmp_path) == []


@pytest.mark.slow
def test_pictures_that_were_killed_again_and_again(tmp_path: Path) -> None:
    bundle = image_bundle(tmp_path / "bundle")
    (tmp_path / "pictures").mkdir()
    for number in range(1200):
        (tmp_path / "pictures" / f"{number:04}.png").write_bytes(picture(number % 97))
    killed, _ = until_done(bundle, tmp_path / "pictures", tmp_path / "out.csv", str(tmp_path / "drawn"), seed=1)
    assert killed
    files = [Path(file).name for file in csv.read_csv(tmp_path / "out.csv")["file"].to_pylist()]
    assert files == [f"{number:04}.png" for number in range(1200)]
    assert sorted(entry.name for entry in (tmp_path / "drawn").glob("*.png")) == files


def begin(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Work that was stopped behind its first 1,024 rows."""
    bundle, given, out = text_bundle(tmp_path / "bundle"), tmp_path / "said.txt", tmp_path / "out.jsonl"
    given.write_text("the good tide\nbad\n\n" * 2000)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(write, "_SECONDS", 0.0)
        put = write._write_part

        def interrupted(path: Path, table: pa.Table) -> None:
            put(path, table)
            raise InterruptedError

        patch.setattr(write, "_write_part", interrupted)
        predict(None, str(bundle), [str(given)], out=out)
    assert left(tmp_path) == [".out.jsonl.parts"] and not out.exists()
    return bundle, given, out


def test_the_same_work_goes_on(tmp_path: Path) -> None:
    bundle, given, out = begin(tmp_path)
    written = predict(None, str(bundle), [str(given)], out=out)
    assert (written.found, written.rows, written.answered) == (1024, 4000, 4000)
    assert len(out.read_bytes().splitlines()) == 4000 and left(tmp_path) == []


@pytest.mark.parametrize("change", ["input", "model"])
def test_other_work_begins_anew(tmp_path: Path, change: str) -> None:
    bundle, given, out = begin(tmp_path)
    if change == "input":
        given.write_text("bad\n" * 1500)
    else:
        bundle = text_bundle(tmp_path / "other", name="temper")
    written = predict(None, str(bundle), [str(given)], out=out)
    assert (written.found, written.rows) == (0, 1500 if change == "input" else 4000)


def test_two_at_the_same_file(tmp_path: Path) -> None:
    bundle, given, out = begin(tmp_path)
    with locked(tmp_path / ".out.jsonl.parts" / "lock"), pytest.raises(BusyError, match=r"out\.jsonl"):
        predict(None, str(bundle), [str(given)], out=out)
    assert predict(None, str(bundle), [str(given)], out=out).found == 1024


def test_a_disk_that_is_full_leaves_what_is_done(tmp_path: Path) -> None:
    bundle, given, out = begin(tmp_path)
    resource = pytest.importorskip("resource")
    held = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, held[1]))  # a file cannot grow: as on a full disk
    try:
        with pytest.raises(OSError):
            predict(None, str(bundle), [str(given)], out=out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, held)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not out.exists()
    assert predict(None, str(bundle), [str(given)], out=out).rows == 4000


_PEAK = """
import sys
from pathlib import Path
from tidemill.project.predicting import predict
predict(None, sys.argv[1], [sys.argv[2]], out=Path(sys.argv[3]))
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc to read the peak from")
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_memory_does_not_grow_with_the_table(tmp_path: Path, suffix: str) -> None:
    bundle = tabular_bundle(tmp_path / "bundle")
    peaks = []
    for rows in (100_000, 2_000_000):
        table = pa.table({name: np.random.default_rng(0).normal(size=rows) for name in ("width", "height")})
        given = tmp_path / f"{rows}.{suffix}"
        csv.write_csv(table, given) if suffix == "csv" else pq.write_table(table, given)
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, str(bundle), str(given), str(tmp_path / "out.parquet")],
            capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "2"},
        )  # fmt: skip
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] < peaks[0] + 60, f"{peaks} MB; the large table itself has {rows * 16 >> 20} MB"
