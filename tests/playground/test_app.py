"""The page's own addresses, apart from any server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from tidemill.bundle.read import open_bundle
from tidemill.errors import NotFoundError
from tidemill.serve.playground.app import OPEN, STATIC, playground
from tidemill.serve.playground.shown import Shown


def client(shown: list[Shown]) -> TestClient:
    return TestClient(Starlette(routes=[Mount("/ui", playground(lambda: shown))]))


def shown(directory: Path, version: int = 1) -> Shown:
    opened = open_bundle(directory)
    return Shown(opened.bundle.name, version, opened)


def test_every_file_of_the_page_is_there_and_open(made: Path) -> None:
    asking = client([])

    assert {path.removeprefix("/ui/") for path in OPEN} - {"/ui", ""} == {
        path.name for path in STATIC.iterdir() if path.suffix != ".html"
    }
    for path in OPEN:
        answer = asking.get(path)
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["content-type"].partition(";")[0] in (
            "text/html", "text/css", "text/javascript", "image/svg+xml",
        )  # fmt: skip


def test_no_file_of_the_page_names_another_host() -> None:
    for path in STATIC.iterdir():
        foreign = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", path.read_text().replace("http://www.w3.org/2000/svg", ""))
        assert foreign == [], path.name


def test_models_are_described_as_forms_need_it(made: Path) -> None:
    price, digits = client([shown(made / "reg"), shown(made / "img", 7)]).get("/ui/models.json").json()

    assert price["predict"] == "v1/models/price:predict"
    assert price["labels"] == []
    width = {"name": "width", "type": "float", "categories": [], "nullable": False}
    assert price["columns"][0] == width
    assert (digits["task"], digits["version"], digits["columns"]) == ("image", 7, [])
    assert digits["reads"] == "8 × 8 pixels, grey"


def test_the_first_version_of_a_name_answers_without_one_and_the_others_by_it(made: Path) -> None:
    served = [shown(made / "txt", 3), shown(made / "reg"), shown(made / "txt", 2)]

    assert [model["predict"] for model in client(served).get("/ui/models.json").json()] == [
        "v1/models/mood:predict",
        "v1/models/price:predict",
        "v1/models/mood/versions/2:predict",
    ]


def test_what_is_served_is_asked_for_anew(made: Path) -> None:
    served = [shown(made / "txt", 1)]
    asking = client(served)
    asking.get("/ui/models.json")
    served[:] = [shown(made / "txt", 2)]

    assert [each["version"] for each in asking.get("/ui/models.json").json()] == [2]
    assert asking.get("/ui/examples.json?model=mood&version=2").status_code == 200
    with pytest.raises(NotFoundError, match="mood/1"):
        asking.get("/ui/examples.json?model=mood&version=1")


@pytest.mark.parametrize("query", ["", "?model=modd&version=1", "?model=mood", "?model=mood&version=../1"])
def test_an_unknown_model_is_told_the_nearest(made: Path, query: str) -> None:
    with pytest.raises(NotFoundError) as refused:
        client([shown(made / "txt")]).get("/ui/examples.json" + query)

    assert "mood/1" in refused.value.remedy


def test_examples_are_read_once_for_a_bundle(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asking = client([shown(made / "txt"), shown(made / "reg")])
    first = asking.get("/ui/examples.json?model=mood&version=1").content
    monkeypatch.setattr("tidemill.serve.playground.app.read_examples", lambda opened: {})

    assert asking.get("/ui/examples.json?model=mood&version=1").content == first
    assert asking.get("/ui/examples.json?model=price&version=1").content == b"{}"


def test_the_page_costs_a_server_next_to_nothing() -> None:
    script = "import sys, json, tidemill.serve.playground.app; print(json.dumps(sorted(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert not set(json.loads(said.stdout)) & {"gradio", "jinja2", "pandas", "fastapi", "pyarrow", "onnxruntime"}
