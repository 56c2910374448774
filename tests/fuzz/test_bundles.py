"""Files of a bundle changed at random and sealed again: proven, or refused with one clear error. This process lives."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bundle.conftest import EXAMPLE
from tests.bundle.sealing import reseal
from tests.fuzz.conftest import FUZZ
from tests.fuzz.mutate import mutated
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.examples import read_examples
from tidemill.bundle.golden import read_golden
from tidemill.bundle.preprocess import Preprocessor
from tidemill.bundle.prove import Limits, prove
from tidemill.bundle.read import open_bundle
from tidemill.domain.bundle import TextPreprocessing
from tidemill.errors import BundleError, GateError, TidemillError

FILES = ("model.onnx", "golden.parquet", "reference.parquet")


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
@settings(FUZZ, max_examples=max(15, FUZZ.max_examples // 10))
@given(data=st.data())
def test_a_damaged_file_is_tried_elsewhere(tmp_path: Path, name: str, data: st.DataObject) -> None:
    shutil.rmtree(tmp_path / "bundle", ignore_errors=True)
    directory = Path(shutil.copytree(EXAMPLE, tmp_path / "bundle"))
    (directory / name).write_bytes(data.draw(mutated((EXAMPLE / name).read_bytes())))
    reseal(directory)
    try:
        prove(directory, None, runtime=OnnxRuntime(), limits=Limits(1 << 30, 8, 30))
    except (BundleError, GateError) as refused:
        assert "\n" not in refused.headline
        assert "took longer" not in refused.headline


JSON = EXAMPLE.parent / "protocol3"


@pytest.mark.parametrize("name", ["golden.jsonl", "examples.json"])
@FUZZ
@given(data=st.data())
def test_damaged_requests_are_read_or_refused(tmp_path: Path, name: str, data: st.DataObject) -> None:
    """They are plain JSON, so that they need no process of their own to be read in."""
    shutil.rmtree(tmp_path / "bundle", ignore_errors=True)
    directory = Path(shutil.copytree(JSON, tmp_path / "bundle"))
    (directory / name).write_bytes(data.draw(mutated((JSON / name).read_bytes())))
    reseal(directory)
    opened = open_bundle(directory)
    try:
        read_golden(opened)
        read_examples(opened)
    except (BundleError, GateError) as refused:
        assert refused.remedy and "\n" not in refused.headline


TABLE = (EXAMPLE / "reference.parquet").read_bytes()


READ = """
import sys
from pathlib import Path
from tidemill.bundle.parquet import read_columns
from tidemill.bundle.reference import COLUMNS
from tidemill.errors import BundleError
try:
    read_columns(Path(sys.argv[1]), COLUMNS)
except BundleError as refused:
    assert refused.remedy
"""


@pytest.mark.slow
@settings(FUZZ, max_examples=max(15, FUZZ.max_examples // 10))
@given(data=st.data())
def test_the_columns_of_a_damaged_file(tmp_path: Path, data: st.DataObject) -> None:
    """Its end, where the pages are described: read, refused, or the death of the process that tries: Arrow aborts on
    some. Never an exception that nobody foresaw."""
    content = bytearray(TABLE)
    at = len(content) - 8 - data.draw(st.integers(0, min(3000, len(content) - 9)))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / "file").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / "file")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode in (0, -signal.SIGABRT, -signal.SIGSEGV), done.stderr


TOKENIZER = b"""{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":{"type":"Lowercase"},
"pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
"model":{"type":"WordLevel","vocab":{"[UNK]":0,"the":1,"tide":2},"unk_token":"[UNK]"}}"""


@FUZZ
@given(content=mutated(TOKENIZER))
def test_a_damaged_tokenizer(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    try:
        Preprocessor(TextPreprocessing(8, 0), tmp_path / "tokenizer.json").prepare(["the tide turns"])
    except TidemillError as refused:
        assert refused.remedy
