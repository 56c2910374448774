"""Reading a bundle and predicting needs the base install alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.bundle.conftest import EXAMPLE

HEAVY = ("torch", "pandas", "mlflow", "onnx", "sqlalchemy", "sklearn", "hydra", "omegaconf", "dvc", "duckdb", "scipy")

# As in a base install: the names of what trains cannot be imported.
PROGRAM = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {heavy!r}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
sys.argv = ["tidemill", "predict", {model!r}, {path!r}]
from tidemill.cli import main
main()
"""


def test_a_bundle_predicts_where_nothing_that_trains_is_installed(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("sepal length,petal length,petal width mm,colour\n5.0,1.4,2,blue\n6.9,,21,white\n")
    program = PROGRAM.format(heavy=HEAVY, model=str(EXAMPLE), path=str(table))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert lines[0] == ["sepal length", "petal length", "petal width mm", "colour", "output", "score"]
    assert [line[4] for line in lines[1:]] == ["setosa", "virginica"]
