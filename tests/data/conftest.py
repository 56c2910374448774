"""Small projects, picture folders and tables to add."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tidemill.domain.dataset import Task
from tidemill.project import scaffold
from tidemill.project.layout import Layout

from .site import site  # noqa: F401  # a fixture

Projects = Callable[[Task], Layout]


@pytest.fixture(scope="session")
def _empty_projects(tmp_path_factory: pytest.TempPathFactory) -> dict[Task, Path]:
    folder = tmp_path_factory.mktemp("empty")
    tasks: tuple[Task, ...] = ("image", "text", "tabular")
    return {task: scaffold.init(folder / task, name="things", task=task, sample=None).root for task in tasks}


@pytest.fixture
def project(_empty_projects: dict[Task, Path], tmp_path: Path) -> Projects:
    """Makes an empty project called `things` for a task."""

    def make(task: Task) -> Layout:
        shutil.copytree(_empty_projects[task], tmp_path / task, symlinks=True)
        return Layout(tmp_path / task)

    return make


def git(layout: Layout, *args: str) -> str:
    return subprocess.run(["git", *args], cwd=layout.root, check=True, capture_output=True, text=True).stdout.strip()


def paint(file: Path, colour: int, *, size: tuple[int, int] = (4, 4), mode: str = "L") -> Path:
    """A picture of one colour; pictures of different colours are different files."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, ((colour * 7) % 256, (colour * 31) % 256, colour % 256)).convert(mode)
    image.putpixel((0, 0), 0)
    image.save(file, pnginfo=_numbered(colour) if file.suffix == ".png" else None)
    return file


def _numbered(number: int) -> object:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("number", str(number))
    return info


def paint_folder(root: Path, *, classes: str = "ab", count: int = 20, first: int = 0) -> Path:
    """`count` pictures in each of the class folders `root/a`, `root/b`, …, all different."""
    for at, label in enumerate(classes):
        for number in range(count):
            paint(root / label / f"{number:03d}.png", first + at * count + number)
    return root


def write_csv(file: Path, rows: int = 60, *, shift: int = 0) -> Path:
    """Columns `size` (float), `count` (integer), `colour` (category) and the classes `target`."""
    lines = (
        f"{row + shift + 0.5},{row % 7},{'red' if row % 3 else 'green'},{'yes' if row % 2 else 'no'}\n"
        for row in range(rows)
    )
    file.write_text("size,count,colour,target\n" + "".join(lines))
    return file
