"""What a server says of itself: description, docs, metrics, tokens; and what it does not load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tidemill.errors import ConfigError
from tidemill.serve.limits import Access, check_token, is_loopback

from .bundles import ROW
from .conftest import Start

TOKEN = "a-token-of-enough-length"


@pytest.mark.parametrize("task", ["img", "txt", "tab", "reg"])
def test_every_example_of_the_description_works(made: Path, start: Start, task: str) -> None:
    app = start(made / task)
    document = app.get("/openapi.json").json()

    answered = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method == "get":
                assert app.get(path).status_code == 200
            elif path != "/feedback":
                example = operation["requestBody"]["content"]["application/json"]["example"]
                answer = app.post(path, json=example)
                assert answer.status_code == 200, answer.text
                answered += 1
    assert answered == 2
    assert app.logged().num_rows == 2


def test_the_docs_page_needs_no_other_host(made: Path, start: Start) -> None:
    answer = start(made / "tab").get("/docs")

    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "https://" not in answer.text
    assert "http://" not in answer.text


def test_metrics_are_what_prometheus_reads(made: Path, start: Start) -> None:
    """No series twice; each histogram cumulative, with as many in its last bucket as it counted."""
    app = start(made / "tab")
    app.predict([ROW, ROW])
    answer = app.get("/metrics")

    families = list(text_string_to_metric_families(answer.text))
    series = [(each.name, *sorted(each.labels.items())) for family in families for each in family.samples]

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert len(series) == len(set(series))
    histograms = [family for family in families if family.type == "histogram"]
    assert {"tidemill_prediction_seconds", "request_predict_seconds"} <= {each.name for each in histograms}
    assert {"nv_inference_request_success", "nv_inference_request_duration_us"} <= {name for name, *_ in series}
    (kserve,) = [labels for name, *labels in series if name == "request_predict_seconds_count"]
    assert tuple(kserve) == (("model_name", app.model.name), ("model_version", str(app.model.version)))
    for family in histograms:
        buckets = [each.value for each in family.samples if each.name.endswith("_bucket")]
        (count,) = [each.value for each in family.samples if each.name.endswith("_count")]
        assert buckets == sorted(buckets), family.name
        assert buckets[-1] == count == 1, family.name


def test_metrics_count_requests_rows_and_latencies(made: Path, start: Start) -> None:
    app = start(made / "tab")
    app.predict([ROW, ROW])
    app.predict([])

    text = app.get("/metrics").text

    assert 'tidemill_requests_total{status="200"} 1.0' in text
    assert 'tidemill_requests_total{status="422"} 1.0' in text
    assert 'tidemill_predictions_total{model="sizes",version="1"} 2.0' in text
    assert 'tidemill_prediction_seconds_count{model="sizes",version="1"} 1.0' in text
    assert "tidemill_log_write_failures_total 0.0" in text
    assert 'task="tabular"' in text


@pytest.mark.parametrize(
    "given", [None, "Bearer wrong-token-of-length", TOKEN, f"Token {TOKEN}", f"Bearer{TOKEN}", "Bearer é"]
)
def test_beyond_loopback_a_token_is_needed(made: Path, start: Start, given: str | None) -> None:
    app = start(made / "tab", Access(loopback=False, token=TOKEN))
    headers = {"host": "model.example", **({"authorization": given.encode("latin-1")} if given else {})}

    for path in ("/metrics", "/openapi.json", "/v2/models/sizes"):
        assert app.get(path, headers=headers).status_code == 401
    assert app.post("/v1/models/sizes:predict", json={"inputs": [ROW]}, headers=headers).status_code == 401
    assert app.get("/v2/health/ready", headers=headers).status_code == 200
    assert app.logged().num_rows == 0


def test_with_the_token_everything_answers(made: Path, start: Start) -> None:
    app = start(made / "tab", Access(loopback=False, token=TOKEN))
    headers = {"host": "model.example", "authorization": f"Bearer {TOKEN}"}

    assert app.post("/v1/models/sizes:predict", json={"inputs": [ROW]}, headers=headers).status_code == 200
    foreign = {**headers, "origin": "http://evil.example"}
    assert app.post("/v1/models/sizes:predict", json={"inputs": [ROW]}, headers=foreign).status_code == 403


@pytest.mark.parametrize("token", ["", "short", "with spaces in it it is", "ünprintable-in-a-header"])
def test_a_token_that_is_none_is_refused(token: str) -> None:
    with pytest.raises(ConfigError):
        check_token(token)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - asked about, not listened on
        ("::", False),
        ("example.org", False),
    ],
)
def test_which_addresses_are_this_machine_only(host: str, local: bool) -> None:
    assert is_loopback(host) is local


def test_the_server_loads_nothing_that_trains() -> None:
    heavy = ("torch", "pandas", "mlflow", "hydra", "duckdb", "sqlalchemy", "sklearn", "fastapi", "pydantic")
    source = (
        "import sys, tidemill.project.serving, tidemill.serve.run, tidemill.backends.sinks.parquet, "
        f"tidemill.backends.runtimes.onnx; print([m for m in {heavy} if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.strip() == "[]"
