"""Who comes in, with which token, and what of Gradio is not there for anybody."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serve import bundles
from tests.serve.gradio.conftest import Served, serving
from tests.serve.gradio.visitor import Visitor
from tidemill.journal.read import Journal
from tidemill.project import tokens
from tidemill.project.layout import Layout

pytestmark = pytest.mark.slow
TOKEN = "a-token-of-a-test-only"


@pytest.fixture(scope="module")
def asking(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that asks for a token."""
    folder = tmp_path_factory.mktemp("tokens")
    with serving([made / "txt"], folder, TIDEMILL_TOKEN=TOKEN) as server:
        while httpx.get(f"{server.url}/ui/config", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 503:
            pass
        yield server


def test_without_a_token_there_is_a_field_for_it_and_nothing_else(asking: Served) -> None:
    page = httpx.get(f"{asking.url}/ui/")
    assert page.status_code == 401
    assert 'name="token"' in page.text
    assert "gradio" not in page.text
    for path in ("config", "theme.css", "gradio_api/queue/data?session_hash=a", "models.json", "examples.json"):
        assert httpx.get(f"{asking.url}/ui/{path}").status_code == 401, path
    for path in ("gradio_api/upload", "gradio_api/queue/join"):
        assert httpx.post(f"{asking.url}/ui/{path}", content=b"x").status_code == 401, path


def test_a_wrong_token_is_refused(asking: Served) -> None:
    with asking.client() as client:
        refused = client.post("/ui/sign-in", data={"token": "a-token-that-is-wrong"})
        assert refused.status_code == 401
        assert "not known here" in refused.text
        assert "set-cookie" not in refused.headers


def test_the_person_signs_in_asks_and_signs_out(asking: Served) -> None:
    with asking.client() as client:
        entered = client.post("/ui/sign-in", data={"token": TOKEN})
        assert entered.status_code == 303
        said = entered.headers["set-cookie"].lower()
        assert "httponly" in said
        assert "samesite=strict" in said
        assert "path=/ui" in said
        visitor = Visitor(client)
        visitor.open()
        visitor.fire("Sentence", "submit", "good")
        visitor.fire("That is right", "click")
        journal = Journal(asking.log)
        ids = journal.predictions().column("id").to_pylist()
        assert [each.label for each in journal.labels(ids).values()] == ["good"]
        assert TOKEN not in str(visitor.shown)

        client.get("/ui/sign-out")
        assert client.get("/ui/config").status_code == 401


def test_another_site_cannot_sign_anybody_in(asking: Served) -> None:
    answer = httpx.post(f"{asking.url}/ui/sign-in", data={"token": TOKEN}, headers={"origin": "http://evil.example"})
    assert answer.status_code == 403


def test_the_pages_process_knows_no_token(asking: Served) -> None:
    (pid,) = asking.page_processes()
    assert TOKEN.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    assert TOKEN.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_scopes_and_rates_are_those_of_the_persons_token(made: Path, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "project")
    layout.root.mkdir()
    (layout.root / "tidemill.toml").write_text('[project]\nname = "mood"\ntask = "text"\n')
    only, _ = tokens.add(layout, "only", ["predict"], "1/h")
    other, _ = tokens.add(layout, "other", ["feedback"])
    folder = tmp_path / "f"
    folder.mkdir()
    with serving([made / "txt"], folder, cwd=layout.root, TIDEMILL_TOKEN=TOKEN) as served:
        served.wait_for_page()
        with served.client() as client:
            assert client.post("/ui/sign-in", data={"token": other}).status_code == 401
            assert client.post("/ui/sign-in", data={"token": only}).status_code == 303
            while client.get("/ui/config").status_code == 503:
                pass
            for path in ("config", "theme.css", "config", "theme.css"):  # files are not counted
                assert client.get(f"/ui/{path}").status_code == 200
            visitor = Visitor(client)
            visitor.open()  # which asks for the models and their examples, and neither are they
            visitor.fire("Sentence", "submit", "good")
            assert visitor.says("Answer")["label"] == "good"
            visitor.fire("Sentence", "submit", "good")  # one too many for this hour
            assert "may ask 1/h" in visitor.text


def test_no_other_host_may_be_asked_by_the_page(served: Served) -> None:
    page = httpx.get(f"{served.url}/ui/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "http" not in policy
    assert "*" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    before_its_data = page.text.split("window.gradio_config")[0]
    assert "http" not in before_its_data.replace("http-equiv", "")


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/info", "gradio_api/openapi.json", "gradio_api/docs", "gradio_api/proxy=https://example.com/",
        "gradio_api/vibe-code", "gradio_api/runs", "gradio_api/deep_link", "monitoring", "monitoring/summary", "docs",
        "openapi.json", "gradio_api/run/predict", "gradio_api/mcp/", "login", "token", "static/../../../etc/passwd",
    ],
)  # fmt: skip
def test_what_a_page_does_not_need_is_not_there(served: Served, path: str) -> None:
    assert httpx.get(f"{served.url}/ui/{path}").status_code in (403, 404)
    assert httpx.post(f"{served.url}/ui/{path}", json={}).status_code in (403, 404, 405)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "http://127.0.0.1:1/x", "../../etc/passwd", "/proc/self/environ", "page"]
)
def test_only_the_pages_own_files_are_given(served: Served, path: str) -> None:
    for asked in (path, path.replace("/", "%2f").replace(".", "%2e")):
        answer = httpx.get(f"{served.url}/ui/gradio_api/file={asked}")
        assert answer.status_code in (403, 404)


class Heard(http.server.BaseHTTPRequestHandler):
    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(404)


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """Another server on this machine, which should not be asked."""
    Heard.asked.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Heard) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/secret.png"
        server.shutdown()


def test_files_and_addresses_that_a_client_makes_up_are_not_opened(served: Served, elsewhere: str) -> None:
    with served.client() as client:
        visitor = Visitor(client)
        visitor.open()
        for made_up in (
            {"path": elsewhere, "meta": {"_type": "gradio.FileData"}},
            {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
            {"path": f"{served.folder}/errors", "orig_name": "x.png", "meta": {"_type": "gradio.FileData"}},
            {"url": elsewhere, "path": elsewhere},
        ):
            for name, event in (("Picture", "input"), ("Model", "input")):
                with pytest.raises(httpx.HTTPStatusError, match="400"):
                    visitor.fire(name, event, made_up)
        given = visitor.upload("x.png", bundles.picture(3)) | {"url": elsewhere}
        visitor.fire("Picture", "input", given)
        assert visitor.says("Answer")["label"]
    assert Heard.asked == []


def test_what_is_too_large_is_refused_before_it_reaches_the_page(served: Served) -> None:
    answer = httpx.post(f"{served.url}/ui/gradio_api/upload", content=b"x" * (33 << 20), timeout=60)
    assert answer.status_code == 413


def test_other_methods_are_refused(served: Served) -> None:
    for method in ("HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"):
        assert httpx.request(method, f"{served.url}/ui/").status_code == 405
    assert (served.folder / "errors").read_text() == ""


def test_another_host_and_another_origin_are_refused(served: Served) -> None:
    assert httpx.get(f"{served.url}/ui/", headers={"host": "evil.example"}).status_code == 403
    join = f"{served.url}/ui/gradio_api/queue/join"
    assert httpx.post(join, json={}, headers={"origin": "http://evil.example"}).status_code == 403
