"""What a script and its children read and write is recorded by content, whoever opens it."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.capture.conftest import TIDEMILL, Folder

NATIVE = """
import sys
import pyarrow as pa, pyarrow.parquet as pq
pq.read_table('in.parquet'); pq.write_table(pa.table({'b': [1]}), 'arrow.parquet')
import polars as pl
pl.read_parquet('polars_in.parquet').write_parquet('polars.parquet')
import duckdb
duckdb.sql("copy (select * from 'duck.csv') to 'duck.parquet'")
import numpy as np, xgboost as xgb
xgb.Booster(model_file='given.ubj').save_model('model.ubj')
"""


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def files(folder: Folder, kind: str) -> dict[str, Any]:
    return {file["path"]: file for file in folder.show()["captured"][kind]}


@pytest.fixture
def native(folder: Folder) -> Folder:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import xgboost as xgb

    for name in ("in.parquet", "polars_in.parquet"):
        pq.write_table(pa.table({"a": [1, 2]}), folder.path / name)
    folder.write("duck.csv", "x,y\n1,2\n")
    booster = xgb.train({"nthread": 1}, xgb.DMatrix(np.eye(4), label=np.arange(4)), 2)
    booster.save_model(folder.path / "given.ubj")
    folder.write("a.py", NATIVE)
    return folder


def test_native_code_is_seen(native: Folder) -> None:
    done = native.python("a.py")
    assert done.returncode == 0, done.stderr.decode()
    reads, writes = files(native, "reads"), files(native, "writes")
    assert set(reads) == {"in.parquet", "polars_in.parquet", "duck.csv", "given.ubj"}
    assert set(writes) == {"arrow.parquet", "polars.parquet", "duck.parquet", "model.ubj"}
    for name, file in {**reads, **writes}.items():
        assert file["digest"] == digest((native.path / name).read_bytes()), name
    assert native.show()["captured"]["seen_by"] == ["native"]


def test_native_code_is_seen_without_the_library(native: Folder) -> None:
    done = native.python("a.py", options=("--no-preload",))
    assert done.returncode == 0, done.stderr.decode()
    assert native.names("reads") == {"in.parquet", "polars_in.parquet", "duck.csv", "given.ubj"}
    assert native.names("writes") == {"arrow.parquet", "polars.parquet", "duck.parquet", "model.ubj"}
    assert native.show()["captured"]["seen_by"] == ["audit", "inotify"]
    assert "a.py" in native.names("sources")


CHILDREN = """
import multiprocessing as mp, os, subprocess, sys
def read(name): return open(name).read()
if __name__ == '__main__':
    for method in ('fork', 'spawn', 'forkserver'):
        with mp.get_context(method).Pool(1) as pool: pool.map(read, [f'{method}.txt'])
    subprocess.run(['cat', 'cat.txt'], check=True)
    subprocess.run([sys.executable, '-I', '-c', "open('isolated.txt').read()"], env={}, check=True)
    os.system('cp shell.txt copied.txt')
    os.chdir('sub')
    open('moved.txt').read()
    os.execv(sys.executable, [sys.executable, '-c', "open('exec.txt').read()"])
"""


def test_all_children_are_seen(folder: Folder) -> None:
    names = ["fork.txt", "spawn.txt", "forkserver.txt", "cat.txt", "isolated.txt", "shell.txt"]
    names += ["sub/moved.txt", "sub/exec.txt"]
    for name in names:
        folder.write(name, name)
    folder.write("a.py", CHILDREN)
    done = folder.run("sh", "-c", f"'{sys.executable}' a.py && echo done > said.txt")
    assert done.returncode == 0, done.stderr.decode()
    assert folder.names("reads") == set(names)
    assert folder.names("writes") == {"copied.txt", "said.txt"}
    assert folder.names("sources") == {"a.py"}


def test_a_daemon_is_seen_until_the_script_ends(folder: Folder) -> None:
    folder.write("in.txt", "x")
    folder.write("a.py", "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
                         "        os.closerange(0, 256)\n        open('in.txt').read()\n        os._exit(0)\n"
                         "    os._exit(0)\n"
                         "os.wait(); time.sleep(0.3)")  # fmt: skip
    assert folder.python("a.py").returncode == 0
    assert folder.names("reads") == {"in.txt"}


def test_what_happens_to_a_file_after_it_was_read(folder: Folder) -> None:
    for name in ("gone.csv", "changed.csv", "kept.csv", "locked.csv"):
        folder.write(name, name * 3)
    folder.write("a.py", """
import os, time
for name in ('gone.csv', 'changed.csv', 'kept.csv'): open(name).read()
open('locked.csv', 'r+').read()
time.sleep(0.8)  # long enough for the digests
open('changed.csv', 'w').write('another')
os.remove('gone.csv')
open('temporary.txt', 'w').write('x'); open('temporary.txt').read(); os.remove('temporary.txt')
open('part', 'w').write('whole'); os.replace('part', 'final.txt'); open('final.txt').read()
os.makedirs('stage/deep'); open('stage/deep/x.bin', 'w').write('x'); os.rename('stage', 'result')
""")  # fmt: skip
    assert folder.python("a.py").returncode == 0
    reads, writes = files(folder, "reads"), files(folder, "writes")
    assert {name: file["digest"] for name, file in reads.items()} == {
        name: digest((name * 3).encode()) for name in ("gone.csv", "changed.csv", "kept.csv", "locked.csv")
    }
    assert {name: file["digest"] for name, file in writes.items()} == {
        "changed.csv": digest(b"another"), "final.txt": digest(b"whole"), "result/deep/x.bin": digest(b"x"),
    }  # fmt: skip


RENAMES = """
import ctypes, os, platform
number = {'x86_64': 264, 'aarch64': 38}[platform.machine()]  # renameat, past the C library, as Rust's rustix does it
def save(part, name, text):
    open(part, 'w').write(text)
    ctypes.CDLL(None).syscall(number, -100, part.encode(), -100, name.encode())
save('.tmp1', 'once.txt', 'whole'); open('once.txt').read()
save('same.part', 'twice.txt', 'one'); kept = open('twice.txt'); save('same.part', 'twice.txt', 'two')
save('.tmp2', 'linked.txt', 'both'); os.link('linked.txt', 'also.txt')
open('.tmp3', 'w').write('x'); os.remove('.tmp3')
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="the system call has another number")
def test_a_file_that_is_renamed_past_the_c_library_was_written(folder: Folder) -> None:
    folder.write("a.py", RENAMES)
    done = folder.python("a.py")
    assert (done.returncode, done.stderr) == (0, b"")
    assert {name: file["digest"] for name, file in files(folder, "writes").items()} == {
        "once.txt": digest(b"whole"), "twice.txt": digest(b"two"), "linked.txt": digest(b"both"),
        "also.txt": digest(b"both"),
    }  # fmt: skip
    assert folder.names("reads") == set(), "what it wrote itself is no input"


def test_what_was_read_and_could_not_be_digested_is_said(folder: Folder) -> None:
    folder.write("in.csv", "old")
    folder.write("a.py", "open('in.csv').read(); open('in.csv', 'w').write('newer')")
    assert folder.python("a.py").returncode == 0
    read = files(folder, "reads")["in.csv"]
    assert read["digest"] in (None, digest(b"old"))
    assert (read["digest"] is None) == (read["state"] == "changed")


def test_a_fifo_is_no_data_and_blocks_nobody(folder: Folder) -> None:
    os.mkfifo(folder.path / "pipe")
    folder.write("a.py", "print(open('pipe').read())")
    writer = threading.Thread(target=lambda: (folder.path / "pipe").write_text("through"))
    writer.start()
    assert folder.python("a.py").stdout == b"through\n"
    writer.join()
    assert folder.names("reads") == set()


def test_a_full_folder_is_one_line_whose_digest_can_be_checked(folder: Folder) -> None:
    for number in range(300):
        folder.write(f"data/train/{number % 3}/{number}.txt", str(number))
    folder.write("a.py", "import pathlib\nfor p in pathlib.Path('data').rglob('*.txt'): p.read_text()")
    assert folder.python("a.py").returncode == 0
    (line,) = folder.show()["captured"]["reads"]
    assert (line["path"], line["files"]) == ("data/train/", 300)
    command = "find . -type f -name '*.txt' | sed 's,^./,,' | xargs sha256sum | LC_ALL=C sort"
    done = subprocess.run(("sh", "-c", command), cwd=folder.path / "data/train", capture_output=True, check=True)
    assert line["digest"] == digest(done.stdout)
    assert folder.kept("lineage/reads.sha256").count(b"\n") == 300


def test_thousands_of_short_children(folder: Folder) -> None:
    folder.write("in.txt", "x")
    done = folder.run("sh", "-c", "i=0; while [ $i -lt 2000 ]; do /bin/true; i=$((i+1)); done; cat in.txt")
    assert done.stdout == b"x"
    captured = folder.show()["captured"]
    assert captured["started"] == 2002
    assert len(captured["processes"]) == 200
    assert captured["lost"] == 0


def test_code_commit_and_difference(folder: Folder) -> None:
    folder.write("train.py", "import helper.tools\n")
    folder.write("helper/tools.py", "x = 1\n")
    folder.commit()
    folder.write("helper/tools.py", "x = 2\n")
    folder.write("new.py", "pass\n")
    folder.write("huge.csv", "1\n" * 1000)
    assert folder.python("train.py").returncode == 0
    captured = folder.show()["captured"]
    assert set(files(folder, "sources")) == {"train.py", "helper/tools.py"}
    head = subprocess.run(("git", "rev-parse", "HEAD"), cwd=folder.path, capture_output=True, check=True).stdout
    assert captured["commit"] == head.decode().strip()
    difference = folder.kept("lineage/dirty.diff")
    assert captured["dirty"] == digest(difference)
    assert b"+x = 2" in difference
    assert b"new.py" in difference
    assert b"huge.csv" not in difference
    assert captured["python"].startswith(sys.version.split()[0])
    assert captured["packages"]["numpy"]


def test_data_under_dvc_is_named(folder: Folder) -> None:
    folder.write("data/raw/a.csv", "1")
    folder.write("data/raw.dvc", "outs:\n- path: raw\n")
    folder.write("a.py", "open('data/raw/a.csv').read()")
    assert folder.python("a.py").returncode == 0
    assert files(folder, "reads")["data/raw/a.csv"]["data"] == "data/raw.dvc"


def test_outside_of_a_repository(folder: Folder, tmp_path: Path, state: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "a.py").write_text("print(open('/etc/hostname').read() and 1)")
    done = subprocess.run(
        (*TIDEMILL, "run", "a.py"), cwd=alone, env=folder.environment, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"1\n")
    captured = Folder(alone).show()["captured"]
    assert captured["commit"] is None
    assert "is in no git repository" in captured["notes"][0]


def test_who_read_this_content(folder: Folder) -> None:
    folder.write("in.csv", "1,2")
    folder.write("a.py", "import shutil; shutil.copy('in.csv', 'out.csv')")
    assert folder.python("a.py").returncode == 0
    done = folder.bare(*TIDEMILL, "run", "--who", "out.csv", "--json")
    assert b'"how": "read"' in done.stdout
    assert b'"how": "wrote"' in done.stdout
    nobody = folder.write("nobody.txt", "never seen")
    assert folder.bare(*TIDEMILL, "run", "--who", str(nobody)).stdout == b"no run read or wrote this content\n"
