"""`tidemill init`: whole projects for the three tasks, or nothing."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from tidemill.config.compose import compose
from tidemill.dataset.read import open_dataset
from tidemill.domain.dataset import Kind, Task
from tidemill.errors import InputError
from tidemill.project import data, samples, scaffold
from tidemill.project.layout import Layout, read_marker

from .conftest import git

MADE: list[tuple[Task, str, Kind, int, int]] = [
    ("image", "default", "classification", 1797, 10),
    ("tabular", "default", "classification", 569, 2),
    ("tabular", "diabetes", "regression", 442, 0),
    ("text", "default", "classification", 2000, 2),
]


@pytest.mark.parametrize(("task", "sample", "kind", "rows", "classes"), MADE)
def test_a_project_is_whole(tmp_path: Path, task: Task, sample: str, kind: Kind, rows: int, classes: int) -> None:
    layout = scaffold.init(tmp_path / "mill", name="mill", task=task, sample=sample)
    assert read_marker(layout).name == "mill"
    (version,) = data.versions(layout)
    assert version.tag == "mill-v1.0.0"
    assert (version.task, version.kind, len(version.classes)) == (task, kind, classes)
    assert version.rows >= rows if task == "text" else version.rows == rows
    assert git(layout, "status", "--short") == ""
    assert git(layout, "rev-parse", "--abbrev-ref", "HEAD") == "main"
    assert os.listdir(tmp_path) == ["mill"]
    assert open_dataset(layout.data / "mill", verify=True).version == data.open_version(layout, "mill").version
    assert layout.state.stat().st_mode & 0o022 == 0
    composed = compose(layout.conf, [], name="mill", task=task)
    assert composed.data.name == "mill"
    if task == "image":
        assert (composed.data.image.height, composed.data.image.width, composed.data.image.mode) == (8, 8, "L")


def test_the_digits_are_those_of_scikit_learn(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    known, folder = load_digits(), samples.write_digits(tmp_path)
    files = sorted(folder.rglob("*.png"), key=lambda file: file.stem)
    assert [int(file.parent.name) for file in files] == known.target.tolist()
    for file, image in zip(files[::100], known.images[::100], strict=True):
        assert list(Image.open(file).tobytes()) == (image * (255 / 16)).round().astype(int).ravel().tolist()


def test_examples_are_real_requests(tmp_path: Path) -> None:
    image = scaffold.init(tmp_path / "image", name="digits", task="image")
    seven = (image.root / "examples" / "seven.png").read_bytes()
    test = data.open_version(image, "digits").examples("test")
    assert test.labels[list(test.inputs).index(seven)] == "7"
    picture = Image.open(io.BytesIO(seven))
    assert (picture.size, picture.mode) == ((8, 8), "L")

    table = scaffold.init(tmp_path / "table", name="cancer", task="tabular")
    (row,) = json.loads((table.root / "examples" / "request.json").read_text())["inputs"]
    assert set(row) == {column.name for column in data.open_version(table, "cancer").version.features}


def test_an_empty_project_takes_its_first_data(tmp_path: Path) -> None:
    layout = scaffold.init(tmp_path / "digits", name="digits", task="image", sample=None)
    assert data.versions(layout) == []
    raw = samples.write_digits(tmp_path / "raw", withhold=("8", "9"))
    version = data.add(layout, raw, name="digits")
    assert version.split("test").classes.keys() == {str(digit) for digit in range(10)}
    for split in ("train", "val"):
        assert version.split(split).classes.keys() == {str(digit) for digit in range(8)}
    full = data.add(layout, samples.write_digits(tmp_path / "full"), name="digits", version="2.0.0")
    assert full.digest == data.versions(scaffold.init(tmp_path / "other", name="digits", task="image"))[0].digest
    first = data.diff(layout, "1.0.0", "2.0.0").splits[0]
    assert first.added == full.split("train").rows - version.split("train").rows
    assert first.removed == 0
    assert git(layout, "status", "--short") == ""


def test_sentences_are_the_same_each_time_and_in_one_form_only(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    first = pq.read_table(samples.write_sentences(tmp_path / "a"))
    assert first.equals(pq.read_table(samples.write_sentences(tmp_path / "b")))
    bags = [tuple(sorted(text.rstrip(".").split())) for text in first["sentence"].to_pylist()]
    natural = {bag for bag, label in zip(bags, first["label"].to_pylist(), strict=True) if label == "natural"}
    scrambled = {bag for bag, label in zip(bags, first["label"].to_pylist(), strict=True) if label == "scrambled"}
    assert len(natural & scrambled) < 20
    assert all(6 <= len(bag) <= 20 for bag in bags)


@pytest.mark.parametrize(
    ("name", "task", "sample", "headline"),
    [
        ("a b", "image", None, "cannot name"),
        ("ok", "sound", None, "no task"),
        ("ok", "tabular", "digits", "no sample 'digits'"),
    ],
)
def test_wrong_words_change_nothing(tmp_path: Path, name: str, task: Task, sample: str | None, headline: str) -> None:
    with pytest.raises(InputError, match=headline):
        scaffold.init(tmp_path / name, name=name, task=task, sample=sample)
    assert os.listdir(tmp_path) == []


def test_what_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("full", "file"):
        with pytest.raises(InputError, match="exists already"):
            scaffold.init(tmp_path / name, name=name, task="image")
    assert os.listdir(tmp_path / "full") == ["file"]
    (tmp_path / "bare").mkdir()
    assert scaffold.init(tmp_path / "bare", name="bare", task="text", sample=None) == Layout(tmp_path / "bare")


def test_what_a_killed_init_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".mill.999999999.tidemill-init" / "project").mkdir(parents=True)
    alive = tmp_path / f".mill.{os.getppid()}.tidemill-init"
    alive.mkdir()
    scaffold.init(tmp_path / "mill", name="mill", task="text", sample=None)
    assert sorted(os.listdir(tmp_path)) == [alive.name, "mill"]


def test_nothing_is_written_to_the_home_folder(tmp_path: Path) -> None:
    import subprocess

    home = tmp_path / "home"
    home.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    command = [sys.executable, "-m", "tidemill", "init", "mill", "--task", "tabular"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert os.listdir(home) == []
