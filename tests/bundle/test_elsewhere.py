"""A bundle from elsewhere is tried in a process that may die, whoever loads it: once, and then it is known."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundle.hostile import abort, grow, lie
from tests.registry.run import tidemill
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.proofs import is_proven, remember
from tidemill.bundle.prove import libraries
from tidemill.bundle.read import read_record
from tidemill.errors import BundleError, GateError
from tidemill.project.layout import Layout
from tidemill.pyfunc import _load_pyfunc, load_model

ATTACKS = {
    "abort": (abort, "the process that tried it died of SIGABRT"),
    "grow": (grow, "cannot be used: "),
    "lie": (lie, r"golden request \d+ of iris: score"),
}
ROW = {"length": 5.1, "width": 3.5, "colour": "blue", "petal": 1.4}


@pytest.fixture(autouse=True)
def proofs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own folder, for there is no project here."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "state/tidemill/proofs"


@pytest.mark.parametrize("attack", ATTACKS)
def test_predict_refuses_it(example: Path, tmp_path: Path, proofs: Path, attack: str) -> None:
    spoil, why = ATTACKS[attack]
    spoil(example)
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    done = tidemill(Layout(tmp_path), "predict", str(example), str(tmp_path / "rows.csv"))
    assert done.code == 1 and done.out == ""
    assert re.search(why, done.err), done.err
    assert "Traceback" not in done.err and len(done.err.splitlines()) <= 3
    assert not is_proven(proofs, read_record(example)[1], libraries(OnnxRuntime()))


@pytest.mark.parametrize("load", [load_model, _load_pyfunc])
@pytest.mark.parametrize("attack", ATTACKS)
def test_pyfunc_refuses_it(example: Path, attack: str, load: Callable[[str], object]) -> None:
    spoil, why = ATTACKS[attack]
    spoil(example)
    with pytest.raises((BundleError, GateError), match=why):
        load(str(example))


def test_snippets_do_not_read_its_requests(example: Path, tmp_path: Path) -> None:
    abort(example)
    done = tidemill(Layout(tmp_path), "models", "snippet", str(example), "--for", "python")
    assert done.code == 1 and "SIGABRT" in done.err


def test_it_is_tried_once_and_then_known(example: Path, proofs: Path) -> None:
    digest = read_record(example)[1]
    load_model(str(example))
    assert is_proven(proofs, digest, libraries(OnnxRuntime()))
    lie(example)
    remember(proofs, read_record(example)[1], libraries(OnnxRuntime()))
    _load_pyfunc(str(example))  # not asked again, or it would be refused


def test_in_a_project_the_project_knows_it(example: Path, tmp_path: Path, proofs: Path) -> None:
    (tmp_path / "tidemill.toml").write_text('[project]\nname = "here"\ntask = "tabular"\n')
    load_model(str(example))
    assert is_proven(Layout(tmp_path.resolve()).proofs, read_record(example)[1], libraries(OnnxRuntime()))
    assert not proofs.exists()


def test_a_worker_without_a_home_tries_it_once(example: Path, tmp_path: Path) -> None:
    """As Spark's and Ray's workers may be: each a process of its own, and no folder but the temporary one."""
    (tmp_path / "temporary").mkdir()
    code = f"from tidemill.pyfunc import _load_pyfunc; _load_pyfunc({str(example)!r})"
    environment = {"HOME": "/proc/none", "TMPDIR": str(tmp_path / "temporary"), "PATH": "/usr/bin:/bin"}
    workers = [subprocess.Popen([sys.executable, "-c", code], env=environment, cwd="/") for _ in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    found = list((tmp_path / "temporary").glob("tidemill-proofs-*/*[0-9a-f]"))
    assert [each.name for each in found] == [read_record(example)[1].hex]
