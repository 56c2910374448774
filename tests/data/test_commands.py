"""`tidemill init` and `tidemill data` as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tidemill.project.layout import Layout

from .conftest import Projects, git, paint_folder, write_csv


def tidemill(cwd: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tidemill", *args], cwd=cwd, capture_output=True, text=True)


@pytest.fixture
def layout(project: Projects) -> Layout:
    return project("tabular")


def test_from_init_to_diff(tmp_path: Path) -> None:
    made = tidemill(tmp_path, "init", "mill", "--task", "tabular", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["versions"][0]["version"] == "1.0.0"
    project = tmp_path / "mill"

    exported = tidemill(project, "data", "export", "1.0.0", "--out", "../raw")
    assert exported.stdout == "wrote 3 files to ../raw\n"
    again = tidemill(project, "data", "add", "../raw", "--name", "mill", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["new"] is False
    (tmp_path / "raw" / "val.parquet").unlink()
    added = tidemill(project, "data", "add", "../raw", "--name", "mill")
    assert added.stdout.startswith("added mill-v1.1.0: ")

    listed = tidemill(project, "data", "list")
    assert [line.split(":")[0] for line in listed.stdout.splitlines()] == ["mill-v1.0.0", "mill-v1.1.0"]
    diff = tidemill(project, "data", "diff", "1.0.0", "mill-v1.1.0")
    assert diff.stdout.startswith("mill-v1.0.0 (")
    assert "removed" in diff.stdout
    plain = json.loads(tidemill(project, "data", "diff", "1.0.0", "1.1.0", "--json").stdout)
    assert plain["splits"][0]["before"] > plain["splits"][0]["after"]


def test_pictures_are_exported_byte_for_byte(project: Projects, tmp_path: Path) -> None:
    layout = project("image")
    for at, split in enumerate(("train", "val", "test")):
        paint_folder(tmp_path / "in" / split, count=4, first=at * 50)
    assert tidemill(layout.root, "data", "add", "../in", "--name", "things").returncode == 0
    assert tidemill(layout.root, "data", "export", "things", "--out", "../out").returncode == 0
    before = {path.relative_to(tmp_path / "in"): path.read_bytes() for path in (tmp_path / "in").rglob("*.png")}
    after = {path.relative_to(tmp_path / "out"): path.read_bytes() for path in (tmp_path / "out").rglob("*.png")}
    assert after == before
    assert tidemill(layout.root, "data", "export", "things", "--out", "../out").returncode == 2
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


WRONG: list[tuple[tuple[str, ...], str]] = [
    (("data", "add", "nowhere.csv", "--name", "x"), "nowhere.csv does not exist"),
    (("data", "add", "../good.csv", "--name", "x/y"), "'x/y' cannot name a data set"),
    (("data", "add", "../good.csv", "--name", "x", "--version", "one"), "'one' is no version"),
    (("data", "add", "../good.csv", "--name", "x", "--target", "goal"), "there is no column 'goal'"),
    (("data", "add", "../good.csv"), "the data set needs a name"),
    (("data", "push"), "no DVC remote"),
    (("data", "diff", "1.0.0", "2.0.0"), "no data version '1.0.0'"),
    (("data", "export", "x-v1.0.0", "--out", "out"), "no data version"),
    (("init", "../taken", "--task", "image"), "../taken exists already"),
    (("init", "x", "--task", "image", "--empty", "--sample", "digits"), "exclude each other"),
]


@pytest.mark.parametrize(("args", "headline"), WRONG)
def test_wrong_input_is_one_line_with_a_remedy_and_changes_nothing(
    layout: Layout, tmp_path: Path, args: tuple[str, ...], headline: str
) -> None:
    write_csv(tmp_path / "good.csv")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    head = git(layout, "rev-parse", "HEAD")
    done = tidemill(layout.root, *args)
    assert done.returncode == 2, done.stdout
    assert done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first.startswith("error: ") and headline in first
    assert second.startswith("       ")
    assert git(layout, "rev-parse", "HEAD") == head
    assert git(layout, "status", "--short") == ""


def test_outside_of_a_project(tmp_path: Path) -> None:
    done = tidemill(tmp_path, "data", "list")
    assert done.returncode == 2
    assert "not in a Tidemill project" in done.stderr


def test_a_light_command_loads_nothing_heavy(layout: Layout) -> None:
    code = (
        "import sys; from tidemill.cli.root import tidemill; tidemill(['data', 'list'], standalone_mode=False);"
        "print(sorted({'dvc', 'pandas', 'torch', 'mlflow', 'sklearn', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=layout.root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
