"""`kill -9` at each file-system step of `data add` and `init`, and a full disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Projects, git, paint, paint_folder, write_csv

pytestmark = pytest.mark.slow
POINTS = int(os.environ.get("TIDEMILL_KILL_POINTS", "4"))

KILLER = """
import os, signal, sys
point, steps, watched = int(sys.argv[1]), 0, os.path.dirname(os.getcwd())
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "shutil.copyfile", "subprocess.Popen"}
def hook(event, args):
    global steps
    if event == "open":
        path, _, flags = args
        if not isinstance(path, str) or not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR):
            return
        if not os.path.abspath(path).startswith(watched):
            return
    elif event not in CHANGES:
        return
    steps += 1
    if steps == point:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
sys.argv = ["tidemill", *sys.argv[2:]]
from tidemill.cli import main
try:
    main()
finally:
    print(steps)
"""


def killed_at(point: int, cwd: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process that kills itself at its `point`-th change of the file system (never at 0)."""
    return subprocess.run([sys.executable, "-c", KILLER, str(point), *args], cwd=cwd, capture_output=True, text=True)


def tidemill(cwd: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tidemill", *args], cwd=cwd, capture_output=True, text=True)


def points(total: int) -> list[int]:
    return sorted({1 + (total - 1) * i // max(1, POINTS - 1) for i in range(POINTS)})


def killed_and_added_again(point: int, broken: Path, *add: str) -> subprocess.CompletedProcess[str]:
    """What the command says that comes after one that was killed there, which left the old versions or the new."""
    assert killed_at(point, broken, *add).returncode == -9
    listed = json.loads(tidemill(broken, "data", "list", "--json").stdout)
    assert [version["version"] for version in listed] in (["1.0.0"], ["1.0.0", "1.1.0"])
    again = tidemill(broken, *add)
    assert again.returncode == 0, (point, again.stderr)
    return again


def assert_clean(project: Path) -> None:
    status = subprocess.run(["git", "status", "--short"], cwd=project, capture_output=True, text=True, check=True)
    assert status.stdout == ""


def test_data_add_killed_anywhere(project: Projects, tmp_path: Path) -> None:
    layout = project("tabular")
    write_csv(tmp_path / "one.csv")
    assert tidemill(layout.root, "data", "add", "../one.csv", "--name", "things").returncode == 0
    add = ("data", "add", "../two.csv", "--name", "things")

    def copy(name: str) -> Path:
        shutil.copytree(layout.root, tmp_path / name / "project", symlinks=True)
        write_csv(tmp_path / name / "two.csv", shift=500)
        return tmp_path / name / "project"

    whole = killed_at(0, copy("whole"), *add)
    assert whole.returncode == 0, whole.stderr
    for point in points(int(whole.stdout.split()[-1])):
        broken = copy(f"at-{point}")
        killed_and_added_again(point, broken, *add)
        listed = json.loads(tidemill(broken, "data", "list", "--json").stdout)
        assert [version["version"] for version in listed] == ["1.0.0", "1.1.0"]
        assert subprocess.run(["git", "fsck"], cwd=broken, capture_output=True).returncode == 0
        assert_clean(broken)
        diff = tidemill(broken, "data", "diff", "1.0.0", "1.1.0")
        assert diff.returncode == 0, diff.stderr


def test_init_killed_anywhere(tmp_path: Path) -> None:
    init = ("init", "mill", "--task", "tabular")

    def place(name: str) -> Path:
        (tmp_path / name / "here").mkdir(parents=True)
        return tmp_path / name / "here"

    whole = killed_at(0, place("whole"), *init)
    assert whole.returncode == 0, whole.stderr
    for point in points(int(whole.stdout.split()[-1])):
        here = place(f"at-{point}")
        assert killed_at(point, here, *init).returncode == -9
        if not (here / "mill").exists():
            again = tidemill(here, *init)
            assert again.returncode == 0, (point, again.stderr)
        assert sorted(os.listdir(here)) == ["mill"]
        listed = json.loads(tidemill(here / "mill", "data", "list", "--json").stdout)
        assert [version["version"] for version in listed] == ["1.0.0"]


def test_growing_pictures_killed_anywhere(project: Projects, tmp_path: Path) -> None:
    """The second version links shards of the first, writes one again without a row, and writes a new one."""
    layout = project("image")
    for at, split in enumerate(("train", "val", "test")):
        paint_folder(tmp_path / "in" / split, count=8, first=at * 100)
    assert tidemill(layout.root, "data", "add", "../in", "--name", "things").returncode == 0
    add = ("data", "add", "../in", "--name", "things", "--json")

    def copy(name: str) -> Path:
        shutil.copytree(layout.root, tmp_path / name / "project", symlinks=True)
        shutil.copytree(tmp_path / "in", tmp_path / name / "in")
        (tmp_path / name / "in" / "train" / "a" / "000.png").unlink()
        paint(tmp_path / name / "in" / "test" / "b" / "900.png", 4_000)
        return tmp_path / name / "project"

    whole = killed_at(0, copy("whole"), *add)
    assert whole.returncode == 0, whole.stderr
    for point in points(int(whole.stdout.split()[-1])):
        broken = copy(f"at-{point}")
        again = killed_and_added_again(point, broken, *add)
        assert json.loads(again.stdout)["version"]["version"] == "1.1.0"
        for version in ("1.0.0", "1.1.0"):
            out = broken.parent / version
            done = tidemill(broken, "data", "export", version, "--out", str(out))
            assert done.returncode == 0, (point, done.stderr)
        assert subprocess.run(["diff", "-r", "in", "1.1.0"], cwd=broken.parent).returncode == 0
        assert subprocess.run(["diff", "-r", tmp_path / "in", "1.0.0"], cwd=broken.parent).returncode == 0
        assert_clean(broken)


FULL_DISK = """
set -e
mount -t tmpfs -o size=3m tmpfs "$1"
cp -r "$2" "$1/project"
cd "$1/project"
set +e
"$3" -m tidemill data add "$4" --name things >"$5/out" 2>"$5/err"
echo $? >"$5/code"
git status --short >"$5/status"
"$3" -m tidemill data list --json >"$5/list"
"""


def test_a_full_disk_is_said_and_nothing_is_half_written(project: Projects, tmp_path: Path) -> None:
    layout = project("tabular")
    write_csv(tmp_path / "one.csv")
    assert tidemill(layout.root, "data", "add", "../one.csv", "--name", "things").returncode == 0
    shutil.rmtree(layout.state)
    lines = (f"{row / 7},{row * 7919 % 65537},c{row % 11},{'yes' if row % 2 else 'no'}\n" for row in range(400_000))
    (tmp_path / "big.csv").write_text("size,count,colour,target\n" + "".join(lines))
    (tmp_path / "small").mkdir()
    arguments = [tmp_path / "small", layout.root, sys.executable, tmp_path / "big.csv", tmp_path]
    done = subprocess.run(["unshare", "-m", "sh", "-c", FULL_DISK, "sh", *map(str, arguments)], capture_output=True)
    if done.returncode and not (tmp_path / "code").exists():
        pytest.skip("needs root and mount namespaces to make a small disk")
    assert (tmp_path / "code").read_text().strip() == "1"
    assert "the disk is full" in (tmp_path / "err").read_text()
    assert (tmp_path / "status").read_text() == ""
    assert [version["version"] for version in json.loads((tmp_path / "list").read_text())] == ["1.0.0"]
    assert git(layout, "status", "--short") == ""


def test_a_disk_that_fills_while_pictures_are_packed(project: Projects, tmp_path: Path) -> None:
    layout = project("image")
    folder = tmp_path / "in"
    for at, split in enumerate(("train", "val", "test")):
        paint_folder(folder / split, count=10, first=at * 100)
    assert tidemill(layout.root, "data", "add", "../in", "--name", "things").returncode == 0
    shutil.rmtree(layout.state)
    for path in (folder / "train").rglob("*.png"):
        path.write_bytes(path.read_bytes() + os.urandom(200_000))
    (tmp_path / "small").mkdir()
    arguments = [tmp_path / "small", layout.root, sys.executable, folder, tmp_path]
    done = subprocess.run(["unshare", "-m", "sh", "-c", FULL_DISK, "sh", *map(str, arguments)], capture_output=True)
    if done.returncode and not (tmp_path / "code").exists():
        pytest.skip("needs root and mount namespaces to make a small disk")
    assert (tmp_path / "code").read_text().strip() == "1"
    assert "the disk is full" in (tmp_path / "err").read_text()
    assert (tmp_path / "status").read_text() == ""
    assert [version["version"] for version in json.loads((tmp_path / "list").read_text())] == ["1.0.0"]
