"""ONNX tensors kept in another file: refused wherever that lies, and nothing outside the bundle is opened."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from tests.bundle.graphs import external
from tests.bundle.sealing import edit, reseal
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.prove import prove
from tidemill.errors import BundleError

BYTES = 4 * 4


def _parent(bundle: Path, secret: Path) -> str:
    return f"../{secret.name}"


def _absolute(bundle: Path, secret: Path) -> str:
    return str(secret)


def _symbolic(bundle: Path, secret: Path) -> str:
    (bundle / "weights").symlink_to(secret)
    return "weights"


def _hard(bundle: Path, secret: Path) -> str:
    os.link(secret, bundle / "weights")
    return "weights"


def _sparse(bundle: Path, secret: Path) -> str:
    with (bundle / "weights").open("wb") as file:
        file.truncate(1 << 40)  # a terabyte that takes no room
    return "weights"


def _inside(bundle: Path, secret: Path) -> str:
    (bundle / "weights").write_bytes(bytes(BYTES))
    return "weights"


def _report(bundle: Path, secret: Path) -> str:
    """The one folder whose files may have any name."""
    os.link(secret, bundle / "report" / "weights")
    return "report/weights"


WAYS = [_parent, _absolute, _symbolic, _hard, _sparse, _inside, _report]


def _plant(bundle: Path, way: Callable[[Path, Path], str]) -> None:
    """Let the graph have a tensor that lies where `way` says; what can be sealed again is."""
    secret = bundle.parent / "secret"
    secret.write_bytes(b"secret".ljust(BYTES, b"\0"))
    tensor = external(way(bundle, secret))
    tensor.external_data.add(key="offset", value="0")
    tensor.external_data.add(key="length", value=str(BYTES))
    made = onnx.load(bundle / "model.onnx", load_external_data=False)
    made.graph.initializer.append(tensor)
    (bundle / "model.onnx").write_bytes(made.SerializeToString())
    if way is _sparse:  # a terabyte is not hashed
        edit(bundle, lambda record: record["files"].update(weights={"digest": "sha256:" + "0" * 64, "bytes": 1 << 40}))
    else:
        reseal(bundle)


@pytest.mark.parametrize("way", WAYS)
def test_a_tensor_elsewhere_is_refused(example: Path, way: Callable[[Path, Path], str]) -> None:
    _plant(example, way)
    with pytest.raises(BundleError) as refused:
        prove(example, None, runtime=OnnxRuntime())
    assert "\n" not in refused.value.headline
    if way in (_parent, _absolute, _report):  # the others are refused for the file itself
        assert "outside the file" in refused.value.headline


def test_a_sparse_tensor_with_its_data_elsewhere_is_refused(example: Path) -> None:
    made = onnx.load(example / "model.onnx")
    sparse = made.graph.sparse_initializer.add(dims=[9])
    sparse.values.CopyFrom(external("/etc/hostname"))
    sparse.indices.CopyFrom(TensorProto(data_type=TensorProto.INT64, dims=[4]))
    (example / "model.onnx").write_bytes(made.SerializeToString())
    reseal(example)
    with pytest.raises(BundleError, match="sparse"):
        prove(example, None, runtime=OnnxRuntime())


OPENS = """
import sys
from pathlib import Path
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.prove import prove
bundle, opened = Path(sys.argv[1]), []
def hear(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        opened.append(str(args[0]))
sys.addaudithook(hear)
try:
    prove(bundle, None, runtime=OnnxRuntime())
except Exception as error:
    print(type(error).__name__)
assert any(str(bundle) in path for path in opened)
outside = [path for path in opened if str(bundle.parent) in path and str(bundle) not in path or "secret" in path]
assert not outside, outside
"""


@pytest.mark.parametrize("way", [_parent, _absolute, _symbolic])
def test_nothing_outside_is_opened(example: Path, way: Callable[[Path, Path], str]) -> None:
    _plant(example, way)
    done = subprocess.run([sys.executable, "-c", OPENS, str(example)], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("BundleError", 0), done.stderr
