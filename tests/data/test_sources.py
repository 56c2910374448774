"""Data that is fetched, packed in archives or in Parquet, and tables whose target is derived."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.config.groups import PACKAGED
from tidemill.dataset.reading import Steps
from tidemill.domain.digest import Digest
from tidemill.errors import DataError, NotFoundError
from tidemill.project import data
from tidemill.project.configuration import config
from tidemill.project.layout import Layout
from tidemill.stages.ingest import Reading

from .conftest import Projects, git, paint, paint_folder, write_csv
from .reading import read
from .site import Site
from .test_archives import pack


def test_an_address_is_added_and_other_bytes_later_are_said(project: Projects, site: Site, tmp_path: Path) -> None:
    layout = project("tabular")
    site.files["t.csv"] = write_csv(tmp_path / "t.csv").read_bytes()
    add = ("data", "add", site.address("t.csv"), "--name", "things", "--allow-http", "--json")
    first = json.loads(_tidemill(layout, *add).stdout)
    digest = str(Digest.of_bytes(site.files["t.csv"]))
    assert first["version"]["source"] == {site.address("t.csv"): digest}
    assert json.loads(git(layout, "show", "things-v1.0.0:data/things.json"))["source"] == first["version"]["source"]
    assert not json.loads(_tidemill(layout, *add).stdout)["new"]
    pinned = (*add, "--digest", digest)
    site.files["t.csv"] = write_csv(tmp_path / "t.csv", shift=7).read_bytes()
    shutil.rmtree(layout.cache / "sources")
    refused = _tidemill(layout, *pinned)
    assert refused.returncode == 2 and "other bytes than pinned" in refused.stderr
    second = json.loads(_tidemill(layout, *add).stdout)
    assert second["new"] and any("other bytes now than when things-v1.0.0" in note for note in second["notes"])


def _tidemill(layout: Layout, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tidemill", *args], cwd=layout.root, capture_output=True, text=True)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".zip"])
def test_an_archive_of_class_folders_is_the_folder(project: Projects, tmp_path: Path, suffix: str) -> None:
    folder = paint_folder(tmp_path / "pets")
    file = tmp_path / f"pets{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(file, "w") as archive:
            for path in folder.rglob("*.png"):
                archive.write(path, path.relative_to(tmp_path))
    else:
        pack(file, lambda archive: archive.add(folder, "pets"))
    layout = project("image")
    given = data.resolve(layout, str(file), choice=None, reading=Reading(), fetching=data.Fetching())
    added = data.add(layout, given.path, name="things")
    assert added.digest == read(folder, "image").version.digest


def test_pictures_in_parquet_are_those_of_the_folder(tmp_path: Path) -> None:
    folder = paint_folder(tmp_path / "in" / "train", classes="ab", count=12)
    for at, split in enumerate(("val", "test")):
        paint_folder(folder.parent / split, classes="ab", count=4, first=500 * (at + 1))
    tables = tmp_path / "tables"
    tables.mkdir()
    for split in ("train", "val", "test"):
        files = sorted((folder.parent / split).rglob("*.png"))
        table = pa.table(
            {
                "image": [{"bytes": path.read_bytes(), "path": path.name} for path in files],
                "label": pa.array(["ab".index(path.parent.name) for path in files], pa.int64()),
            }
        )
        about = {"info": {"features": {"label": {"names": ["a", "b"], "_type": "ClassLabel"}}}}
        half = len(files) // 2
        for number, part in enumerate((table.slice(0, half), table.slice(half))):
            named = part.replace_schema_metadata({"huggingface": json.dumps(about)})
            pq.write_table(named, tables / f"{split}-{number:05d}-of-00002.parquet")
    packed = read(tables, "image")
    assert packed.version.digest == read(folder.parent, "image").version.digest


def test_pictures_in_one_table_with_a_column_of_splits(tmp_path: Path) -> None:
    files = [paint(tmp_path / "in" / f"{number}.png", number) for number in range(40)]
    table = pa.table(
        {
            "bytes": [path.read_bytes() for path in files],
            "class_name": ["cat" if number % 2 else "dog" for number in range(40)],
            "split": ["training"] * 30 + ["validation"] * 4 + ["evaluation"] * 6,
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    packed = read(tmp_path / "t.parquet", "image")
    assert [split.rows for split in packed.version.splits] == [30, 4, 6]
    assert packed.version.classes == ("cat", "dog")
    with pytest.raises(DataError, match="no column with pictures"):
        pq.write_table(table.drop_columns(["bytes"]), tmp_path / "u.parquet")
        read(tmp_path / "u.parquet", "image")


def trips(file: Path, rows: int = 60) -> Path:
    start = datetime(2021, 1, 1, 8)
    table = pa.table(
        {
            "start": [start + timedelta(minutes=row) for row in range(rows)],
            "end": [start + timedelta(minutes=row, seconds=30 * row) for row in range(rows)],
            "zone": [row % 7 for row in range(rows)],
            "miles": [row / 3 for row in range(rows)],
        }
    )
    pq.write_table(table, file)
    return file


TRIPS = Steps(
    {"duration": "minutes from start to end"}, {"duration": (1, 20)}, ("zone",), ("zone", "miles", "duration")
)


def test_a_target_is_derived_and_rows_outside_its_range_go(tmp_path: Path) -> None:
    packed = read(trips(tmp_path / "t.parquet"), "tabular", Reading(target="duration", steps=TRIPS))
    assert [(column.name, column.type) for column in packed.version.columns] == [
        ("zone", "string"), ("miles", "double"), ("duration", "double"),
    ]  # fmt: skip
    found = sorted(
        value for split in packed.version.splits for value in packed.table(split.name)["duration"].to_pylist()
    )
    assert found == [row / 2 for row in range(2, 41)]


@pytest.mark.parametrize(
    ("steps", "headline"),
    [
        (Steps({"x": "__import__('os')"}), "cannot be derived"),
        (Steps({"x": "minutes from start to finish"}), "no column 'finish'"),
        (Steps({"x": "hour of miles"}), "no times"),
        (Steps(keep={"mile": (0, 1)}), "no column 'mile'"),
        (Steps(keep={"miles": (900, 901)}), "no row is within"),
    ],
)
def test_steps_that_cannot_be_done(tmp_path: Path, steps: Steps, headline: str) -> None:
    with pytest.raises(DataError, match=headline):
        read(trips(tmp_path / "t.parquet"), "tabular", Reading(target="miles", steps=steps))


@pytest.mark.parametrize("choice", ["cifar10", "dogs", "food11", "cola", "nyc_taxi"])
def test_packaged_choices_are_whole_and_say_how_to_get_their_data(project: Projects, choice: str) -> None:
    task = {"cola": "text", "nyc_taxi": "tabular"}.get(choice, "image")
    layout = project(task)  # type: ignore[arg-type]  # a task it is
    settings = config(layout, [f"data={choice}"]).data
    assert settings.name == choice
    assert settings.source.page.startswith("http") and settings.source.licence
    assert all(Digest(each) for each in settings.source.digests.values())
    assert (PACKAGED / "data" / f"{choice}.yaml").is_file()
    with pytest.raises(NotFoundError, match="no version of") as caught:
        data.open_for_task(layout, choice, "latest", task)  # type: ignore[arg-type]  # as above
    assert f"tidemill data add {choice}" in caught.value.remedy
    with pytest.raises(NotFoundError, match="does not exist") as caught:
        data.resolve(layout, choice + "x", choice=None, reading=Reading(), fetching=data.Fetching())
    assert choice in caught.value.remedy


REAL = os.environ.get("TIDEMILL_DATA")


@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="TIDEMILL_DATA names no folder with the real sets")
@pytest.mark.parametrize(
    ("choice", "place", "rows"),
    [
        ("nyc_taxi", "taxi_green", [73_908, 61_921]),
        ("dogs", "stanford_dogs/stanford_dogs.parquet", [700, 140]),
        ("food11", "food101_10class", [3_000, 750]),
        ("cola", "cola", [7_688, 857]),
    ],
)
def test_the_real_sets_are_read_by_their_choices(project: Projects, choice: str, place: str, rows: list[int]) -> None:
    layout = project({"cola": "text", "nyc_taxi": "tabular"}.get(choice, "image"))  # type: ignore[arg-type]  # a task
    done = _tidemill(layout, "data", "add", str(Path(str(REAL)) / place), "--as", choice, "--json")
    assert done.returncode == 0, done.stderr
    splits = json.loads(done.stdout)["version"]["splits"]
    assert [split["rows"] for split in splits[:2]] == rows


def test_only_known_sets_say_how_files_are_read(project: Projects, tmp_path: Path) -> None:
    layout = project("tabular")
    file = write_csv(tmp_path / "t.csv")
    for given, meant in (
        ("nyc_tax", "did you mean nyc_taxi"),
        ("nosuch", "known data sets: cifar10, cola, dogs, food11"),
    ):
        refused = _tidemill(layout, "data", "add", str(file), "--as", given, "--target", "target")
        assert refused.returncode == 2 and f"--as '{given}': no such data set" in refused.stderr
        assert meant in refused.stderr
    assert not data.versions(layout)


def test_a_hint_names_what_can_be_got(project: Projects) -> None:
    layout = project("tabular")
    own = layout.conf / "data"
    own.mkdir(parents=True, exist_ok=True)
    (own / "mine.yaml").write_text("name: mine\nversion: latest\n")
    (own / "torn.yaml").write_text("name: [")
    with pytest.raises(NotFoundError, match="does not exist") as caught:
        data.resolve(layout, "zzz", choice=None, reading=Reading(), fetching=data.Fetching())
    assert caught.value.remedy == "check the path; known data sets: cifar10, cola, dogs, food11, nyc_taxi"
