"""Bundles whose samples hold right and wrong answers, and a browser to look with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.playground.chrome import Tab, browsing
from tests.serve import bundles
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.examples import write_examples
from tidemill.bundle.predictor import Predictor
from tidemill.bundle.read import OpenBundle, open_bundle
from tidemill.bundle.reference import write_reference

if TYPE_CHECKING:
    from tidemill.ports import Raw

HOSTILE = "<img src=x onerror=alert(1)>"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def with_sample(directory: Path, inputs: Sequence[Raw], labels: Sequence[str]) -> OpenBundle:
    """The bundle with another sample, and examples: these inputs, what it says of them, these labels as the truth."""
    opened = open_bundle(directory)
    scored = Predictor(opened, OnnxRuntime().load(directory, opened.bundle, threads=1)).score(inputs)
    write_reference(directory, opened.bundle.signature, inputs, scored, labels)
    write_examples(directory, opened.bundle.signature, inputs, scored.scores, labels)
    bundles.reseal(directory, opened.bundle)
    return open_bundle(directory)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for each task: img, txt, tab and reg (regression); one of the labels of img is markup."""
    root = tmp_path_factory.mktemp("playground")
    labels = (HOSTILE, *"123456789")
    pictures = [bundles.picture(number) for number in range(60)]
    bundles.image_bundle(root / "img", labels=labels)
    with_sample(root / "img", pictures, [labels[number % 10] for number in range(60)])
    bundles.text_bundle(root / "txt")
    with_sample(root / "txt", ["the good tide", "bad bad", "good", "bad tide"], ["good", "bad", "bad", "bad"])
    bundles.tabular_bundle(root / "tab")
    rows: list[Raw] = [{"width": float(n - 10), "height": n / 4} for n in range(20)]
    with_sample(root / "tab", rows, ["small"] * 10 + ["large"] * 10)
    bundles.tabular_bundle(root / "reg", regression=True, name="price")
    with_sample(root / "reg", rows, [str(float(value)) for value in np.linspace(50, -50, 20)])
    return root


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A tab of a real browser."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no Chromium found: none of {', '.join(BROWSERS)} is on the PATH")
    with browsing(found, tmp_path_factory.mktemp("browser")) as opened:
        yield opened
