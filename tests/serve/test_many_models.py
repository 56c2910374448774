"""Several models and versions in one process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tidemill.journal.read import Journal
from tidemill.project.layout import Layout

from . import bundles
from .bundles import ROW, picture
from .conftest import store


@pytest.fixture
def url(layout: Layout, made: Path) -> Iterator[str]:
    """digits@champion, its version 7 beside it, and a table's model."""
    seventh = layout.serving / "digits" / "seven.json"
    bundles.publish(layout.serving, store(layout, seed=3), 7, alias="seven")
    assert seventh.is_file()
    command = [
        sys.executable,
        "-m",
        "tidemill",
        "serve",
        "digits@champion",
        "digits@seven",
        str(made / "tab"),
        "--port",
        "0",
    ]
    process = subprocess.Popen(
        [*command, "--log", str(layout.log)], cwd=layout.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    ready = process.stdout.readline()
    try:
        assert ready.startswith("ready: digits/1, digits/7, sizes/0 at http"), ready or process.stderr.read()
        yield ready.split(" at ")[1].split()[0]
    finally:
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert "Traceback" not in said


def _digit(url: str, path: str) -> Any:
    return httpx.post(f"{url}{path}", files={"file": picture(1)}).json()


def test_each_name_and_version_answers_for_itself(url: str, layout: Layout) -> None:
    first = _digit(url, "/v1/models/digits:predict")
    seventh = _digit(url, "/v1/models/digits/versions/7:predict")
    row = httpx.post(f"{url}/v1/models/sizes:predict", json={"inputs": [ROW]}).json()

    assert (first["version"], seventh["version"], row["version"]) == (1, 7, 0)
    assert (
        _digit(url, "/v1/models/digits/versions/1:predict")["predictions"][0]["scores"]
        == first["predictions"][0]["scores"]
    )
    assert first["predictions"][0]["scores"] != seventh["predictions"][0]["scores"]
    assert "digits/1, digits/7, sizes/0" in _digit(url, "/v1/models/digits/versions/2:predict")["error"]["remedy"]
    ready = httpx.get(f"{url}/v2/health/ready").json()
    assert [(each["model"], each["version"]) for each in ready["models"]] == [
        ("digits", 1),
        ("digits", 7),
        ("sizes", 0),
    ]
    assert httpx.get(f"{url}/v2/models/digits").json()["versions"] == ["1", "7"]
    logged = Journal(layout.log)
    assert {logged.find(each["predictions"][0]["id"]).version for each in (first, seventh, row)} == {1, 7, 0}


def test_labels_go_to_the_model_that_answered(url: str, layout: Layout) -> None:
    digit = _digit(url, "/v1/models/digits:predict")["predictions"][0]["id"]
    size = httpx.post(f"{url}/v1/models/sizes:predict", json={"inputs": [ROW]}).json()["predictions"][0]
    known = httpx.post(f"{url}/feedback", json={"prediction_id": size["id"], "label": size["class"]})
    wrong = httpx.post(f"{url}/feedback", json={"prediction_id": digit, "label": size["class"]})

    assert known.json() == {"accepted": 1, "unchanged": 0}
    assert wrong.status_code == 422
    assert Journal(layout.log).labels([size["id"]])[size["id"]].model == "sizes"


def test_the_description_has_an_example_for_each_that_works(url: str) -> None:
    paths = httpx.get(f"{url}/openapi.json").json()["paths"]
    predicting = [path for path in paths if path.endswith((":predict", "/infer"))]
    assert len(predicting) == 6
    for path in predicting:
        example = paths[path]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert httpx.post(f"{url}{path}", json=example).status_code == 200, path


def test_one_changes_and_the_others_stay(url: str, layout: Layout) -> None:
    bundles.publish(layout.serving, store(layout, seed=5), 9, alias="seven")
    until = time.monotonic() + 30
    while "9" not in httpx.get(f"{url}/v2/models/digits").json()["versions"] and time.monotonic() < until:
        time.sleep(0.05)
    assert _digit(url, "/v1/models/digits/versions/9:predict")["version"] == 9
    assert _digit(url, "/v1/models/digits:predict")["version"] == 1
    assert httpx.post(f"{url}/v1/models/digits/versions/7:predict", files={"file": picture(1)}).status_code == 404


def test_an_alias_that_comes_to_name_what_is_served_beside_it_is_told_once(url: str, layout: Layout) -> None:
    bundles.publish(layout.serving, next(layout.bundles.glob(_bundle_of(layout, "seven"))), 7)
    until = time.monotonic() + 30
    while "1" in httpx.get(f"{url}/v2/models/digits").json()["versions"] and time.monotonic() < until:
        time.sleep(0.05)

    told = [line for line in httpx.get(f"{url}/metrics").text.splitlines() if line.startswith("tidemill_model_info")]
    assert httpx.get(f"{url}/v2/models/digits").json()["versions"] == ["7"]
    assert len(told) == len(set(told)) == 2
    assert "for digits/7, sizes/0" in _digit(url, "/v1/models/digits/versions/1:predict")["error"]["remedy"]
    assert _digit(url, "/v1/models/digits:predict")["version"] == 7


def _bundle_of(layout: Layout, alias: str) -> str:
    named = json.loads((layout.serving / "digits" / f"{alias}.json").read_bytes())
    return Path(named["place"]).name
