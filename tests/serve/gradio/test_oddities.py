"""A bundle's examples may hold what no export writes: the page opens, and shows it as it is."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.playground.conftest import HOSTILE
from tidemill.serve.playground.gradio_page.asking import Answer
from tidemill.serve.playground.gradio_page.wording import brief, compared

HUGE = 10**400


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="Gradio is not installed")
def test_a_page_opens_whatever_its_examples_are(tmp_path: Path) -> None:
    script = Path(__file__).with_name("opens.py")
    done = subprocess.run([sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]


def test_what_is_no_number_is_shown_as_it_is_and_as_text() -> None:
    assert brief("1234.5678") == "1,234.6"
    assert brief("no number") == "no number"
    assert brief(HUGE) == str(HUGE)
    said = compared(Answer("id", "price", 1, "1.0", {}, 0.1), HOSTILE)
    assert HOSTILE not in said
    assert "&lt;img" in said
