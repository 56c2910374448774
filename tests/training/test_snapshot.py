"""The state of the code: commit and patch, in every state a repository can be in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tidemill.domain.digest import Digest
from tidemill.errors import StateError
from tidemill.stages.snapshot import code_state, environment


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    done = subprocess.run(("git", "-C", str(root), *identity, *arguments), capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "a project"
    root.mkdir()
    git(root, "init", "-q")
    (root / "a.py").write_text("one\n")
    (root / ".gitignore").write_text("ignored\n")
    git(root, "add", ".")
    git(root, "commit", "-qm", "start")
    return root


def test_a_clean_tree_is_its_commit(repository: Path) -> None:
    code, difference = code_state(repository)
    assert (code.commit, code.dirty, difference) == (git(repository, "rev-parse", "HEAD"), None, b"")


def test_a_detached_head_is_as_good(repository: Path) -> None:
    git(repository, "checkout", "-q", "--detach")
    assert code_state(repository)[0].dirty is None


def test_the_difference_can_be_applied(repository: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    (repository / "a.py").write_text("two\n")
    (repository / "new file.py").write_text("fresh\nno newline at the end")
    (repository / "ünïcode.txt").write_text("ü\n")
    (repository / "empty").write_text("")
    (repository / "ignored").write_text("secret")
    code, difference = code_state(repository)
    assert code.dirty == Digest.of_bytes(difference)
    assert b"secret" not in difference
    (tmp_path / "patch").write_bytes(difference)
    git(clone, "apply", str(tmp_path / "patch"))
    assert (clone / "a.py").read_text() == "two\n"
    assert (clone / "new file.py").read_text() == "fresh\nno newline at the end"
    assert (clone / "ünïcode.txt").read_text() == "ü\n"


def test_every_byte_of_a_new_file_counts(repository: Path) -> None:
    seen = set()
    for content in (b"\0one", b"\0two", b"x" * 2_000_000, b"x" * 1_999_999 + b"y"):
        (repository / "new").write_bytes(content)
        code, difference = code_state(repository)
        assert len(difference) < 10_000
        seen.add(code.dirty)
    assert len(seen) == 4


def test_without_a_repository_or_a_commit_the_remedy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(StateError) as none:
        code_state(tmp_path)
    assert "git init" in none.value.remedy
    git(tmp_path, "init", "-q")
    with pytest.raises(StateError, match="no commit yet"):
        code_state(tmp_path)


def test_the_environment_names_what_is_installed() -> None:
    found = environment()
    assert found.packages["torch"].startswith("2.")
    assert found.digest == environment().digest
