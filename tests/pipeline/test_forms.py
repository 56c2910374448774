"""The steps as DVC, Prefect and Kubeflow have them, by the real programs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidemill.errors import ConfigError, MissingExtraError
from tidemill.project import pipeline
from tidemill.project.layout import Layout

from .conftest import SETTINGS

BIN = Path(sys.executable).parent


def call(project: Layout, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A command of this environment, in the project's folder."""
    whole = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1", **env}
    done = subprocess.run([BIN / command[0], *command[1:]], cwd=project.root, env=whole, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done


def test_dvc_sees_all_that_the_code_makes_of(project: Layout) -> None:
    for name in ("src", "pretrained"):
        (project.root / name).mkdir(exist_ok=True)
    pipeline.write_dvc(project, SETTINGS)
    stages = yaml.safe_load((project.root / "dvc.yaml").read_text())["stages"]
    for name in ("train", "evaluate"):
        assert {"src", "pretrained"} <= set(stages[name]["deps"])


def test_a_dvc_pipeline_may_have_no_stages_yet(project: Layout) -> None:
    own = project.root / "dvc.yaml"
    own.write_text("plots: []\nstages:\n")
    pipeline.write_dvc(project, SETTINGS)
    content = yaml.safe_load(own.read_text())
    assert set(content["stages"]) == {"data", "train", "evaluate", "export", "register"}
    assert content["plots"] == []


@pytest.mark.slow
def test_dvc_repro_does_what_changed(project: Layout) -> None:
    own = project.root / "dvc.yaml"
    own.write_text("stages:\n  mine:  # stays\n    cmd: echo mine > mine.txt\n    outs:\n    - mine.txt\n")
    pipeline.write_dvc(project, SETTINGS)
    assert "# stays" in own.read_text()
    first = call(project, "dvc", "repro")
    assert all(
        f"Running stage '{name}'" in first.stdout for name in ("data", "train", "evaluate", "export", "register")
    )
    assert "Running stage" not in call(project, "dvc", "repro").stdout.replace("Running stage 'mine'", "")
    for command in (["add", "-A"], ["commit", "-qm", "a pipeline"]):
        subprocess.run(["git", *command], cwd=project.root, check=True)
    params = project.root / "params.yaml"
    params.write_text(params.read_text().replace("tolerance: 0.001", "tolerance: 0.002"))
    told = json.loads(call(project, "dvc", "params", "diff", "--json").stdout)
    assert told["params.yaml"]["export.tolerance"]["new"] == 0.002
    second = call(project, "dvc", "repro").stdout
    assert "Running stage 'export'" in second
    assert "Running stage 'train'" not in second
    metrics = json.loads(call(project, "dvc", "metrics", "show", "--json").stdout)
    assert metrics[""]["data"]["pipeline/metrics.json"]["data"]["accuracy"] > 0.9
    for name in ("train", "export"):
        assert f"/{name}\n" in (project.root / "pipeline" / ".gitignore").read_text()


def test_a_file_that_is_no_dvc_pipeline_is_left_alone(project: Layout) -> None:
    own = project.root / "dvc.yaml"
    for content in ("- a\n", "stages: [\n", "stages: [a]\n"):
        own.write_text(content)
        with pytest.raises(ConfigError):
            pipeline.write_dvc(project, SETTINGS)
        assert own.read_text() == content


def _tasks(file: Path) -> dict[str, Any]:
    tasks: dict[str, Any] = next(yaml.safe_load_all(file.read_text()))["root"]["dag"]["tasks"]
    return tasks


def _dag(file: Path) -> dict[str, set[str]]:
    return {name: set(task.get("dependentTasks", ())) for name, task in _tasks(file).items()}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of kfp's own imports
def test_kubeflow_has_the_steps_in_order(project: Layout, tmp_path: Path) -> None:
    out = tmp_path / "pipeline.yaml"
    pipeline.write_kubeflow(project, SETTINGS, out=out, image="registry.example/cancer:1")
    assert _dag(out) == {
        "data": set(),
        "train": {"data"},
        "evaluate": {"data", "train"},
        "export": {"data", "train", "evaluate"},
        "register": {"export"},
    }
    spec = next(yaml.safe_load_all(out.read_text()))
    container = spec["deploymentSpec"]["executors"]["exec-evaluate"]["container"]
    assert container["image"] == "registry.example/cancer:1"
    assert container["command"][:4] == ["tidemill", "pipeline", "step", "evaluate"]
    assert "model=linear" in container["command"]
    assert container["args"][:5] == [
        "--out", "{{$.outputs.artifacts['outcome'].path}}", "--given", "data", "{{$.inputs.artifacts['data'].path}}",
    ]  # fmt: skip
    cached = {name: task["cachingOptions"].get("enableCache", False) for name, task in _tasks(out).items()}
    assert cached == {"data": False, "train": True, "evaluate": True, "export": True, "register": True}
    inputs: dict[str, Any] = spec["root"]["inputDefinitions"]["parameters"]
    assert inputs["seed"] == {"defaultValue": 42.0, "isOptional": True, "parameterType": "NUMBER_INTEGER"}
    assert inputs["optimizer_lr"]["parameterType"] == "NUMBER_DOUBLE"
    assert inputs["data_version"]["defaultValue"] == "latest"
    with pytest.raises(ConfigError, match="sed"):
        pipeline.write_kubeflow(project, SETTINGS, out=out, image="x", params=["sed"])


def test_a_prefect_flow_needs_no_server(project: Layout) -> None:
    command = ("tidemill", "pipeline", "prefect", *SETTINGS, "--json")
    home = str(project.root.parent / "prefect")
    first = json.loads(call(project, *command, PREFECT_HOME=home).stdout)
    assert [each["cached"] for each in first] == [False] * 5
    assert [each.cached for each in pipeline.run(project, SETTINGS)] == [True] * 5


@pytest.mark.slow
def test_a_prefect_server_sees_the_flow(project: Layout, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {
        "PREFECT_HOME": str(tmp_path / "home"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1",
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
    }  # fmt: skip
    server = subprocess.Popen(
        [BIN / "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait(f"{env['PREFECT_API_URL']}/health", server)
        call(project, "tidemill", "pipeline", "prefect", *SETTINGS, **env)
        flows = _post(f"{env['PREFECT_API_URL']}/flow_runs/filter", {})
        tasks = _told(f"{env['PREFECT_API_URL']}/task_runs/filter", 5)
    finally:
        server.terminate()
        server.wait(30)
    assert [each["state_type"] for each in flows] == ["COMPLETED"]
    assert {each["name"].rsplit("-", 1)[0] for each in tasks} == {"data", "train", "evaluate", "export", "register"}
    assert {each["state_type"] for each in tasks} == {"COMPLETED"}


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert server.poll() is None
        try:
            urllib.request.urlopen(url, timeout=5).read()  # noqa: S310 - the server started here
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the server does not answer")


def _told(url: str, number: int) -> list[dict[str, Any]]:
    """The server writes down what became of tasks after it has heard of it."""
    for _ in range(300):
        found = _post(url, {})
        if len([each for each in found if each["state_type"] == "COMPLETED"]) >= number:
            return found
        time.sleep(0.1)
    raise AssertionError(found)


def _post(url: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310
    answer: list[dict[str, Any]] = json.loads(urllib.request.urlopen(request, timeout=30).read())  # noqa: S310
    return answer


@pytest.mark.parametrize(("module", "extra"), [("kfp", "kubeflow"), ("prefect", "prefect")])
def test_what_is_not_installed_is_named(
    project: Layout, monkeypatch: pytest.MonkeyPatch, module: str, extra: str
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"tidemill\[{extra}\]"):
        if module == "kfp":
            pipeline.write_kubeflow(project, SETTINGS, out=project.root / "p.yaml", image="x")
        else:
            pipeline.run_prefect(project, SETTINGS)
