"""`data add` with its checks, as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.project.layout import Layout

from ..data.conftest import Projects
from .conftest import jpeg, scene, scenes, trips
from .test_rows import spoilt


def tidemill(cwd: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tidemill", *args], cwd=cwd, capture_output=True, text=True)


def git(layout: Layout, *args: str) -> str:
    return subprocess.run(["git", *args], cwd=layout.root, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def table(project: Projects, tmp_path: Path) -> Layout:
    """A project whose settings declare ranges, and `trips.parquet` with two rows outside of them beside it."""
    layout = project("tabular")
    pq.write_table(spoilt(), tmp_path / "trips.parquet")
    (layout.conf / "data").mkdir(parents=True, exist_ok=True)
    (layout.conf / "data" / "trips.yaml").write_text(
        "name: trips\nversion: latest\n"
        "checks:\n  min_samples: 5\n  ranges:\n    distance: [0, 200]\n    fare: [null, 9000]\n"
    )
    git(layout, "add", "."), git(layout, "commit", "-qm", "settings")
    return layout


def test_a_problem_stops_with_a_report_and_changes_nothing(table: Layout) -> None:
    head = git(table, "rev-parse", "HEAD")
    done = tidemill(table.root, "data", "add", "../trips.parquet", "--name", "trips", "--target", "fare")
    assert done.returncode == 2 and done.stdout == ""
    assert "✗ impossible (stops it)" in done.stderr and "row 21: distance = 244152.0" in done.stderr
    assert done.stderr.count("Traceback") == 0
    assert git(table, "rev-parse", "HEAD") == head and git(table, "status", "--short") == ""
    assert not list(table.staging.iterdir())


def test_the_report_of_a_stopped_add_is_json_too(table: Layout) -> None:
    done = tidemill(table.root, "data", "add", "../trips.parquet", "--name", "trips", "--target", "fare", "--json")
    assert done.returncode == 2
    plain = json.loads(done.stdout)
    assert plain["version"] is None
    assert [each["check"] for each in plain["report"]["findings"]] == ["impossible"]


def test_left_out_it_is_added_and_the_report_is_kept_with_the_version(table: Layout) -> None:
    args = ("data", "add", "../trips.parquet", "--name", "trips", "--target", "fare", "--on-problem", "leave-out")
    done = tidemill(table.root, *args, "--json")
    assert done.returncode == 0, done.stderr
    kept = json.loads(git(table, "show", "trips-v1.0.0:data/trips.checks.json"))
    assert kept["findings"] == json.loads(done.stdout)["report"]["findings"]
    assert kept["findings"][0]["action"] == "leave-out"
    assert kept["columns"]["distance"]["high"] < 200 or kept["columns"]["distance"]["high"] == 244_152.0
    again = tidemill(table.root, *args)
    assert again.stdout.startswith("unchanged trips-v1.0.0")


def test_other_rules_are_another_question(table: Layout) -> None:
    args = ("data", "add", "../trips.parquet", "--name", "trips", "--target", "fare")
    assert tidemill(table.root, *args, "--on-problem", "leave-out").returncode == 0
    assert tidemill(table.root, *args).returncode == 2  # what was seen under one policy is not taken for another


def test_a_wrong_range_is_one_line(table: Layout) -> None:
    file = table.conf / "data" / "trips.yaml"
    file.write_text(file.read_text().replace("distance: [0, 200]", "distanc: [0, 200]"))
    done = tidemill(table.root, "data", "add", "../trips.parquet", "--name", "trips", "--target", "fare")
    assert done.returncode == 2
    assert "there is no column 'distanc'" in done.stderr and "did you mean distance?" in done.stderr


@pytest.mark.parametrize(
    ("line", "headline"),
    [
        ("  ranges: 3", "data.checks.ranges: must be a section"),
        ("  ranges: {fare: 3}", "data.checks.ranges.fare: must be a list"),
        ("  ranges: {fare: [1]}", "must be [lowest, highest]"),
        ("  leakage: ignore", "data.checks.leakage: must be one of stop, leave-out, note"),
        ("  near_leak: note", "there is no setting data.checks.near_leak"),
    ],
)
def test_wrong_settings_name_the_setting(table: Layout, line: str, headline: str) -> None:
    (table.conf / "data" / "trips.yaml").write_text(f"name: trips\nchecks:\n{line}\n")
    done = tidemill(table.root, "data", "add", "../trips.parquet", "--name", "trips", "--target", "fare")
    assert done.returncode == 2
    assert headline in done.stderr


def test_a_changed_schema_from_the_command_line(table: Layout, tmp_path: Path) -> None:
    (table.conf / "data" / "trips.yaml").unlink()
    pq.write_table(trips(), tmp_path / "one.parquet")
    pq.write_table(trips(seed=1).rename_columns([*trips().column_names[:-1], "price"]), tmp_path / "two.parquet")
    pq.write_table(trips(seed=1).drop_columns(["flag"]), tmp_path / "three.parquet")
    assert tidemill(table.root, "data", "add", "../one.parquet", "--name", "m", "--target", "fare").returncode == 0
    done = tidemill(table.root, "data", "add", "../two.parquet", "--name", "m")
    assert done.returncode == 2 and "'fare' is missing (it was double); 'price' is new (double)" in done.stderr
    assert "is price the new name of fare?" in done.stderr
    done = tidemill(table.root, "data", "add", "../three.parquet", "--name", "m", "--schema", "convert")
    assert done.returncode == 0 and "flag is missing, and filled with missing values" in done.stderr
    done = tidemill(table.root, "data", "add", "../three.parquet", "--name", "m", "--schema", "new")
    assert done.returncode == 0 and done.stdout.startswith("added m-v1.2.0")


def test_pictures_with_markup_and_control_characters_in_their_names(project: Projects, tmp_path: Path) -> None:
    layout = project("image")
    folder = scenes(tmp_path / "in")
    (folder / "train/a/\x1b[31mred.jpg").write_bytes(jpeg(scene(900))[:300])
    (folder / "train/b/[bold]x.jpg").write_bytes(b"")
    done = tidemill(layout.root, "data", "add", "../in", "--name", "things")
    assert done.returncode == 2
    assert "[bold]x.jpg is empty" in done.stderr
    assert "    " in done.stderr and "?[31mred.jpg" in done.stderr
    done = tidemill(layout.root, "data", "add", "../in", "--name", "things", "--on-problem", "leave-out")
    assert done.returncode == 0 and "− undecodable (left out)  2 of 74 pictures cannot be used" in done.stderr


def test_what_the_report_says_is_not_said_again(project: Projects, tmp_path: Path) -> None:
    layout = project("tabular")
    lines = [f"{at}.5,{at % 4},{'ab'[at % 2]}" for at in range(60)]
    lines[20], lines[30], lines[40] = "x,1,a", "1.5,y,a", "1.5,1,"
    (tmp_path / "t.csv").write_text("size,count,target\n" + "\n".join(lines) + "\n")
    done = tidemill(layout.root, "data", "add", "../t.csv", "--name", "t")
    assert done.returncode == 2 and "error: nothing was added: the 2 problems above stop it" in done.stderr
    assert done.stderr.count("2 cells in columns of numbers are no numbers") == 1
    assert done.stderr.count("has no value in row 41") == 1
    done = tidemill(layout.root, "data", "add", "../t.csv", "--name", "t", "--on-problem", "leave-out")
    assert done.returncode == 0 and "added t-v1.0.0" in done.stdout


def test_a_version_is_the_whole_set_and_says_what_changed(project: Projects, tmp_path: Path) -> None:
    layout = project("tabular")
    pq.write_table(trips(300), tmp_path / "one.parquet")
    pq.write_table(trips(200), tmp_path / "two.parquet")
    one = tidemill(layout.root, "data", "add", "../one.parquet", "--name", "rides", "--target", "fare")
    assert one.stderr.endswith("next:  tidemill train data=rides\n") and "against" not in one.stderr
    two = tidemill(layout.root, "data", "add", "../two.parquet", "--name", "rides", "--json")
    assert json.loads(two.stdout)["change"] == {"tag": "rides-v1.0.0", "added": 200, "removed": 300}
    pq.write_table(pa.concat_tables([trips(200), trips(50, seed=1)]), tmp_path / "three.parquet")
    three = tidemill(layout.root, "data", "add", "../three.parquet", "--name", "rides")
    assert "+50 -0 rows against rides-v1.1.0:  tidemill data diff rides-v1.1.0 rides-v1.2.0" in three.stderr


def test_training_without_the_projects_own_data_says_which_there_are(project: Projects, tmp_path: Path) -> None:
    layout = project("tabular")
    pq.write_table(trips(300), tmp_path / "one.parquet")
    assert tidemill(layout.root, "data", "add", "../one.parquet", "--name", "rides", "--target", "fare").returncode == 0
    done = tidemill(layout.root, "train")
    assert done.returncode == 2 and "there is no data set 'things' in this project" in done.stderr
    assert "tidemill train data=rides" in done.stderr
