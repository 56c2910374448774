"""One message, one remedy, one exit code; never a traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tidemill import errors


def _tidemill(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tidemill", *args], capture_output=True, text=True, cwd=cwd)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("trian",), "did you mean train"),
        (("train",), "not in a Tidemill project"),
        (("models", "promote", "digits", "one"), "'one' is not a valid integer"),
        (("models", "lst"), "lst"),
        (("init", "x", "--task", "sound"), "sound"),
        (("init",), "Missing argument"),
        (("monitor", "digits"), "tidemill init"),
        (("serve",), "Missing argument"),
    ],
)
def test_wrong_input_exits_with_two(args: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = _tidemill(*args, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_names_the_pip_line(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'mlflow', 'hydra', 'dvc', 'sqlalchemy', 'omegaconf'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Hide())\n"
    )
    project = tmp_path / "p"
    project.mkdir()
    (project / "tidemill.toml").write_text('[project]\nname = "p"\ntask = "image"\n')
    done = subprocess.run(
        [sys.executable, "-m", "tidemill", "train"],
        capture_output=True,
        text=True,
        cwd=project,
        env={"PYTHONPATH": str(hidden), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 1
    assert "pip install 'tidemill[train]'" in done.stderr


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, errors.StorageError),
        (errno.EACCES, errors.StorageError),
        (errno.EADDRINUSE, errors.BusyError),
        (errno.ENOENT, errors.NotFoundError),
    ],
)
def test_every_system_error_has_a_remedy(number: int, kind: type[errors.TidemillError]) -> None:
    rendered = errors.from_os_error(OSError(number, "as the kernel says it", "a/file"), "writing the bundle")
    assert isinstance(rendered, kind)
    assert rendered.remedy
    assert "writing the bundle" in rendered.headline


def test_nearest_names_come_first() -> None:
    assert errors.nearest("resnet8", ["resnet18", "alexnet", "small_cnn"]) == "did you mean resnet18?"
    assert "no models yet" in errors.nearest("x", [], kind="models")


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Error while serializing: I/O error: No space left on device (os error 28)", errors.StorageError),
        ("(sqlite3.OperationalError) database or disk is full", errors.StorageError),
        ("(sqlite3.OperationalError) database is locked [SQL: …]", errors.BusyError),
        ("attempt to write a readonly database", errors.StorageError),
    ],
)
def test_what_libraries_only_say_in_words_has_a_remedy_too(message: str, kind: type[errors.TidemillError]) -> None:
    rendered = errors.from_message(message)
    assert isinstance(rendered, kind)
    assert rendered.remedy
    assert errors.from_message("something else") is None


def test_a_closed_output_is_no_bug(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"exec '{sys.executable}' -m tidemill doctor >&-"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("uri", "code", "said"),
    [
        ("foo://bar", 2, "is no database and no server"),
        ("some/folder", 2, "is no database and no server"),
        ("http://127.0.0.1:9", 1, "the tracking server 127.0.0.1:9 cannot be reached"),
    ],
)
def test_a_wrong_tracking_uri_is_said_at_once(uri: str, code: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "tidemill.toml").write_text('[project]\nname = "p"\ntask = "image"\n')
    done = subprocess.run(
        [sys.executable, "-m", "tidemill", "models", "list"],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "MLFLOW_TRACKING_URI": uri},
    )  # fmt: skip
    assert done.returncode == code
    assert said in done.stderr
