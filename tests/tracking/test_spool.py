"""The spool of a run: whole entries or none, whatever cuts a writer short."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tidemill.backends.trackers._spool import Spool, waiting_spools
from tidemill.errors import BusyError, StorageError
from tidemill.journal.frames import read_frames


def _said(spool: Spool) -> list[object]:
    return [entry.said["n"] for entry in spool.read()]


def test_a_torn_entry_is_cut_off_and_the_next_is_read(tmp_path: Path) -> None:
    first = Spool.new(tmp_path)
    for number in range(3):
        first.append({"n": number})
    first.close()
    path = first.folder / "entries"
    content = path.read_bytes()
    whole = len(content) - (len(content) - 8) // 3
    for size in range(whole, len(content)):
        path.write_bytes(content[:size])
        again = Spool(first.folder)
        assert _said(again) == [0, 1]
        again.append({"n": "after"}, durable=True)
        assert _said(again) == [0, 1, "after"]
        again.close()


def test_what_is_shipped_is_not_read_again(tmp_path: Path) -> None:
    spool = Spool.new(tmp_path)
    for number in range(5):
        spool.append({"n": number})
    spool.shipped(spool.read()[1].end, "run")
    spool.close()
    (again,) = waiting_spools(tmp_path)
    assert (again.run, _said(again), again.waiting()) == ("run", [2, 3, 4], 3)
    again.close(remove=True)
    assert not list(tmp_path.iterdir())


def test_an_entry_longer_than_what_is_read_at_once(tmp_path: Path) -> None:
    spool = Spool.new(tmp_path)
    long = "x" * (5 << 20)
    for said in (1, long, 2):
        spool.append({"n": said})
    found: list[object] = []
    while entries := spool.read():
        found += [entry.said["n"] for entry in entries]
        spool.shipped(entries[-1].end, None)
    assert found == [1, long, 2]
    spool.close()


def test_a_spool_has_one_owner(tmp_path: Path) -> None:
    spool = Spool.new(tmp_path)
    with pytest.raises(BusyError):
        Spool(spool.folder)
    assert list(waiting_spools(tmp_path)) == []
    spool.close()


def test_another_format_is_refused(tmp_path: Path) -> None:
    spool = Spool.new(tmp_path)
    spool.close()
    (spool.folder / "entries").write_bytes(b"TMRUNS\x00\x02 from the future")
    with pytest.raises(StorageError, match="upgrade"):
        Spool(spool.folder)


_FILLS = """
import resource, sys
from pathlib import Path
from tidemill.backends.trackers._spool import Spool
from tidemill.errors import StorageError
spool, number = Spool.new(Path(sys.argv[1])), 0
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
try:
    while True:
        spool.append({"n": number})
        number += 1
except StorageError as error:
    print(number, error.headline)
"""


def test_a_disk_without_room_loses_nothing_that_was_taken(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _FILLS, str(tmp_path)], capture_output=True, text=True, check=True)
    number, _, headline = done.stdout.partition(" ")
    assert "keeping what the tracking server is to get" in headline
    (spool,) = waiting_spools(tmp_path)
    assert _said(spool) == list(range(int(number)))
    spool.append({"n": "after"})
    assert _said(spool)[-1] == "after"
    spool.close()


def _three(root: Path) -> tuple[Path, bytes, list[int]]:
    """A closed spool of a start and three numbers, its content, and where its frames begin."""
    spool = Spool.new(root)
    spool.append({"kind": "start", "n": "start"})
    for number in range(3):
        spool.append({"kind": "metrics", "n": number})
    spool.close()
    content = (spool.folder / "entries").read_bytes()
    return spool.folder, content, [each.offset for each in read_frames(content).frames]


def test_a_flipped_bit_costs_one_entry_and_the_file_is_set_aside(tmp_path: Path) -> None:
    folder, content, starts = _three(tmp_path)
    for position in range(starts[1], len(content)):
        altered = bytearray(content)
        altered[position] ^= 0x40
        (folder / "entries").write_bytes(altered)
        spool = Spool(folder)
        hit = sum(position >= start for start in starts) - 2
        assert _said(spool) == ["start", *(number for number in range(3) if number != hit)]
        assert spool.damaged is not None
        assert spool.damaged.read_bytes() == altered
        spool.append({"n": "after"})
        assert _said(spool)[-1] == "after"
        spool.close()


def test_zeros_that_a_power_cut_leaves_are_a_torn_end(tmp_path: Path) -> None:
    folder, content, starts = _three(tmp_path)
    for tail in (bytes(8), bytes(100), content[starts[3] : starts[3] + 12] + bytes(len(content) - starts[3] - 12)):
        (folder / "entries").write_bytes(content[: starts[3]] + tail)
        spool = Spool(folder)
        assert (_said(spool), spool.damaged) == (["start", 0, 1], None)
        spool.close()


@pytest.mark.parametrize(
    "shipped", [b"", b"\0\0\0", b"[]", b'{"offset": "x", "run": null}', b'{"offset": 999999, "run": "r"}',
                b'{"offset": 11, "run": "r"}'],
)  # fmt: skip
def test_an_offset_that_cannot_be_means_that_nothing_was_sent(shipped: bytes, tmp_path: Path) -> None:
    folder, _, _ = _three(tmp_path)
    (folder / "shipped").write_bytes(shipped)
    (spool,) = waiting_spools(tmp_path)
    assert (_said(spool), spool.damaged) == (["start", 0, 1, 2], None)
    spool.close()


def test_one_of_a_newer_format_keeps_nobody_waiting(tmp_path: Path) -> None:
    newer, _, _ = _three(tmp_path)
    other, _, _ = _three(tmp_path)
    (newer / "entries").write_bytes(b"TMRUNS\x00\x02 from the future")
    heard: list[StorageError] = []
    (found,) = waiting_spools(tmp_path, heard.append)
    found.close()
    assert (found.local, [newer.name in each.headline for each in heard]) == (other.name, [True])


_LOOPS = """
import sys
from pathlib import Path
from tidemill.backends.trackers._spool import waiting_spools
print("ready", flush=True)
while True:
    for spool in waiting_spools(Path(sys.argv[1])):
        spool.close(remove=True)
"""


def test_a_spool_that_begins_is_not_taken_by_who_looks_for_dead_ones(tmp_path: Path) -> None:
    looking = subprocess.Popen([sys.executable, "-c", _LOOPS, str(tmp_path)], stdout=subprocess.PIPE)
    assert looking.stdout is not None
    try:
        looking.stdout.readline()
        for number in range(300):
            spool = Spool.new(tmp_path)
            spool.append({"n": number})
            assert _said(spool) == [number]
            spool.close(remove=True)
    finally:
        looking.kill()
        looking.wait()
        looking.stdout.close()
