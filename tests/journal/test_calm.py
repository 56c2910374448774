"""What is written on an event loop, and what is not."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.domain.prediction import new_prediction_ids
from tidemill.journal.calm import Calm, file_system
from tidemill.journal.read import Journal
from tidemill.journal.writer import Writer
from tidemill.ports import Answered, Asked

from .conftest import DIGEST

pytestmark = pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="Linux tells its file systems there")


def _answered(rows: int = 1, size: int = 10) -> Answered:
    scores, embedding = np.full((rows, 2), 0.5, np.float32), np.ones((rows, 3), np.float32)
    asked = [Asked("file", 1, b"x" * size, 0.5) for _ in range(rows)]
    return Answered(
        "digits", 1, DIGEST, time.time_ns() // 1000, new_prediction_ids(rows), ["3"] * rows, scores, embedding, asked
    )


def test_file_systems_are_known_by_name(tmp_path: Path) -> None:
    assert file_system(Path("/proc/self")) == "proc"
    assert file_system(tmp_path) not in (None, "proc")
    if Path("/dev/shm").is_mount():
        assert file_system(Path("/dev/shm")) == "tmpfs"


def test_a_file_system_that_may_be_far_away_is_left_to_a_thread() -> None:
    assert not Calm(Path("/proc/self"))


def test_nobody_writes_while_the_disk_is_waited_for(root: Path) -> None:
    writer = Writer(root)
    assert writer.append_at_once(b"payload", 1)
    with writer.calm.syncing():
        assert not writer.append_at_once(b"payload", 1)
    assert writer.append_at_once(b"payload", 1)
    writer.close()


def test_after_a_slow_write_others_write_for_a_while(root: Path) -> None:
    writer = Writer(root)
    writer.calm.wrote(0.001)
    assert writer.append_at_once(b"payload", 1)
    writer.calm.wrote(0.1)
    assert not writer.append_at_once(b"payload", 1)
    writer.close()


def test_nobody_waits_for_another_writer_or_for_a_new_spool(root: Path) -> None:
    writer = Writer(root, max_rows=3)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with writer._lock:
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    assert not writer.append_at_once(b"payload", 1)
    done.set()
    thread.join()
    assert writer.append_at_once(b"payload", 3)
    assert not writer.append_at_once(b"payload", 1), "the spool is full: another is not made at once"
    assert not writer.append_at_once(b"x" * (1 << 20), 1)
    writer.close()


def test_what_was_written_at_once_is_in_the_log(root: Path) -> None:
    sink = ParquetSink(root)
    batches = [_answered(rows) for rows in (1, 3, 2)]
    assert [sink.answered_at_once(batch) for batch in batches] == [True] * 3
    assert not sink.answered_at_once(_answered(2, 1 << 20)), "much is left to a thread"
    found = Journal(root).predictions()
    assert sorted(found["id"].to_pylist()) == sorted(each for batch in batches for each in batch.ids)
    sink.close()
