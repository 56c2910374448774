"""Nothing that comes with a model is ever run: no pickle, no checkpoint, nothing made because a file names it."""

from __future__ import annotations

import ast
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch

import tidemill
from tests.bundle.sealing import Record, edit, reseal
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.preprocess import Preprocessor
from tidemill.bundle.prove import prove
from tidemill.bundle.sentences import Sentences
from tidemill.domain.bundle import ImagePreprocessing, TextPreprocessing
from tidemill.errors import BundleError, GateError, ItemError

SOURCE = Path(tidemill.__file__).parent
FORBIDDEN = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch", "skops"}
CALLS = {"eval", "exec", "compile", "__import__"}
READS = sorted(path for folder in ("bundle", "serve", "journal", "domain", "backends/runtimes", "backends/sinks")
               for path in (SOURCE / folder).rglob("*.py"))  # fmt: skip


class Command:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def _attacks(trap: Path) -> dict[str, bytes]:
    command, files = Command(str(trap)), {name: io.BytesIO() for name in ("joblib", "torch", "numpy")}
    joblib.dump(command, files["joblib"])
    torch.save({"state_dict": command}, files["torch"])
    np.save(files["numpy"], np.array([command], object), allow_pickle=True)
    return {"pickle": pickle.dumps(command)} | {name: file.getvalue() for name, file in files.items()}


@pytest.mark.parametrize("kind", ["pickle", "joblib", "torch", "numpy"])
@pytest.mark.parametrize("name", ["model.onnx", "golden.parquet", "reference.parquet", "bundle.json"])
def test_a_file_that_runs_when_it_is_unpickled_is_refused_and_not_run(
    example: Path, tmp_path: Path, name: str, kind: str
) -> None:
    trap = tmp_path / "trap"
    (example / name).write_bytes(_attacks(trap)[kind])
    if name != "bundle.json":
        reseal(example)
    with pytest.raises((BundleError, GateError)):
        prove(example, None, runtime=OnnxRuntime())
    assert not trap.exists()


@pytest.mark.parametrize("kind", ["pickle", "joblib", "torch", "numpy"])
def test_neither_as_a_tokenizer_nor_as_a_picture(tmp_path: Path, kind: str) -> None:
    content = _attacks(tmp_path / "trap")[kind]
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(BundleError):
        Sentences(TextPreprocessing(8, 0), tmp_path / "tokenizer.json")
    with pytest.raises(ItemError):
        Preprocessor(ImagePreprocessing("RGB", 8, 8)).prepare([content])
    assert not (tmp_path / "trap").exists()


def test_the_attacks_would_work_where_they_are_unpickled(tmp_path: Path) -> None:
    pickle.loads(_attacks(tmp_path / "trap")["pickle"])  # noqa: S301 - that it is unsafe is what is shown
    assert (tmp_path / "trap").exists()


@pytest.mark.parametrize("place", ["record", "preprocessing", "signature", "column"])
def test_a_target_in_the_record_is_refused(example: Path, tmp_path: Path, place: str) -> None:
    target = {"_target_": "os.system", "_args_": [f"touch {tmp_path / 'trap'}"]}

    def change(record: Record) -> None:
        {"record": record, "preprocessing": record["preprocessing"], "signature": record["signature"],
         "column": record["preprocessing"]["columns"][0]}[place].update(target)  # fmt: skip

    edit(example, change)
    with pytest.raises(BundleError, match=r"_target_|_args_"):
        prove(example, None, runtime=OnnxRuntime())
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("name", ["config.json", "modeling.py", "report/hook.py", "__init__.py"])
def test_code_beside_the_model_is_refused_or_never_read(example: Path, tmp_path: Path, name: str) -> None:
    (example / name).write_text(f"import os; os.system('touch {tmp_path / 'trap'}')")
    reseal(example)
    if name.startswith("report/"):  # a report may hold any file; it is only ever shown
        prove(example, None, runtime=OnnxRuntime())
    else:
        with pytest.raises(BundleError, match="no part of a bundle"):
            prove(example, None, runtime=OnnxRuntime())
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("path", READS, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_what_reads_and_serves_names_nothing_that_runs_data(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not FORBIDDEN & {name.name.split(".")[0] for name in node.names}, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in FORBIDDEN, node.lineno
        elif isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            assert not (isinstance(node.func, ast.Name) and name in CALLS), node.lineno
            keywords = {each.arg: each.value for each in node.keywords}
            for risky in ("allow_pickle", "shell", "trust_remote_code"):
                value = keywords.get(risky)
                assert value is None or (isinstance(value, ast.Constant) and value.value is False), node.lineno


def test_a_whole_load_unpickles_nothing(example: Path) -> None:
    """Python tells of every unpickling, in whatever library."""
    program = (
        "import sys; from pathlib import Path; found = [];"
        "sys.addaudithook(lambda event, args: found.append(args) if event == 'pickle.find_class' else None);"
        "from tidemill.backends.runtimes.onnx import OnnxRuntime; from tidemill.bundle.golden import replay;"
        "from tidemill.bundle.read import open_bundle; from tidemill.bundle.reference import read_reference;"
        "opened = open_bundle(Path(sys.argv[1]));"
        "replay(opened, OnnxRuntime().load(opened.directory, opened.bundle, threads=1)); read_reference(opened);"
        "assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", program, str(example)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
