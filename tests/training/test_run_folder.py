"""A run's own folder: what a kill, a power cut or another command that looks at it leaves of it."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tidemill.backends.families._chain import Chain
from tidemill.domain.digest import Digest
from tidemill.domain.run import Code, Environment, RunSpec
from tidemill.errors import BusyError, NotFoundError
from tidemill.stages.chain import WEIGHTS, read_chain
from tidemill.stages.runfolder import LOCK, METRICS, RECORD, Record, RunFolder, begin, is_alive, reopen, sweep

SPEC = RunSpec(
    model="m", config={}, seed=1, code=Code("0" * 40, None),
    environment=Environment("3.12", "linux", {}), dataset="d-v1.0.0", dataset_digest=Digest.of_bytes(b"data"),
)  # fmt: skip
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def left(runs: Path, name: str, *, parent: str = "", minutes: int = 0) -> Path:
    """The folder of a run whose process is gone."""
    with begin(runs, Record(name, SPEC, NOON + timedelta(minutes=minutes), parent=parent)) as folder:
        return folder.path


def test_of_runs_that_did_not_finish_the_newest_are_kept_and_a_grid_pushes_out_no_other(tmp_path: Path) -> None:
    left(tmp_path, "long")
    for minute in range(1, 6):
        left(tmp_path, f"child{minute}", parent="grid", minutes=minute)
    assert [record.run for record in sweep(tmp_path, 3)] == ["child2", "child1"]
    for minute in range(6, 9):
        left(tmp_path, f"later{minute}", minutes=minute)
    assert [record.run for record in sweep(tmp_path, 3)] == ["long"]
    assert len(list(tmp_path.iterdir())) == 6


def test_a_record_is_there_when_the_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing gets its final name before what it holds is on the disk."""
    order: list[str] = []
    fsync, rename = os.fsync, os.rename

    def noted_fsync(handle: int) -> None:
        order.append("fsync " + os.readlink(f"/proc/self/fd/{handle}").rpartition("/")[2])
        fsync(handle)

    def noted_rename(old: Path, new: Path) -> None:
        order.append(f"rename {Path(new).name}")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted_rename)
    left(tmp_path / "runs", "one")
    named = order.index("rename one")
    assert any(RECORD in each for each in order[:named])
    assert order[named + 1 :] == ["fsync runs"]


@pytest.mark.parametrize("torn", [b'{"values": {"loss"', b"\0" * 40, b"\0" * 40 + b"\n", b"[]\n"])
def test_torn_lines_are_left_out(torn: bytes, tmp_path: Path) -> None:
    path = left(tmp_path, "one")
    folder = RunFolder(path, Record("one", SPEC, NOON))
    folder.tell({"loss": 1.0}, 1)
    whole = (path / METRICS).read_bytes()
    (path / METRICS).write_bytes(whole + torn)
    assert folder.told() == [({"loss": 1.0}, 1)]
    assert (path / METRICS).read_bytes() == whole
    chain = Chain(path)
    chain.add(1, [b"weights"])
    links = (path / WEIGHTS).read_bytes()
    (path / WEIGHTS).write_bytes(links + torn)
    chain = Chain(path, chain.last)
    assert (path / WEIGHTS).read_bytes() == links
    assert read_chain(path / WEIGHTS) == [chain.last]


def test_a_run_that_is_only_looked_at_is_not_at_work(tmp_path: Path) -> None:
    path = left(tmp_path, "one")
    with (path / LOCK).open("r+b") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not is_alive(path)
        threading.Timer(0.2, lambda: fcntl.flock(looking, fcntl.LOCK_UN)).start()
        with reopen(tmp_path, "one") as folder:
            assert folder.record.run == "one"
            assert is_alive(path)
            with pytest.raises(BusyError, match="still at work"), reopen(tmp_path, "one"):
                pass


def test_a_run_that_goes_while_it_is_waited_for_left_nothing(tmp_path: Path) -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(begin(tmp_path, Record("one", SPEC, NOON)))

        def end() -> None:
            time.sleep(0.2)
            folder.discard()
            stack.close()

        ending = threading.Thread(target=end)
        ending.start()
        with pytest.raises(NotFoundError, match="left nothing"), reopen(tmp_path, "one"):
            pass
        ending.join()


def test_a_record_of_before_says_no_tracker(tmp_path: Path) -> None:
    path = left(tmp_path, "one")
    text = (path / RECORD).read_text()
    (path / RECORD).write_text(text.replace('  "tracker": null,\n', "").replace(',\n  "tracker": null', ""))
    assert "tracker" not in (path / RECORD).read_text()
    with reopen(tmp_path, "one") as folder:
        assert folder.record == replace(Record("one", SPEC, NOON), tracker=None)
