"""A command that ends at any step of saving leaves the old state or the new one, for the next command."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tidemill.backends.versions import _intent
from tidemill.backends.versions._git import Git
from tidemill.backends.versions.dvc import DvcStore
from tidemill.dataset.read import open_dataset
from tidemill.project import data
from tidemill.project.layout import Layout

from .conftest import Projects, git, write_csv


class Killed(BaseException):
    """Ends the command at once: nothing of ours catches it, and what cleans up after errors is switched off."""


@pytest.fixture
def saved(project: Projects, tmp_path: Path) -> Layout:
    layout = project("tabular")
    data.add(layout, write_csv(tmp_path / "old.csv"), name="things")
    return layout


Step = tuple[type, str, bool]
STEPS: dict[str, Step] = {
    "before the swap": (_intent.Journal, "swap", False),
    "after the swap": (_intent.Journal, "swap", True),
    "after DVC": (DvcStore, "_track", True),
    "before the commit": (Git, "commit", False),
    "before the references": (Git, "_publish", False),
    "after the references": (Git, "_publish", True),
    "after the commit": (Git, "commit", True),
    "before the end": (_intent.Journal, "end", False),
}


def _die_at(monkeypatch: pytest.MonkeyPatch, step: Step) -> None:
    owner, name, after = step
    real: Callable[..., object] = getattr(owner, name)

    def die(*args: object, **named: object) -> None:
        if after:
            real(*args, **named)
        monkeypatch.setattr(DvcStore, "_recover", lambda self: None)  # a killed process recovers nothing
        raise Killed

    monkeypatch.setattr(owner, name, die)


@pytest.mark.parametrize("what", STEPS)
@pytest.mark.parametrize("first", [True, False])
def test_the_next_command_sees_old_or_new_and_repeats(
    project: Projects, saved: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, first: bool
) -> None:
    layout = saved
    name = "fresh" if first else "things"
    file = write_csv(tmp_path / "new.csv", shift=1000)
    before = git(layout, "rev-parse", "HEAD")
    with monkeypatch.context() as patched, pytest.raises(Killed):
        _die_at(patched, STEPS[what])
        data.add(layout, file, name=name)
    (layout.root / ".git" / "index.lock").touch()  # what a git that was killed with us leaves
    (layout.data / f".{name}.json.0123.tmp").touch()

    numbers = [version.version for version in data.versions(layout, name)]
    new = what.startswith(("after the ref", "after the commit", "before the end"))
    assert numbers == (["1.0.0"] if first else ["1.0.0", "1.1.0"]) if new else numbers == ([] if first else ["1.0.0"])
    assert git(layout, "status", "--short") == ""
    assert (git(layout, "rev-parse", "HEAD") == before) is not new
    if not first:
        assert open_dataset(layout.data / "things", verify=True).version == data.open_version(layout, "things").version
        assert data.open_version(layout, "things").version.version == numbers[-1]

    version = data.add(layout, file, name=name)
    assert version.version == ("1.0.0" if first else "1.1.0")
    assert data.open_version(layout, name).version == version
    assert git(layout, "status", "--short") == ""
    assert not (layout.state / "saving").exists()


def test_a_commit_without_its_tag_gets_it(saved: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched, pytest.raises(Killed):
        _die_at(patched, STEPS["after the commit"])
        data.add(saved, write_csv(tmp_path / "new.csv", shift=1000), name="things")
    git(saved, "tag", "-d", "things-v1.1.0")
    assert [version.version for version in data.versions(saved)] == ["1.0.0", "1.1.0"]
    assert git(saved, "cat-file", "-t", "things-v1.1.0") == "tag"


def test_a_tag_without_its_commit_on_the_branch(saved: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched, pytest.raises(Killed):
        _die_at(patched, STEPS["after the commit"])
        data.add(saved, write_csv(tmp_path / "new.csv", shift=1000), name="things")
    git(saved, "update-ref", "refs/heads/main", "HEAD~1")
    assert [version.version for version in data.versions(saved)] == ["1.0.0", "1.1.0"]
    assert git(saved, "rev-parse", "HEAD") == git(saved, "rev-parse", "things-v1.1.0^{commit}")
    assert git(saved, "status", "--short") == ""


@pytest.mark.parametrize("content", ['{"write": {"x": {"pid": 999999999, "cmd": "dvc"}}, "read": {}}', '{"wri', ""])
def test_the_note_that_dvc_left_is_cleared(
    saved: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    with monkeypatch.context() as patched, pytest.raises(Killed):
        _die_at(patched, STEPS["after DVC"])
        data.add(saved, write_csv(tmp_path / "new.csv", shift=1000), name="things")
    (saved.root / ".dvc" / "tmp" / "rwlock").write_text(content)
    assert data.add(saved, tmp_path / "new.csv", name="things").version == "1.1.0"


def test_debris_of_the_dead_is_swept_and_of_the_living_kept(saved: Layout, tmp_path: Path) -> None:
    dead, alive = saved.staging / "999999999-x", saved.staging / f"{os.getpid()}-x"
    for folder in (dead, alive):
        (folder / "shards").mkdir(parents=True)
    data.add(saved, write_csv(tmp_path / "new.csv", shift=1000), name="things")
    assert not dead.exists()
    assert alive.exists()
