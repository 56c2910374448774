"""The page in a real browser, served by the real command."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .mill import HOSTILE, Mill, add_bundle, answer, marked, promote, register

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no Chromium found: none of {', '.join(BROWSERS)} is on the PATH")
    return found


@contextmanager
def serving(root: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`tidemill ui` as a process, and the address that it prints; ended at the end."""
    with subprocess.Popen(
        [sys.executable, "-m", "tidemill", "ui", "--port", "0", "--no-mlflow"],
        cwd=root, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split()[-1]
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def address(mill: Mill) -> Iterator[str]:
    with serving(mill.layout.root) as (_, address):
        yield address


def browse(browser: str, folder: Path, address: str, *options: str) -> subprocess.CompletedProcess[str]:
    """One headless visit with a profile of its own; waits until the page has refreshed itself."""
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--hide-scrollbars", "--enable-logging=stderr", "--v=0", f"--user-data-dir={folder / 'profile'}",
            "--virtual-time-budget=6000", *options, address,
        ],
        capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | {"XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def complaints(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What the page wrote to the console: errors, and refusals by its policy."""
    return [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


def test_the_champion_stands_there_and_the_console_is_silent(browser: str, address: str, tmp_path: Path) -> None:
    done = browse(browser, tmp_path, address, "--dump-dom")
    assert "digits/2 is champion" in done.stdout
    assert "has lost its server</span>" in done.stdout
    assert 'id="lost" role="status" hidden=""' in done.stdout
    assert "answered 7 (80.0%)" in done.stdout, "the lineage came with a refresh"
    assert complaints(done) == []


@pytest.mark.parametrize("path", ["models", "models/2/card", "predictions", "drift", "ledger"])
def test_no_page_complains(browser: str, address: str, tmp_path: Path, path: str) -> None:
    done = browse(browser, tmp_path, address + path, "--dump-dom")
    assert "digits/2 is champion" in done.stdout
    assert complaints(done) == []


@pytest.mark.parametrize(("theme", "bright"), [("light", True), ("dark", False)])
@pytest.mark.parametrize("width", [1360, 500])
def test_it_can_be_seen(browser: str, address: str, tmp_path: Path, theme: str, bright: bool, width: int) -> None:
    shot = tmp_path / "page.png"
    browse(browser, tmp_path, f"{address}?theme={theme}", f"--screenshot={shot}", f"--window-size={width},1400")
    with Image.open(shot) as picture:
        pixels = np.asarray(picture.convert("L"), np.float64)
    assert bool(pixels.mean() > 128) is bright
    assert pixels.std() > 8, "there is something on it"
    lower = pixels[700:]
    assert lower.std() > 8, "also below the ring"


@pytest.mark.slow
def test_a_name_without_end_does_not_widen_the_page(browser: str, tmp_path: Path) -> None:
    layout = marked(tmp_path / "wide")
    bundle = add_bundle(layout, 1, labels=("w" * 4000, HOSTILE, *map(str, range(998))))
    register(layout, 1, bundle=bundle)
    promote(layout, 1, bundle, forced="w" * 4000)
    answer(layout, bundle, version=1, rows=3, labelled=2, output="w" * 4000, content=b"w" * 4000)
    with serving(layout.root) as (_, address):
        for path in ("", "models", "predictions", "ledger"):
            done = browse(browser, tmp_path, address + path, "--dump-dom", "--window-size=500,900")
            assert complaints(done) == []
            shot = tmp_path / f"page-{path}.png"
            browse(browser, tmp_path, address + path, f"--screenshot={shot}", "--window-size=500,4200")
            with Image.open(shot) as picture:
                edge = np.asarray(picture.convert("L"), np.float64)[:, -6:]
            assert edge.std() < 2, f"/{path} reaches beyond its window"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_command_says_where_and_ends_in_order(mill: Mill, number: signal.Signals) -> None:
    with serving(mill.layout.root) as (process, address):
        with urllib.request.urlopen(address) as reply:  # noqa: S310 - the address that our own command printed
            assert reply.status == 200
        process.send_signal(number)
        assert process.wait(20) == 0
