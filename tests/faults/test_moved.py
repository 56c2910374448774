"""A project that was copied or moved keeps to itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .conftest import Copier
from .kill import tidemill


def _files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_copy_works_and_leaves_the_original_alone(trained: Copier, tmp_path: Path) -> None:
    original = trained("original")
    assert tidemill("doctor", cwd=original).code == 0
    copy = Path(shutil.copytree(original, tmp_path / "a copy", symlinks=True))
    before = _files(original / ".tidemill/artifacts")

    for args in (
        ("train", "model=linear"),
        ("export", "cancer/1"),
        ("models", "promote", "cancer", "2", "--force", "x"),
    ):
        done = tidemill(*args, cwd=copy)
        assert done.code == 0, done.err

    assert _files(original / ".tidemill/artifacts") == before
    assert len(_files(copy / ".tidemill/artifacts")) > len(before)
    shutil.rmtree(original)
    assert tidemill("export", "cancer/2", cwd=copy).code == 0
