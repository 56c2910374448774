"""Servers with a page made by Gradio."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.playground.conftest import HOSTILE, with_sample
from tests.serve import bundles

LABELS = (HOSTILE, *"123456789")
SENTENCES = ["the good tide", "bad bad", "good", "bad tide"]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for each task: img, txt, tab and reg (regression); one of the labels of img is markup."""
    root = tmp_path_factory.mktemp("gradio")
    bundles.image_bundle(root / "img", labels=LABELS)
    with_sample(root / "img", [bundles.picture(n) for n in range(30)], [LABELS[n % 10] for n in range(30)])
    bundles.text_bundle(root / "txt")
    with_sample(root / "txt", SENTENCES, ["good", "bad", "bad", "bad"])
    rows = [{"width": float(n - 10), "height": n / 4} for n in range(20)]
    bundles.tabular_bundle(root / "tab")
    with_sample(root / "tab", list(rows), ["small"] * 10 + ["large"] * 10)
    bundles.tabular_bundle(root / "reg", regression=True, name="price")
    with_sample(root / "reg", list(rows), [str(float(value)) for value in np.linspace(50, -50, 20)])
    return root


class Served:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], url: str, folder: Path, temporary: Path) -> None:
        self.process, self.url, self.folder, self.temporary = process, url, folder, temporary

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def client(self, **given: object) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, **given)  # type: ignore[arg-type]  # its own keywords

    def page_processes(self) -> list[int]:
        """The ids of the processes that make this server's page."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                said = path.read_bytes()
            except OSError:
                continue
            if b"gradio_page" in said and os.fsencode(self.temporary) in said:
                found.append(int(path.parent.name))
        return found

    def page_folders(self) -> list[Path]:
        """Where such processes keep what was uploaded."""
        return list(self.temporary.glob("tidemill-page-*"))

    def wait_for_page(self, seconds: float = 90) -> None:
        """Wait until the page is open, or asks for a token."""
        ends = time.monotonic() + seconds
        while (status := httpx.get(f"{self.url}/ui/").status_code) == 503:
            assert time.monotonic() < ends, (self.folder / "errors").read_text()
            time.sleep(0.2)
        assert status in (200, 401)


@contextmanager
def serving(
    models: Sequence[Path | str], folder: Path, *options: str, cwd: Path | None = None, **variables: str
) -> Iterator[Served]:
    """A server whose log and standard error are in `folder`; its temporary files have a folder of their own."""
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("Gradio is not installed")
    temporary = Path(tempfile.mkdtemp(prefix="tm-", dir="/tmp"))  # a socket's path has to be short
    command = [
        sys.executable,
        "-m",
        "tidemill",
        "serve",
        *map(str, models),
        "--port",
        "0",
        "--log",
        str(folder / "log"),
    ]
    environment = os.environ | {"TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"} | variables
    with (folder / "errors").open("w") as errors:
        process = subprocess.Popen(
            [*command, *(options or ("--ui", "gradio"))],
            cwd=cwd or folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        said = process.stdout.readline().split()
        url = next((word for word in said if word.startswith("http")), None)
        assert url, (folder / "errors").read_text()
        yield Served(process, url, folder, temporary)
    finally:
        process.terminate()
        process.wait(timeout=60)
        if process.stdout is not None:
            process.stdout.close()
        shutil.rmtree(temporary, ignore_errors=True)


def eventually(check: Callable[[], object], seconds: float = 60) -> None:
    """Wait until `check` gives something true."""
    ends = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < ends
        time.sleep(0.1)


@pytest.fixture(scope="module")
def served(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """All four models, with an open page."""
    folder = tmp_path_factory.mktemp("all")
    with serving([made / "img", made / "txt", made / "tab", made / "reg"], folder) as server:
        server.wait_for_page()
        yield server
