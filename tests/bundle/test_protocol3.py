"""A bundle of protocol 3 opens, passes its golden requests and answers, and always must, with Arrow and without."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.bundle.sealing import reseal
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.golden import read_golden, replay
from tidemill.bundle.predictor import Predictor
from tidemill.bundle.prove import prove
from tidemill.bundle.read import open_bundle
from tidemill.domain.digest import Digest
from tidemill.errors import BundleError, GateError

EXAMPLE = Path(__file__).parent / "protocol3"
DIGEST = Digest("sha256:84e2b41a73c3fac2f46d6e02e78c217497ec2935976b181a855e7c09fa61e4be")
ROW = {"a b": 900.0, "a_b": 3, "größe": "x", "n!": "1"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "bundle"))


def test_it_opens_replays_and_answers() -> None:
    opened = open_bundle(EXAMPLE, expected=DIGEST)
    assert opened.bundle.protocol == 3
    rows = read_golden(opened)
    assert len(rows) == 8 and rows[0].input == {"a b": None, "a_b": 50, "größe": "x", "n!": "1"}
    assert rows[0].scores.dtype == np.float32 and rows[0].scores[1] == np.float32(0.6862048506736755)
    session = OnnxRuntime().load(opened.directory, opened.bundle, threads=1)
    replay(opened, session)
    (answer,) = Predictor(opened, session).predict([ROW])
    assert answer.output == "d"


WITHOUT = """
import json, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pyarrow", "pandas", "tokenizers"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
from pathlib import Path
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.examples import read_examples
from tidemill.bundle.golden import replay
from tidemill.bundle.predictor import Predictor
from tidemill.bundle.read import open_bundle
from tidemill.errors import TidemillError
try:
    opened = open_bundle(Path(sys.argv[1]))
    session = OnnxRuntime().load(opened.directory, opened.bundle, threads=1)
    replay(opened, session)
    assert read_examples(opened)["examples"]
    print(Predictor(opened, session).predict([json.loads(sys.argv[2])])[0].output)
except TidemillError as error:
    print(error.headline, error.remedy)
"""


def _without_arrow(directory: Path) -> str:
    command = [sys.executable, "-c", WITHOUT, str(directory), json.dumps(ROW)]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ}).stdout.strip()


def test_nothing_of_it_needs_arrow_and_an_older_one_says_what_it_needs() -> None:
    assert _without_arrow(EXAMPLE) == "d"
    said = _without_arrow(EXAMPLE.parent / "protocol2")
    assert "protocol 1 or 2" in said and "pip install 'tidemill[parquet]'" in said


def _rows(directory: Path) -> list[bytes]:
    return (directory / "golden.jsonl").read_bytes().splitlines()


@pytest.mark.parametrize(
    "row",
    [
        b"", b"[]", b"{}", b"[" * 100_000, b"\xff", b'{"input": {}, "scores": [1]}',
        b'{"input": 1, "scores": [0, 0, 0, 1], "output": "a"}', b'{"input": {}, "scores": 1, "output": "a"}',
        b'{"input": {}, "scores": [true, 0, 0, 1], "output": "a"}', b'{"input": {}, "scores": [0, 1], "output": "a"}',
        b'{"input": {}, "scores": [0, 0, 0, 1], "output": 1}', b'{"input": {}, "scores": [0, 0, 0, 1%s], "output": "a"}'
        % (b"0" * 400),
    ],
)  # fmt: skip
def test_a_row_that_is_none_is_a_bundle_error(copy: Path, row: bytes) -> None:
    lines = _rows(copy)
    (copy / "golden.jsonl").write_bytes(b"\n".join([lines[0], row, *lines[2:]]))
    reseal(copy)
    with pytest.raises(BundleError, match=r"golden\.jsonl cannot be used"):
        read_golden(open_bundle(copy))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "1e39"])
def test_a_kept_score_that_is_no_number_hides_nothing(copy: Path, number: str) -> None:
    lines = _rows(copy)
    row = json.loads(lines[2])
    row["scores"][0] = "X"
    lines[2] = json.dumps(row).replace('"X"', number).encode()
    (copy / "golden.jsonl").write_bytes(b"\n".join(lines))
    reseal(copy)
    with pytest.raises(GateError, match=r"golden request 1 .*difference inf"):
        prove(copy, None, runtime=OnnxRuntime())


@pytest.mark.parametrize("more", [-1, 1])
def test_too_few_or_too_many_rows_are_a_bundle_error(copy: Path, more: int) -> None:
    lines = _rows(copy)
    (copy / "golden.jsonl").write_bytes(b"\n".join([*lines, lines[-1]] if more > 0 else lines[:-1]))
    reseal(copy)
    with pytest.raises(BundleError, match=r"golden\.jsonl cannot be used: it has"):
        read_golden(open_bundle(copy))


@pytest.mark.parametrize("name", ["examples.json", "golden.jsonl"])
def test_its_files_are_all_required(copy: Path, name: str) -> None:
    (copy / name).unlink()
    reseal(copy)
    with pytest.raises(BundleError, match=f"does not list {name}"):
        open_bundle(copy)


def test_damaged_examples_are_found_before_it_serves(copy: Path) -> None:
    (copy / "examples.json").write_text("{}")
    reseal(copy)
    with pytest.raises(BundleError, match="examples of shapes cannot be read"):
        prove(copy, None, runtime=OnnxRuntime())
