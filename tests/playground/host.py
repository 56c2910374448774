"""The real server, with its page."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(models: Sequence[Path | str], folder: Path, token: str | None = None) -> Iterator[str]:
    """The address of a server of `models`, started in `folder`, whose log is at folder/log."""
    environment = dict(os.environ)
    if token is not None:
        environment["TIDEMILL_TOKEN"] = token
    command = [sys.executable, "-m", "tidemill", "serve", *models, "--port", "0", "--log", str(folder / "log")]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline().split()
            yield next(word for word in said if word.startswith("http"))
        finally:
            process.terminate()
