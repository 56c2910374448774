"""Projects to break: made once, copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tidemill.files import locked
from tidemill.project.layout import Layout

from .disk import Disk
from .kill import tidemill
from .promotions import serving_project

Copier = Callable[[str], Path]


def _made(folder: Path, name: str, make: Callable[[Path], None]) -> Path:
    """`folder/name`, made by the first worker that comes."""
    with locked(folder / f"{name}.lock", timeout=600):
        done = folder / f"{name}.done"
        if not done.exists():
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / name).mkdir()
            make(folder / name)
            done.touch()
    return folder / name


def _init(folder: Path) -> None:
    done = tidemill("init", "cancer", "--task", "tabular", cwd=folder)
    assert done.code == 0, done.err


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all workers of this run."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if base.name.startswith("popen-") else base


@pytest.fixture
def fresh(shared: Path, tmp_path: Path) -> Copier:
    """A copy of a project that has been initialised and nothing more."""
    source = _made(shared, "fresh", _init)

    def copy(name: str) -> Path:
        shutil.copytree(source / "cancer", tmp_path / name, symlinks=True)
        return tmp_path / name

    return copy


@pytest.fixture
def trained(shared: Path, tmp_path: Path) -> Copier:
    """A copy of a project with two versions, the first of them champion."""

    def make(folder: Path) -> None:
        _init(folder)
        project = folder / "cancer"
        for args in (
            ("train", "model=linear"),
            ("models", "promote", "cancer", "1"),
            ("train", "model=linear", "seed=7"),
        ):
            done = tidemill(*args, cwd=project)
            assert done.code == 0, done.err

    source = _made(shared, "trained", make)

    def copy(name: str) -> Path:
        shutil.copytree(source / "cancer", tmp_path / name, symlinks=True)
        return tmp_path / name

    return copy


@pytest.fixture(scope="session")
def digits_project(shared: Path) -> Path:
    """An image project that has been initialised and nothing more, to be copied."""

    def make(folder: Path) -> None:
        done = tidemill("init", "digits", "--task", "image", cwd=folder)
        assert done.code == 0, done.err

    return _made(shared, "digits", make) / "digits"


@pytest.fixture
def digits(digits_project: Path, tmp_path: Path) -> Copier:
    """A copy of it."""

    def copy(name: str) -> Path:
        shutil.copytree(digits_project, tmp_path / name, symlinks=True)
        return tmp_path / name

    return copy


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A project that serves digits@champion, version 1."""
    return serving_project(tmp_path / "a project")


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk of the prediction log, which is well."""
    disk = Disk("/.tidemill/log/", tmp_path)
    for name, value in disk.environment.items():
        monkeypatch.setenv(name, value)
    return disk
