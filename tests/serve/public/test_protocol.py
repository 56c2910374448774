"""The documents of `/v2` against the published description of the protocol."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped,unused-ignore]  # it has no types of its own
import numpy as np
import pytest

from tests.serve.conftest import App, Start
from tests.serve.public.protocol import PATHS, SCHEMAS, published

MODELS = ("img", "tab", "reg", "txt")


@pytest.fixture(params=MODELS)
def app(request: pytest.FixtureRequest, made: Path, start: Start) -> App:
    return start(made / str(request.param))


def check(document: Any, name: str) -> None:
    """Raises where `document` is not what the protocol calls so."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": published()[0]}}
    jsonschema.Draft202012Validator(schema).validate(document)


def example(app: App) -> dict[str, Any]:
    """The request of the server's own description."""
    document = app.get("/openapi.json").json()
    content = document["paths"][f"/v2/models/{app.model.name}/infer"]["post"]["requestBody"]["content"]
    found: dict[str, Any] = content["application/json"]["example"]
    return found


def test_every_address_is_there(app: App) -> None:
    for path, method in published()[1].items():
        place = path.replace("${MODEL_NAME}", app.model.name).replace("${MODEL_VERSION}", "1")
        body = {"json": example(app)} if method == "post" else {}
        answer = app.request(method.upper(), place, follow_redirects=True, **body)
        assert answer.status_code == 200, (path, answer.text)


def test_what_the_server_says_of_itself_and_of_a_model(app: App) -> None:
    check(app.get("/v2").json(), "metadata_server_response")
    for place in ("", "/versions/1"):
        check(app.get(f"/v2/models/{app.model.name}{place}").json(), "metadata_model_response")


def test_requests_and_answers(app: App) -> None:
    asked = {**example(app), "id": "42", "parameters": {"anything": 1}}
    check(asked, "inference_request")
    for outputs in ({}, {"outputs": [{"name": "scores"}, {"name": "output", "parameters": {"binary_data": False}}]}):
        check({**asked, **outputs}, "inference_request")
        answer = app.post(f"/v2/models/{app.model.name}/infer", json={**asked, **outputs})
        assert answer.status_code == 200, answer.text
        document = answer.json()
        check(document, "inference_response")
        assert (document["id"], document["model_name"], document["model_version"]) == ("42", app.model.name, "1")
        for each in document["outputs"]:
            assert np.array(each["data"]).size == np.prod(each["shape"])


def test_tensors_in_rows_are_as_good_as_flat_ones(made: Path, start: Start) -> None:
    app = start(made / "reg")
    asked = [
        {"inputs": [{"name": name, "datatype": "FP32", "shape": [2, 1], "data": data} for name in ("width", "height")]}
        for data in ([[1.5], [2.5]], [1.5, 2.5])
    ]
    nested, flat = (app.post("/v2/models/price/infer", json=each).json()["outputs"] for each in asked)
    assert nested == flat


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/models/{}/infer", b"{"), ("/v2/models/{}/infer", b"{}"), ("/v2/models/{}/infer", b'{"inputs": []}'),
        ("/v2/models/{}/versions/99/infer", b'{"inputs": []}'), ("/v2/models/nobody/infer", b'{"inputs": []}'),
        ("/v2/models/nobody", None), ("/v2/models/{}/versions/99", None), ("/v2/models/nobody/ready", None),
    ],
)  # fmt: skip
def test_an_error_is_one_text(made: Path, start: Start, path: str, body: bytes | None) -> None:
    app = start(made / "tab")
    place = path.format(app.model.name)
    answer = app.get(place) if body is None else app.post(place, content=body)
    assert 400 <= answer.status_code < 500
    check(answer.json(), "inference_error_response")
    check(answer.json(), "metadata_server_error_response")


def test_what_is_said_here_is_what_was_published() -> None:
    if not os.environ.get("TIDEMILL_OIP_OPENAPI"):
        pytest.skip("TIDEMILL_OIP_OPENAPI does not name open_inference_rest.yaml")
    schemas, paths = published()
    assert paths == PATHS
    for name, ours in SCHEMAS.items():
        theirs = schemas[name]
        assert theirs["type"] == ours["type"], name
        assert sorted(theirs.get("required", [])) == sorted(ours.get("required", [])), name
        assert theirs.get("properties", {}) == ours.get("properties", {}), name
        assert theirs.get("items") == ours.get("items"), name
