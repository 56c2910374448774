"""A disk that a test makes slow, or broken, while a program writes to it: `disk.c`, compiled and preloaded."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_name("disk.c")


class Disk:
    """The files whose paths contain `part`, for every program that is started with `environment`."""

    def __init__(self, part: str, folder: Path) -> None:
        """Compile it. Skips the test where there is no compiler."""
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            pytest.skip("needs a C compiler, to make a disk slow")
        library, settings = folder / "disk.so", folder / "disk-settings"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, _SOURCE, "-ldl"], check=True)
        settings.write_bytes(bytes(16))
        with settings.open("r+b") as file:
            self._settings = mmap.mmap(file.fileno(), 16)
        preload = " ".join(filter(None, (str(library), os.environ.get("LD_PRELOAD"))))
        self.environment = {"LD_PRELOAD": preload, "FAULTY_PATH": part, "FAULTY_FILE": str(settings)}

    def set(self, *, write: float = 0, write_error: int = 0, sync: float = 0, sync_error: int = 0) -> None:
        """From now on each write and each sync takes so many seconds and fails with that errno, if it is one."""
        self._settings[:] = struct.pack("=4i", round(write * 1000), write_error, round(sync * 1000), sync_error)
