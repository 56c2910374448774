"""Where fsync fails, nothing is called saved: the command says so, and the state is the old one or the new."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Copier
from .disk import Disk
from .kill import Done, tidemill

pytestmark = pytest.mark.slow


def _on(disk: Disk, project: Path, *args: str) -> Done:
    done = subprocess.run(
        [sys.executable, "-m", "tidemill", *args],
        cwd=project, env=os.environ | disk.environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "args",
    [
        ("data", "add", "{table}", "--name", "more"),
        ("train", "model=linear", "seed=9"),
        ("models", "promote", "cancer", "2", "--force", "because"),
        ("export", "cancer/2"),
    ],
    ids=lambda args: " ".join(args[:2]),
)
def test_a_command_whose_files_cannot_be_synced_fails_and_can_be_repeated(
    trained: Copier, tmp_path: Path, args: tuple[str, ...]
) -> None:
    project = trained("unsynced")
    table = tmp_path / "more.csv"
    table.write_text("size,colour,label\n" + "".join(f"{i},{'red' if i % 3 else 'blue'},{i % 2}\n" for i in range(300)))
    asked = tuple(each.replace("{table}", str(table)) for each in args)
    disk = Disk("/unsynced/", tmp_path)
    disk.set(sync_error=errno.EIO)

    failed = _on(disk, project, *asked)
    print(failed)

    assert failed.code == 1
    assert "error: " in failed.err
    assert "Traceback" not in failed.err
    manifest = json.loads((project / ".tidemill/serving/cancer/champion.json").read_text())
    assert manifest["version"] == 1
    disk.set()
    assert _on(disk, project, *asked).code == 0
    doctor = tidemill("doctor", cwd=project)
    assert doctor.code == 0, doctor.out
