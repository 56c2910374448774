"""A promotion while the page is open, and a page behind HTTPS."""

from __future__ import annotations

import ssl
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.serve import bundles
from tests.serve.conftest import store
from tests.serve.gradio.conftest import eventually, serving
from tests.serve.gradio.visitor import Visitor
from tidemill.project.layout import Layout

pytestmark = pytest.mark.slow


def test_a_promotion_is_followed_by_a_page_that_is_open(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "project")
    layout.root.mkdir()
    (layout.root / "tidemill.toml").write_text('[project]\nname = "digits"\ntask = "image"\n')
    bundles.publish(layout.serving, store(layout, seed=1), 1)
    with serving(["digits@champion"], tmp_path, cwd=layout.root) as served, served.client() as client:
        served.wait_for_page()
        visitor = Visitor(client)
        visitor.open()
        picture = visitor.upload("x.png", bundles.picture(99))
        visitor.fire("Picture", "input", picture)
        assert "digits, version 1" in visitor.text
        assert "answers now" not in visitor.text

        bundles.publish(layout.serving, store(layout, seed=2), 2)
        eventually(lambda: client.get("/ui/models.json").json()[0]["version"] == 2)
        visitor.fire("Picture", "input", picture)
        assert "digits, version 2" in visitor.text
        assert "Version 2 answers now." in visitor.text
        assert '<span class="tm-pill">version 2</span>' in visitor.text


def test_a_page_asks_a_server_that_answers_over_https_only(made: Path, tmp_path: Path) -> None:
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=elsewhere",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    options = ["--ui", "gradio", "--tls-cert", str(certificate), "--tls-key", str(key)]
    trusted = ssl.create_default_context(cafile=str(certificate))
    trusted.check_hostname = False
    with (
        serving([made / "txt"], tmp_path, *options) as served,
        httpx.Client(base_url=served.url, verify=trusted, timeout=60) as client,
    ):
        while client.get("/ui/").status_code == 503:
            time.sleep(0.2)
        assert client.get("/ui/config").json()["root"].startswith("https://")
        visitor = Visitor(client)
        visitor.open()
        visitor.fire("Sentence", "submit", "good")
        assert visitor.says("Answer")["label"] == "good"
