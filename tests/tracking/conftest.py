"""Servers for the tests of tracking: an MLflow server, and a PostgreSQL where there is one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .servers import POSTGRES, MlflowServer, Postgres


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    found = MlflowServer(tmp_path_factory.mktemp("server"))
    found.start()
    yield found
    found.kill()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    if not (POSTGRES / "postgres").is_file() or shutil.which("setpriv") is None:
        pytest.skip("no PostgreSQL 15 here")
    with tempfile.TemporaryDirectory(prefix="tidemill-postgres-") as folder:  # another user must get there
        Path(folder).chmod(0o755)
        found = Postgres(Path(folder))
        yield found
        found.kill()
