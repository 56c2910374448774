"""`data diff --html`: one page that needs nothing else, and in which names stay names."""

from __future__ import annotations

import html.parser
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Projects, paint, paint_folder, write_csv

_EVIL = "<img src=x onerror=alert(1)>&\"'"


class _Page(html.parser.HTMLParser):
    """Collects what a browser would load or run, and all text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def _tidemill(cwd: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tidemill", *args], cwd=cwd, capture_output=True, text=True)


def _read(file: Path) -> _Page:
    page = _Page()
    page.feed(file.read_text())
    return page


def test_pictures_with_markup_in_their_names(project: Projects, tmp_path: Path) -> None:
    layout = project("image")
    folder = paint_folder(tmp_path / "in", count=30)
    assert _tidemill(layout.root, "data", "add", "../in", "--name", "things").returncode == 0
    for at in range(20):
        paint(folder / "<b>c" / f"{_EVIL}{at}.png", 700 + at)
    assert _tidemill(layout.root, "data", "add", "../in", "--name", "things").returncode == 0
    done = _tidemill(layout.root, "data", "diff", "1.0.0", "1.1.0", "--html", "page.html")
    assert done.returncode == 0, done.stderr
    assert "<b>c: 0 -> " in done.stdout
    page = _read(layout.root / "page.html")
    assert page.handlers == [] and not page.tags & {"script", "link", "iframe", "b>c"}
    assert page.addresses and all(each.startswith("data:image/jpeg;base64,") for each in page.addresses)
    assert len(page.addresses) == 20
    assert "<b>c" in page.text and _EVIL in page.text
    assert (layout.root / "page.html").stat().st_size < 2_000_000


def test_a_table_has_its_distributions(project: Projects, tmp_path: Path) -> None:
    layout = project("tabular")
    for shift in (0, 40):
        write_csv(tmp_path / "in.csv", 120, shift=shift)
        assert _tidemill(layout.root, "data", "add", "../in.csv", "--name", "things").returncode == 0
    done = _tidemill(layout.root, "data", "diff", "1.0.0", "1.1.0", "--html", "page.html")
    assert done.returncode == 0, done.stderr
    assert "size\t33%\tmedian 60, mean 60\tmedian 100, mean 100" in done.stdout
    page = _read(layout.root / "page.html")
    assert page.text.count("apart") >= 4 and "svg" in page.tags and page.addresses == []


@pytest.mark.parametrize("where", ["nowhere/page.html", "data"])
def test_a_page_that_cannot_be_written_is_one_line(project: Projects, tmp_path: Path, where: str) -> None:
    layout = project("tabular")
    write_csv(tmp_path / "in.csv")
    assert _tidemill(layout.root, "data", "add", "../in.csv", "--name", "things").returncode == 0
    done = _tidemill(layout.root, "data", "diff", "1.0.0", "1.0.0", "--html", where)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr
