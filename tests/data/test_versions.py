"""Versions in a real git repository with real DVC."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tidemill.dataset.read import open_dataset
from tidemill.domain.dataset import DatasetVersion
from tidemill.errors import BusyError, DataError, NotFoundError, StateError, StorageError
from tidemill.project import data
from tidemill.project.layout import Layout
from tidemill.stages.ingest import Reading

from .conftest import Projects, git, paint, paint_folder, write_csv


def add(layout: Layout, path: Path, version: str | None = None, notes: list[str] | None = None) -> data.Added:
    heard = notes if notes is not None else []
    return data.add_version(
        layout, path, name="things", version=version, reading=Reading(), note=heard.append, progress=lambda *_: None
    )


@pytest.fixture
def layout(project: Projects) -> Layout:
    return project("tabular")


@pytest.fixture
def csv(tmp_path: Path) -> Callable[[int], Path]:
    return lambda shift: write_csv(tmp_path / f"{shift}.csv", shift=shift)


def test_a_version_is_a_commit_with_a_tag(layout: Layout, csv: Callable[[int], Path]) -> None:
    version = add(layout, csv(0)).version
    assert version.tag == "things-v1.0.0"
    assert git(layout, "cat-file", "-t", version.tag) == "tag"
    assert git(layout, "show", "--format=", "--name-only", "HEAD").splitlines() == [
        "conf/data/things.yaml", "data/.gitignore", "data/things.checks.json", "data/things.dvc",
        "data/things.json",
    ]  # fmt: skip
    assert git(layout, "status", "--short") == ""
    assert json.loads(git(layout, "show", f"{version.tag}:data/things.json"))["digest"] == version.digest
    assert data.versions(layout) == [version]
    assert open_dataset(layout.data / "things", verify=True).version == data.open_version(layout, "things").version


def test_numbers_count_up_and_equal_content_makes_no_version(layout: Layout, csv: Callable[[int], Path]) -> None:
    notes: list[str] = []
    adds = [(0, None), (9, None), (9, None), (200, "3.0.0"), (300, None), (9, None), (400, "2.0.0")]
    numbers = [add(layout, csv(shift), number, notes).version.version for shift, number in adds]
    assert numbers == ["1.0.0", "1.1.0", "1.1.0", "3.0.0", "3.1.0", "1.1.0", "2.0.0"]
    assert notes == [
        "unchanged, still things-v1.1.0",
        "this is things-v1.1.0 again; to make it the newest, say  --version",
        "2.0.0 is lower than 3.1.0, which stays the latest",
    ]
    assert [v.version for v in data.versions(layout, "things")] == ["1.0.0", "1.1.0", "2.0.0", "3.0.0", "3.1.0"]
    assert data.open_version(layout, "things").version.version == "3.1.0"
    again = add(layout, csv(9), "4.0.0")
    assert again.new and again.version.digest == data.find(layout, "1.1.0").digest
    assert not add(layout, csv(9), "4.0.0").new


def test_a_version_never_changes(layout: Layout, csv: Callable[[int], Path]) -> None:
    notes: list[str] = []
    add(layout, csv(0))
    with pytest.raises(StateError, match=r"things-v1\.0\.0 exists already"):
        add(layout, csv(100), "1.0.0", notes)
    assert notes == ["things-v1.0.0 exists already: the data is read to see whether it is the same"]
    git(layout, "tag", "things-v7.0.0")
    with pytest.raises(StateError, match=r"the tag things-v7\.0\.0 exists"):
        add(layout, csv(100), "7.0.0")
    assert [v.version for v in data.versions(layout)] == ["1.0.0"]


def test_other_columns_need_a_new_major_version(layout: Layout, csv: Callable[[int], Path], tmp_path: Path) -> None:
    add(layout, csv(0))
    other = tmp_path / "other.csv"
    other.write_text(csv(0).read_text().replace("colour", "shade", 1))
    with pytest.raises(DataError, match="shade"):
        add(layout, other)
    assert add(layout, other, "2.0.0").version.version == "2.0.0"
    found = data.diff(layout, "1.0.0", "things-v2.0.0")
    assert (found.columns_added, found.columns_removed) == (("shade",), ("colour",))


@pytest.mark.parametrize(
    ("name", "version", "headline"),
    [("../x", None, "cannot name"), ("", None, "cannot name"), ("a b", None, "cannot name"), ("x", "1.0", "no version"),
     ("x", "v1.0.0", "no version"), ("x", "01.0.0", "no version")],
)  # fmt: skip
def test_names_and_numbers_are_checked(
    layout: Layout, csv: Callable[[int], Path], name: str, version: str | None, headline: str
) -> None:
    with pytest.raises(DataError, match=headline):
        data.add(layout, csv(0), name=name, version=version)


def test_places_that_cannot_be_added(layout: Layout, csv: Callable[[int], Path]) -> None:
    add(layout, csv(0))
    shutil.copy(csv(0), layout.state / "x.csv")
    with pytest.raises(DataError, match="belongs to Tidemill"):
        add(layout, layout.state / "x.csv")
    with pytest.raises(DataError, match="packed data set already"):
        add(layout, layout.data / "things")


def test_a_folder_of_the_user_is_not_replaced(project: Projects) -> None:
    layout = project("image")
    own = paint_folder(layout.data / "things")
    with pytest.raises(StateError, match="something else"):
        add(layout, own)
    assert len(list(own.rglob("*.png"))) == 40
    assert git(layout, "status", "--short") == "?? data/"


def test_what_the_user_has_staged_and_changed_stays(layout: Layout, csv: Callable[[int], Path]) -> None:
    (layout.root / "staged.txt").write_text("staged")
    (layout.root / "both.txt").write_text("one")
    git(layout, "add", "staged.txt", "both.txt")
    (layout.root / "both.txt").write_text("two")
    (layout.root / "README.md").write_text("changed")
    before = git(layout, "status", "--short")
    add(layout, csv(0))
    assert git(layout, "status", "--short") == before
    assert git(layout, "show", ":both.txt") == "one"


def _detach(layout: Layout) -> None:
    git(layout, "checkout", "-q", "--detach")


def _merge(layout: Layout) -> None:
    (layout.root / ".git" / "MERGE_HEAD").write_text(git(layout, "rev-parse", "HEAD") + "\n")


def _no_git(layout: Layout) -> None:
    shutil.rmtree(layout.root / ".git")


def _no_dvc(layout: Layout) -> None:
    shutil.rmtree(layout.root / ".dvc")


@pytest.mark.parametrize(
    ("spoil", "headline"),
    [
        (_detach, "HEAD is detached"),
        (_merge, "a merge is in progress"),
        (_no_git, "no git repository"),
        (_no_dvc, r"\.dvc"),
    ],
)
def test_states_in_which_nothing_can_be_saved(
    layout: Layout, csv: Callable[[int], Path], spoil: Callable[[Layout], None], headline: str
) -> None:
    spoil(layout)
    with pytest.raises(StateError, match=headline) as caught:
        add(layout, csv(0))
    assert caught.value.remedy
    assert not (layout.data / "things").exists()
    assert not list(layout.staging.glob("*"))


def test_another_git_at_work(layout: Layout, csv: Callable[[int], Path]) -> None:
    (layout.root / ".git" / "index.lock").touch()
    with pytest.raises(BusyError, match=r"index\.lock"):
        add(layout, csv(0))
    (layout.root / ".git" / "index.lock").unlink()
    assert add(layout, csv(0)).new


def test_without_git_on_the_path_it_says_so(
    layout: Layout, csv: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StateError, match="git is not installed"):
        data.versions(layout)


def test_without_an_identity_a_neutral_one_commits(
    layout: Layout, csv: Callable[[int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith("GIT_") or name == "EMAIL":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    add(layout, csv(0))
    assert git(layout, "log", "-1", "--format=%an <%ae>") == "Tidemill <tidemill@localhost>"
    git(layout, "config", "user.name", "Ada")
    git(layout, "config", "user.email", "ada@example.org")
    add(layout, csv(100))
    assert git(layout, "log", "-1", "--format=%an <%ae>") == "Ada <ada@example.org>"


def test_before_the_first_commit_and_below_another_repository(project: Projects, tmp_path: Path) -> None:
    layout = project("tabular")
    shutil.rmtree(layout.root / ".git")
    subprocess.run(["git", "init", "-q", "-b", "trunk"], cwd=tmp_path, check=True)
    (layout.root / ".dvc" / "config").unlink()
    shutil.rmtree(layout.root / ".dvc")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--subdir"], cwd=layout.root, check=True)
    first = add(layout, write_csv(tmp_path / "a.csv")).version
    add(layout, write_csv(tmp_path / "b.csv", shift=100))
    assert [v.version for v in data.versions(layout)] == ["1.0.0", "1.1.0"]
    assert data.open_version(layout, "things", "1.0.0").version == first
    assert git(layout, "ls-tree", "--name-only", "HEAD", "data/things.json") == "data/things.json"


def test_older_versions_come_back_from_the_cache(layout: Layout, csv: Callable[[int], Path]) -> None:
    first = add(layout, csv(0)).version
    add(layout, csv(100))
    old = data.open_version(layout, "things", "1.0.0")
    assert old.root == layout.datasets / "things-v1.0.0"
    assert old.version == first
    assert old.table("train")["size"].to_pylist()[0] < 100
    shard = old.root / old.version.split("train").shards[0].path
    shard.write_bytes(b"damaged")
    assert data.open_version(layout, "things", "1.0.0").table("train").num_rows == first.split("train").rows


def test_a_damaged_working_folder_is_not_used(layout: Layout, csv: Callable[[int], Path]) -> None:
    version = add(layout, csv(0)).version
    (layout.data / "things" / version.split("val").shards[0].path).unlink()
    opened = data.open_version(layout, "things")
    assert opened.root == layout.datasets / "things-v1.0.0"
    assert opened.table("val").num_rows == version.split("val").rows


def test_who_reads_a_version_keeps_it_while_another_is_added(layout: Layout, csv: Callable[[int], Path]) -> None:
    first = add(layout, csv(0)).version
    reading = data.open_version(layout, "things")
    batches = reading.batches("train", rows=1)
    next(batches)
    add(layout, csv(1000))
    assert 1 + sum(batch.num_rows for batch in batches) == first.split("train").rows
    assert reading.table("test").num_rows == first.split("test").rows
    shard = first.split("train").shards[0].path
    assert not (layout.data / "things" / shard).exists()


def test_names_that_do_not_exist_list_the_nearest(layout: Layout, csv: Callable[[int], Path]) -> None:
    with pytest.raises(NotFoundError, match="no data sets yet"):
        data.open_version(layout, "things")
    add(layout, csv(0))
    with pytest.raises(NotFoundError, match="things"):
        data.open_version(layout, "thinks")
    with pytest.raises(NotFoundError, match=r"1\.0\.0"):
        data.open_version(layout, "things", "1.0.1")
    with pytest.raises(NotFoundError, match=r"things-v1\.0\.0"):
        data.diff(layout, "1.0.0", "things-v1.0.9")


def test_a_remote_holds_every_version_for_plain_dvc_and_for_us(
    layout: Layout, csv: Callable[[int], Path], tmp_path: Path
) -> None:
    first, second = add(layout, csv(0)).version, add(layout, csv(100)).version
    for act in (data.push, data.pull):
        with pytest.raises(StateError, match="no DVC remote"):
            act(layout)
    _dvc(layout, "remote", "add", "-q", "-d", "storage", str(tmp_path / "remote"))
    git(layout, "commit", "-q", "-a", "-m", "Name a remote")
    assert data.push(layout) > 0
    assert data.push(layout) == 0

    git(layout, "clone", "-q", str(layout.root), str(tmp_path / "plain"))
    plain = Layout(tmp_path / "plain")
    _dvc(plain, "pull", "-q")
    assert open_dataset(plain.data / "things", verify=True).version == data.open_version(plain, "things").version

    git(layout, "clone", "-q", str(layout.root), str(tmp_path / "ours"))
    ours = Layout(tmp_path / "ours")
    assert data.pull(ours) > 0
    assert data.versions(ours) == [first, second]
    for version in (first, second):
        assert data.open_version(ours, "things", version.version).version == version
    git(ours, "checkout", "-q", first.tag)
    _dvc(ours, "checkout", "-q")
    assert open_dataset(ours.data / "things", verify=True).version == first

    shutil.rmtree(ours.root / ".dvc" / "cache")
    shutil.rmtree(ours.datasets)
    shutil.rmtree(tmp_path / "remote")
    with pytest.raises(StateError, match="not on this machine"):
        data.open_version(ours, "things", "1.1.0")


def test_a_remote_that_cannot_be_reached_is_said(layout: Layout, csv: Callable[[int], Path], tmp_path: Path) -> None:
    add(layout, csv(0))
    (tmp_path / "file").touch()
    _dvc(layout, "remote", "add", "-q", "-d", "storage", str(tmp_path / "file" / "below"))
    with pytest.raises(StorageError) as caught:
        data.push(layout)
    assert caught.value.remedy
    (layout.root / ".dvc" / "config").write_text("[core]\n  nonsense = 1\n")
    with pytest.raises(StorageError, match="nonsense"):
        data.push(layout)


def _dvc(layout: Layout, *args: str) -> None:
    environment = os.environ | {"DVC_SITE_CACHE_DIR": str(layout.cache / "dvc")}
    subprocess.run([sys.executable, "-m", "dvc", *args], cwd=layout.root, check=True, env=environment)


def test_pictures_are_compared_by_name_content_and_label(project: Projects, tmp_path: Path) -> None:
    layout = project("image")
    folder = tmp_path / "in"
    for at, split in enumerate(("train", "val", "test")):
        paint_folder(folder / split, count=10, first=at * 100)
    add(layout, folder)
    train = folder / "train"
    (train / "a" / "000.png").rename(train / "b" / "900.png")
    (train / "a" / "001.png").rename(train / "a" / "901.png")
    paint(train / "a" / "002.png", 777)
    (train / "b" / "003.png").unlink()
    paint(train / "b" / "902.png", 778)
    paint(train / "b" / "903.png", 779)
    add(layout, folder)
    train_diff, *rest = data.diff(layout, "1.0.0", "1.1.0").splits
    assert (train_diff.relabelled, train_diff.renamed, train_diff.changed) == (1, 1, 1)
    assert (train_diff.added, train_diff.removed) == (2, 1)
    assert train_diff.classes == {"a": (10, 9), "b": (10, 12)}
    assert all((split.added, split.removed, split.changed) == (0, 0, 0) for split in rest)


def test_rows_of_a_table_are_compared_by_content(layout: Layout, csv: Callable[[int], Path]) -> None:
    file = csv(0)
    add(layout, file)
    lines = file.read_text().splitlines()
    lines[1] = lines[1].replace("no", "yes")
    file.write_text("\n".join([*lines, "1000.5,1,blue,yes"]) + "\n")
    add(layout, file)
    splits = data.diff(layout, "1.0.0", "1.1.0").splits
    assert sum(split.after - split.before for split in splits) == 1
    assert sum(split.added + split.relabelled for split in splits) >= 2


def test_two_adds_at_once_both_end_well(layout: Layout, csv: Callable[[int], Path]) -> None:
    files, outcomes = [csv(0), csv(100)], list[DatasetVersion | StateError]()

    def one(file: Path) -> None:
        try:
            outcomes.append(add(layout, file).version)
        except StateError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=one, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for file in files:
        add(layout, file)
    assert len(data.versions(layout)) == 2
    assert git(layout, "status", "--short") == ""
