"""Who may ask for a page, and what a browser may do with it."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tidemill.project.layout import Layout
from tidemill.web.app import create_app

TOKEN = "a-token-of-some-length"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
CSS = "/static/tidemill.css"


def client(root: Path, *, token: str | None = None, base: str = "http://localhost:8090") -> TestClient:
    app = create_app(Layout(root), loopback=base.startswith("http://localhost"), token=token)
    return TestClient(app, base_url=base, follow_redirects=False)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "headers",
    [{"host": "evil.example"}, {"host": "10.0.0.7:8090"}, {"origin": "http://evil.example"}, {"origin": "null"}],
)
def test_foreign_hosts_and_origins_are_refused_on_every_method(
    tmp_path: Path, method: str, headers: dict[str, str]
) -> None:
    for path in (CSS, "/", "/api/loop", "/nowhere"):
        assert client(tmp_path).request(method, path, headers=headers).status_code == 403


@pytest.mark.parametrize("method", METHODS[2:])
def test_the_page_only_reads(tmp_path: Path, method: str) -> None:
    assert client(tmp_path).request(method, "/ledger").status_code == 405


def test_every_answer_carries_the_policy(tmp_path: Path) -> None:
    for path, host in ((CSS, "localhost"), ("/nowhere", "localhost"), ("/", "evil.example")):
        headers = client(tmp_path).get(path, headers={"host": host}).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_beyond_loopback_everybody_shows_the_token(tmp_path: Path) -> None:
    there = client(tmp_path, token=TOKEN, base="http://mill.example")
    assert there.get(CSS).status_code == 401
    assert there.get(CSS, headers={"authorization": "Bearer wrong"}).status_code == 401
    assert there.get(CSS, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_the_address_with_the_token_leaves_a_cookie_and_no_token(tmp_path: Path) -> None:
    there = client(tmp_path, token=TOKEN, base="http://mill.example")
    assert there.get(f"{CSS}?token=wrong").status_code == 401
    welcome = there.get(f"{CSS}?v=1&token={TOKEN}")
    assert welcome.status_code == 303
    assert welcome.headers["location"] == f"{CSS}?v=1"
    assert "httponly" in welcome.headers["set-cookie"].lower()
    assert "samesite=strict" in welcome.headers["set-cookie"].lower()
    assert there.get(CSS).status_code == 200


def test_the_redirect_never_leads_elsewhere(tmp_path: Path) -> None:
    there = client(tmp_path, token=TOKEN, base="http://mill.example")
    welcome = there.get(f"http://mill.example//evil.example/?token={TOKEN}")
    assert welcome.headers["location"] == "/evil.example/"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static/..%5capp.py",
        "/reports/%2e%2e", "/reports/..%2f..%2ftidemill.toml", "/predictions/..%2f..", "/reports/a%00b",
        "/static//etc/passwd",
    ],
)  # fmt: skip
def test_no_path_leaves_its_folder(tmp_path: Path, path: str) -> None:
    (tmp_path / "tidemill.toml").write_text("secret")
    answer = client(tmp_path).get(path)
    assert answer.status_code in (404, 422)
    assert "secret" not in answer.text
    assert http.client.responses[answer.status_code]
