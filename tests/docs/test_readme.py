"""The README's tour, run word for word: each line as it stands, `serve` in a terminal of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent


def _free_port() -> str:
    """So that tours can run beside each other, and beside whatever holds 8080."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return str(listening.getsockname()[1])


def _block(mark: str) -> list[str]:
    found = re.search(rf"<!-- tour: {mark} -->\n```bash\n(.*?)```", README, re.DOTALL)
    assert found is not None, f"the README has no tour {mark!r}"
    return [line.split("  #")[0].strip() for line in found.group(1).splitlines() if line.strip()]


def _shell(line: str, cwd: Path) -> str:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-ec", line], cwd=cwd, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def _terminal(line: str, cwd: Path) -> Iterator[None]:
    """`line` in a terminal of its own until it says ready; stopped by Ctrl-C at the end."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    with (cwd / "terminal.log").open("w+") as log:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {line}"], cwd=cwd, stdout=log, stderr=subprocess.STDOUT, env=environment
        )
        try:
            deadline = time.monotonic() + 60
            while "ready" not in (cwd / "terminal.log").read_text():
                assert process.poll() is None and time.monotonic() < deadline, (cwd / "terminal.log").read_text()
                time.sleep(0.1)
            yield
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0, (cwd / "terminal.log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["image", "text", "tabular"])
def test_the_tour_works_word_for_word(task: str, tmp_path: Path) -> None:
    first, second = _block(task), _block(f"{task}, continued")
    port = _free_port()
    name = first[0].split()[2]
    assert first[-1] == f"tidemill serve {name}@champion --port 8080"
    _shell(first[0], tmp_path)
    project = tmp_path / name
    for line in first[1:-1]:
        _shell(line, project)
    with _terminal(first[-1].replace("8080", port), project):
        answer = json.loads(_shell(second[0].replace("8080", port), project))
        prediction = answer["predictions"][0]["id"]
        said = {line: _shell(line.replace("PREDICTION_ID", prediction), project) for line in second[1:]}
    assert f"{name}/1" in said["tidemill trace PREDICTION_ID"]
    assert "wait" in said[f"tidemill retrain {name}"]
    if task == "image":
        _opens_in_mlflow(project)
        _serves_from_a_bundle(project, _free_port())


def _opens_in_mlflow(project: Path) -> None:
    found = re.search(r"```python\n(import mlflow\n.*?)```", README, re.DOTALL)
    assert found is not None
    code = found.group(1) + "\nprint(model.predict([open('examples/seven.png', 'rb').read()])['output'][0])"
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True)
    assert done.stdout.strip() == "7", done.stderr


def _serves_from_a_bundle(project: Path, port: str) -> None:
    export, serve = (
        line.split("  #")[0].strip() for line in README.splitlines() if line.strip().endswith(("trained", "it serves"))
    )
    _shell(export, project)
    with _terminal(f"{serve} --port {port}", project):
        answer = _shell(f"curl -F file=@examples/seven.png localhost:{port}/v1/models/digits:predict", project)
    assert json.loads(answer)["predictions"][0]["class"] == "7"


def test_the_first_commands_are_the_two() -> None:
    lines = [line.split("#")[0].strip() for line in README.splitlines() if line.startswith("    make")]
    assert lines == ["make demo", "make test"]
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "test", "check"):
        assert re.search(rf"make {target} +\S", said)


def test_every_link_leads_somewhere() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
