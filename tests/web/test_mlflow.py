"""MLflow's own page beside ours."""

from __future__ import annotations

import http.client
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tidemill.errors import BusyError, ConfigError
from tidemill.project.layout import Layout
from tidemill.serve.run import listen
from tidemill.web.mlflow_ui import MlflowLink, MlflowPage
from tidemill.web.run import run

from .conftest import visit_with
from .mill import Mill, marked


def ask(address: str, method: str, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
    try:
        connection.request(method, "/api/2.0/mlflow/experiments/search", body=b"{}", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.slow
def test_it_starts_refuses_strangers_and_leaves_nothing_behind(tmp_path: Path) -> None:
    layout = marked(tmp_path / "a folder")
    with listen("127.0.0.1", 0) as free:
        page = MlflowPage(layout, int(free.getsockname()[1]))
    assert page.link.state == "starting"
    page.start()
    deadline = time.monotonic() + 120
    while page.link.state == "starting" and time.monotonic() < deadline:
        time.sleep(0.1)
    try:
        assert page.link == MlflowLink("ready", page.address)
        assert ask(page.address, "POST", {"content-type": "application/json"}) != 403
        for method in ("GET", "POST", "DELETE"):
            assert ask(page.address, method, {"host": "evil.example"}) == 403
        assert ask(page.address, "POST", {"origin": "http://evil.example"}) == 403
    finally:
        page.stop()
    with pytest.raises(OSError):
        ask(page.address, "GET", {})


def test_a_start_that_fails_is_told(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.state.mkdir()
    layout.cache.write_text("a file where a folder should be")
    page = MlflowPage(layout, 1)
    page.start()
    deadline = time.monotonic() + 20
    while page.link.state == "starting" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert page.link.state == "failed"
    assert "could not be started" in page.link.problem


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        (MlflowLink("ready", "http://127.0.0.1:5001"), 'href="http://127.0.0.1:5001"'),
        (MlflowLink("starting", "http://127.0.0.1:5001"), "MLflow starts"),
        (MlflowLink("failed", problem='it "broke"'), "MLflow did not start"),
    ],
)
def test_the_page_says_how_it_stands(mill: Mill, link: MlflowLink, shown: str) -> None:
    assert shown in visit_with(mill.layout, link).get("/").text


def test_a_wide_address_needs_a_token(mill: Mill) -> None:
    with pytest.raises(ConfigError, match="token is needed"):
        run(mill.layout, host="0.0.0.0", on_ready=lambda address, link: None)  # noqa: S104 - that is what is refused
    with pytest.raises(ConfigError, match="16 characters"):
        run(mill.layout, host="0.0.0.0", token="short", on_ready=lambda address, link: None)  # noqa: S104 - likewise


def test_a_port_in_use_is_named(mill: Mill) -> None:
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        port = int(taken.getsockname()[1])
        with pytest.raises(BusyError, match=str(port)):
            run(mill.layout, port=port, on_ready=lambda address, link: None)
