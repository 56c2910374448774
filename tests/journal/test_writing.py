from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.domain.prediction import Feedback
from tidemill.domain.record import now
from tidemill.journal.columns import to_rows
from tidemill.journal.read import Journal
from tidemill.journal.records import prediction_payload, to_prediction
from tidemill.journal.seal import seal
from tidemill.journal.segments import segments
from tidemill.journal.spool import Spool, abandoned
from tidemill.journal.sweep import seal_abandoned
from tidemill.journal.writer import Writer

from .conftest import Make

_WRITER = """
import sys
from pathlib import Path
from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.domain.digest import Digest
from tidemill.domain.prediction import Prediction, new_prediction_id
from tidemill.domain.record import now
digest = Digest.of_bytes(b"")
sink = ParquetSink(Path(sys.argv[1]))
while True:
    batch = [Prediction(new_prediction_id(), now(), "digits", 1, digest, digest, b"x" * 500, (1.0,), "0", (2.0,), 1.0)
             for _ in range(3)]
    sink.append(batch)
    print(*[each.id for each in batch], flush=True)
"""

_FULL = """
import resource, sys
from pathlib import Path
from tidemill.errors import StorageError
from tidemill.journal.spool import Spool
spool = Spool(Path(sys.argv[1]))
spool.append([b"first"], 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    spool.append([b"x" * 5000], 1)
except StorageError as error:
    print(error.headline)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
spool.append([b"second"], 1)
"""

_NO_FILES = """
import os, resource, sys, time
from pathlib import Path
from tidemill.domain.prediction import Feedback, new_prediction_id
from tidemill.domain.record import now
from tidemill.journal.records import feedback_payload
from tidemill.journal.segments import segments
from tidemill.journal.writer import Writer
root = Path(sys.argv[1])
(root / "spool").mkdir(parents=True)
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
free = os.open(root, os.O_RDONLY)
os.close(free)
resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, hard))  # room for the writer's own spool
writer = Writer(root, max_age=0.0)
time.sleep(0.3)
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
writer.append([feedback_payload(Feedback(new_prediction_id(), "3", now(), "digits"))])
deadline = time.monotonic() + 20
while not segments(root, "feedback") and time.monotonic() < deadline and writer._tender.is_alive():
    time.sleep(0.05)
os._exit(0 if segments(root, "feedback") else 3)  # without `close`, which would seal it in any case
"""


def _ids(root: Path) -> list[str]:
    ids: list[str] = Journal(root).predictions()["id"].to_pylist()
    return ids


def test_what_was_appended_is_there_before_the_writer_ends(root: Path, make: Make) -> None:
    sink = ParquetSink(root)
    logged = [make(), make()]

    sink.append(logged)

    assert [to_prediction(row) for row in to_rows(Journal(root).predictions())] == logged
    sink.close()
    assert [to_prediction(row) for row in to_rows(Journal(root).predictions())] == logged
    assert not list((root / "spool").iterdir())


def test_a_writer_changes_spools_and_nothing_is_lost_or_doubled(root: Path, make: Make) -> None:
    writer = Writer(root, max_rows=10)
    logged = [make() for _ in range(35)]

    for each in logged:
        writer.append([prediction_payload(each)])
    assert _ids(root) == [each.id for each in logged]
    writer.close()

    assert len(segments(root, "predictions")) == 4
    assert _ids(root) == [each.id for each in logged]


def test_a_spool_that_is_old_is_sealed_while_the_writer_lives(root: Path, make: Make) -> None:
    writer = Writer(root, max_age=0.0)
    writer.append([prediction_payload(make())])

    deadline = time.monotonic() + 20
    while not segments(root, "predictions") and time.monotonic() < deadline:
        time.sleep(0.05)

    assert len(segments(root, "predictions")) == 1
    assert len(_ids(root)) == 1
    writer.close()


def test_segment_names_say_the_times_of_their_rows(root: Path, make: Make) -> None:
    sink = ParquetSink(root)
    logged = [make() for _ in range(3)]
    sink.append(logged)
    sink.feedback([Feedback(logged[0].id, "4", now(), "digits")])
    sink.close()

    (segment,) = segments(root, "predictions")
    (labels,) = segments(root, "feedback")

    assert segment.first <= logged[0].at <= logged[-1].at == segment.last
    assert segment.stem == labels.stem


def test_a_spool_seen_in_both_forms_counts_once(root: Path, make: Make, tmp_path: Path) -> None:
    spool = Spool(root / "spool")
    spool.append([prediction_payload(make())], 1)
    spool.close()
    copy = shutil.copy(spool.path, tmp_path / "copy")
    seal(root, spool.path)
    shutil.copy(copy, spool.path)  # as if the sealer had been killed before it could remove the spool

    assert len(_ids(root)) == 1
    assert seal_abandoned(root) == 1
    assert len(_ids(root)) == 1
    assert not spool.path.exists()


def test_a_running_writers_spool_is_left_alone(root: Path, make: Make) -> None:
    first = ParquetSink(root)
    first.append([make()])

    second = ParquetSink(root)
    second.append([make()])
    second.close()

    assert len(list((root / "spool").glob("*.spool"))) == 1
    first.append([make()])
    assert len(_ids(root)) == 3
    first.close()
    assert len(_ids(root)) == 3


def test_a_torn_tail_is_ignored_and_kept_aside(root: Path, make: Make) -> None:
    spool = Spool(root / "spool")
    spool.append([prediction_payload(make())], 1)
    spool.close()
    with spool.path.open("ab") as file:
        file.write(b"\x40\x00\x00\x00half")

    assert len(_ids(root)) == 1
    seal_abandoned(root)

    assert len(_ids(root)) == 1
    assert (root / "torn" / spool.stem).read_bytes() == b"\x40\x00\x00\x00half"


def test_a_spool_that_cannot_be_read_does_not_stop_the_sealing_of_others(root: Path, make: Make) -> None:
    spool = Spool(root / "spool")
    spool.append([prediction_payload(make())], 1)
    spool.close()
    foreign = root / "spool" / "00-foreign.spool"
    foreign.write_bytes(b"something else")

    assert seal_abandoned(root) == 1

    assert foreign.read_bytes() == b"something else"
    assert len(segments(root, "predictions")) == 1


def test_a_spool_that_cannot_be_opened_is_not_free(root: Path) -> None:
    (root / "spool").mkdir(parents=True)
    path = root / "spool" / "00-loop.spool"
    path.symlink_to(path)

    with abandoned(path) as free:
        assert free is False
    assert seal_abandoned(root) == 0


def test_a_writer_that_cannot_look_for_abandoned_spools_seals_its_own(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _NO_FILES, str(root)], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert len(segments(root, "feedback")) == 1


def test_half_a_batch_is_taken_back_and_the_next_is_found(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(root)], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "writing the prediction log" in done.stdout
    (path,) = root.glob("*.spool")
    content = path.read_bytes()
    assert b"first" in content
    assert content.endswith(b"second")
    assert b"xx" not in content


@pytest.mark.parametrize("seed", range(3))
def test_kill_9_loses_nothing_that_was_acknowledged(root: Path, seed: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", _WRITER, str(root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = process.stdout.readline().split()
    time.sleep(random.Random(seed).uniform(0.01, 0.4))
    process.send_signal(signal.SIGKILL)
    lines = process.stdout.read().split("\n")
    process.stdout.close()
    process.wait()
    for line in lines[:-1]:
        acknowledged += line.split()

    for _ in range(2):  # as the dead process left it, and after the next writer sealed it
        ids = _ids(root)
        assert len(ids) == len(set(ids))
        assert set(acknowledged) <= set(ids)
        assert len(ids) - len(acknowledged) <= 3
        ParquetSink(root).close()
    assert not list((root / "spool").iterdir())
