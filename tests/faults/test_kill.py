"""`kill -9` at any system call of a command leaves the old or the new state, and the next command works."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Copier
from .kill import kill_at, length, points, tidemill

pytestmark = pytest.mark.slow


def _sound(project: Path) -> None:
    """What must hold in any project at any time."""
    doctor = tidemill("doctor", cwd=project)
    assert doctor.code == 0, doctor.out
    assert subprocess.run(["git", "fsck"], cwd=project, capture_output=True).returncode == 0
    assert subprocess.run(["git", "diff", "--quiet"], cwd=project).returncode == 0


def _sweep(
    copy: Callable[[str], Path],
    args: tuple[str, ...],
    *,
    settled: Callable[[Path], None],
    again: tuple[int, ...] = (0,),
) -> None:
    """Kill `args` at each point in a fresh copy; then the same command, run again, ends with a code in `again`."""
    total = length(args, copy("whole"))
    for number, point in enumerate(points(total)):
        project = copy(f"killed-{number}")
        kill_at(args, project, point)
        done = tidemill(*args, cwd=project)
        assert done.code in again, f"killed at {point} of {total}: {done.err}"
        _sound(project)
        settled(project)


def test_init(tmp_path: Path) -> None:
    args = ("init", "cancer", "--task", "tabular")

    def empty(name: str) -> Path:
        (tmp_path / name).mkdir()
        return tmp_path / name

    total = length(args, empty("whole"))
    for number, point in enumerate(points(total)):
        folder = empty(f"killed-{number}")
        kill_at(args, folder, point)
        assert tidemill(*args, cwd=folder).code in (0, 2)  # 2: it was whole already, and says so
        _sound(folder / "cancer")
        listed = json.loads(tidemill("data", "list", "--json", cwd=folder / "cancer").out)
        assert [version["version"] for version in listed] == ["1.0.0"]
        left = {entry.name for entry in folder.iterdir()} - {"cancer"}
        assert not left, f"killed at {point} of {total}"


def test_data_add(fresh: Copier, tmp_path: Path) -> None:
    table = tmp_path / "more.csv"
    header = "size,colour,label\n"
    table.write_text(header + "".join(f"{i % 97},{'red' if i % 3 else 'blue'},{i % 2}\n" for i in range(500)))

    def settled(project: Path) -> None:
        listed = json.loads(tidemill("data", "list", "--json", cwd=project).out)
        assert {(v["name"], v["version"]) for v in listed} == {("cancer", "1.0.0"), ("more", "1.0.0")}
        clone = project.parent / f"{project.name}-clone"
        subprocess.run(["git", "clone", "-q", str(project), str(clone)], check=True)

    _sweep(fresh, ("data", "add", str(table), "--name", "more"), settled=settled)


def test_train(fresh: Copier) -> None:
    def settled(project: Path) -> None:
        versions = json.loads(tidemill("models", "list", "--json", cwd=project).out)
        assert versions, "the run that followed registered nothing"

    _sweep(fresh, ("train", "model=linear"), settled=settled)


def test_export(trained: Copier) -> None:
    _sweep(trained, ("export", "cancer/2"), settled=lambda project: None)


def test_promote(trained: Copier) -> None:
    def settled(project: Path) -> None:
        history = json.loads(tidemill("models", "history", "cancer", "--json", cwd=project).out)
        promoted = [line["payload"]["version"] for line in history if line["kind"] == "promoted"]
        assert promoted == [1, 2]
        manifest = json.loads((project / ".tidemill/serving/cancer/champion.json").read_text())
        assert manifest["version"] == 2

    _sweep(trained, ("models", "promote", "cancer", "2", "--force", "sweep"), settled=settled, again=(0, 2))
