"""Every snippet is run as it is printed, and gives the answer that the model gives."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

from tests.registry.run import tidemill
from tests.snippets.conftest import MODELS
from tidemill.bundle.golden import read_golden
from tidemill.errors import InputError, NotFoundError
from tidemill.project import models
from tidemill.project.layout import Layout
from tidemill.project.servers import RunningServer, start_server
from tidemill.project.snippets import KINDS, snippet

PYTHON = [kind for kind in KINDS if kind not in ("curl", "spark")]


def expected(project: Layout, name: str) -> str:
    """What the model answers to the input that snippets use: the project's picture is the first golden request."""
    predictor = models.open_model(project, f"{name}/1")
    return predictor.predict([read_golden(predictor.opened)[0].input])[0].output


def run(project: Layout, lines: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", lines], cwd=project.root, capture_output=True, text=True, timeout=300,
        env={**os.environ, "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", MODELS.values(), ids=list(MODELS))
@pytest.mark.parametrize("kind", PYTHON)
def test_the_lines_give_the_models_answer(project: Layout, kind: str, name: str) -> None:
    printed = tidemill(project, "models", "snippet", f"{name}/1", "--for", kind)
    assert printed.code == 0
    assert expected(project, name) in run(project, printed.out)


@contextmanager
def served(project: Layout, model: str) -> Iterator[RunningServer]:
    server = start_server(project, model)
    try:
        yield server
    finally:
        server.stop()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("name", MODELS.values(), ids=list(MODELS))
def test_curl_asks_the_server_that_runs(project: Layout, name: str) -> None:
    with served(project, f"{name}/1") as server:
        lines = tidemill(project, "models", "snippet", f"{name}/1", "--for", "curl").out
        assert server.url in lines
        done = subprocess.run(["sh", "-c", lines], cwd=project.root, capture_output=True, text=True)
    assert f'"{name}"' in done.stdout, done
    assert expected(project, name) in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java")
@pytest.mark.skipif(find_spec("pyspark") is None, reason="pyspark is not installed")
@pytest.mark.parametrize("name", MODELS.values(), ids=list(MODELS))
def test_spark(project: Layout, name: str) -> None:
    printed = tidemill(project, "models", "snippet", f"{name}/1", "--for", "spark")
    assert expected(project, name) in run(project, printed.out)


def test_a_bundle_alone_needs_no_project(project: Layout) -> None:
    directory = str(models.local_bundle(project, models.resolve(project, "mood/1")))
    for kind in ("python", "pandas", "onnxruntime"):
        assert expected(project, "mood") in run(project, snippet(None, directory, kind))
    assert snippet(None, directory, "curl", url="http://far:1").rstrip().endswith("http://far:1/v1/models/mood:predict")
    for kind in ("mlflow", "spark"):
        with pytest.raises(InputError, match="MLflow does not know"):
            snippet(None, directory, kind)


def test_what_is_not_there_is_named(project: Layout) -> None:
    with pytest.raises(NotFoundError, match="did you mean pandas"):
        snippet(project, "mood/1", "panda")
    assert tidemill(project, "models", "snippet", "mood/9").code == 2
    assert tidemill(project, "models", "snippet", "mood/1", "--for", "excel").code == 2
    plain = tidemill(project, "models", "snippet", "mood/1", "--json").json
    assert (plain["for"], plain["lines"]) == ("python", snippet(project, "mood/1", "python"))
