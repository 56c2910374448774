"""A folder with a git repository, as somebody else's would be, and `tidemill run` in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TIDEMILL = (sys.executable, "-E", "-m", "tidemill")  # what a test sets for the script is not for us
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org")


class Folder:
    """Somebody's repository at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Coverage would measure the script, too, and write its findings: files that the run would rightly list.
        taken = ("MLFLOW_TRACKING_URI", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in taken},
            "OMP_NUM_THREADS": "1", "GOMP_SPINCOUNT": "1000",
        }  # fmt: skip

    def write(self, name: str, text: str | bytes) -> Path:
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode() if isinstance(text, str) else text)
        return target

    def commit(self) -> None:
        subprocess.run((*GIT, "add", "-A"), cwd=self.path, check=True)
        subprocess.run((*GIT, "commit", "-qm", "start"), cwd=self.path, check=True)

    def bare(self, *command: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
        more = {"capture_output": True, "env": self.environment, **more}
        return subprocess.run(command, cwd=self.path, timeout=120, check=False, **more)

    def run(self, *command: str, options: tuple[str, ...] = (), **more: Any) -> subprocess.CompletedProcess[bytes]:
        return self.bare(*TIDEMILL, "run", *options, "--", *command, **more)

    def python(self, *words: str, options: tuple[str, ...] = (), **more: Any) -> subprocess.CompletedProcess[bytes]:
        return self.run(sys.executable, *words, options=options, **more)

    def show(self, run: str = "last") -> dict[str, Any]:
        done = self.bare(*TIDEMILL, "run", "--show", run, "--json")
        assert done.returncode == 0, done.stderr.decode()
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def kept(self, name: str) -> bytes:
        """An artefact of the last run."""
        return (Path(self.show()["artifacts"]) / name).read_bytes()

    def names(self, kind: str) -> set[str]:
        return {file["path"] for file in self.show()["captured"][kind]}


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `.tidemill/` whose database and library are made already."""
    folder = Folder(tmp_path_factory.mktemp("first"))
    done = folder.python("-c", "pass")
    assert done.returncode == 0, done.stderr.decode()
    return folder.path / ".tidemill"


@pytest.fixture
def folder(tmp_path: Path, state: Path) -> Folder:
    place = tmp_path / "theirs"
    place.mkdir()
    subprocess.run(("git", "init", "-q"), cwd=place, check=True)
    shutil.copytree(state, place / ".tidemill", ignore=shutil.ignore_patterns("artifacts", "staging"))
    return Folder(place)


@pytest.fixture
def same(folder: Folder) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs a script without and with Tidemill, and holds that nothing visible differs."""

    def run(*words: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
        without = folder.bare(sys.executable, *words, **more)
        within = folder.python(*words, **more)
        assert (within.returncode, within.stdout, within.stderr) == (
            without.returncode, without.stdout, without.stderr,
        )  # fmt: skip
        return within

    return run
