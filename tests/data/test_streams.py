"""Tables are read in a stream: what a later block holds counts as if the whole file were read at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.dataset import lines, tables
from tidemill.dataset.read import PackedDataset
from tidemill.errors import DataError

from .reading import read

CELLS = ["", "1", "2", "2.5", "-3e2", "true", "false", "red", "2024-01-31", "2024-01-31 10:00:00", "10:00:00", "NA"]


@settings(deadline=None, max_examples=80)
@given(st.lists(st.sampled_from(CELLS), min_size=3, max_size=30), st.integers(24, 80))
def test_the_types_are_those_of_the_whole_file(
    tmp_path_factory: pytest.TempPathFactory, cells: list[str], block: int
) -> None:
    file = tmp_path_factory.mktemp("types") / "t.csv"
    file.write_text("a,b\n" + "".join(f"{cell},{row}\n" for row, cell in enumerate(cells)))
    whole = pacsv.read_csv(file, convert_options=pacsv.ConvertOptions(null_values=lines.MISSING))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lines, "_BLOCK", block)
        schema, batches = lines.Lines.open(file, True, frozenset()).typed()
        read_ = pa.Table.from_batches(list(batches()), schema)
    assert schema == whole.schema
    assert read_.equals(whole)


def test_a_late_word_makes_a_column_text_or_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_BLOCK", 500)
    rows = [f"{row},{row / 2},{'xy'[row % 2]}" for row in range(300)]
    (tmp_path / "t.csv").write_text("\n".join(["size,share,target", *rows, "big,1.5,x"]) + "\n")
    with pytest.raises(DataError, match="'size' holds numbers, but row 301 holds 'big'"):
        read(tmp_path / "t.csv", "tabular")


def test_batches_and_buckets_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tidemill.dataset import hashes

    rows = "".join(f"{row % 50},{row % 7 / 2},{'xyz'[row % 3]}\n" for row in range(900))
    (tmp_path / "t.csv").write_text("size,share,target\n" + rows)
    whole = read(tmp_path / "t.csv", "tabular")
    monkeypatch.setattr(lines, "_BLOCK", 300)
    monkeypatch.setattr(tables, "_ROWS", 10)
    monkeypatch.setattr(hashes, "LIMIT", 100)
    streamed = read(tmp_path / "t.csv", "tabular")
    assert streamed.version.digest == whole.version.digest
    assert _sorted(streamed) == _sorted(whole)


def _sorted(data: PackedDataset) -> list[object]:
    return [sorted(map(str, data.table(split.name).to_pylist())) for split in data.version.splits]


MEASURE = """
import re, sys, tempfile
from pathlib import Path
from tidemill.stages.ingest import Reading, ingest
ingest(Path(sys.argv[1]), Path(tempfile.mkdtemp(dir=sys.argv[2])), name="t", version="1.0.0", task="tabular",
       reading=Reading(), previous=None, note=lambda _: None, progress=lambda *_: None)
# ru_maxrss would begin at what the process that started this one had
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    peaks = []
    for rows in (200_000, 1_600_000):
        file = tmp_path / f"{rows}.csv"
        with file.open("w") as handle:
            handle.write("size,count,colour,note,target\n")
            for row in range(rows):
                handle.write(
                    f"{row / 7:.6f},{row * 7919 % 65537},{'red' if row % 3 else 'green'},n{row % 999},c{row % 5}\n"
                )
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(file), str(tmp_path)], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout))
    assert peaks[1] < 700, peaks  # MB; the file alone is 60, its rows' hashes 51
    assert peaks[1] - peaks[0] < 300, peaks
