"""Tokens: what is kept, who may what, and what a running server makes of a change; and who else is not heard."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tidemill.errors import ConfigError, InputError, NotFoundError, StorageError
from tidemill.project import tokens
from tidemill.project.layout import Layout
from tidemill.serve.keys import Keys
from tidemill.serve.limits import Access, needed
from tidemill.serve.rates import parse_rate
from tidemill.serve.tokens import add_token, find_token, read_tokens, revoke_token

from .bundles import ROW
from .conftest import App, Start
from .sockets import LONG, PREDICT, ask, listening, request

BODY = json.dumps({"inputs": [ROW]}).encode()
WAYS = pytest.mark.parametrize("way", [PREDICT, LONG], ids=["quick", "application"])
EVERYWHERE = [
    "/", "/docs", "/openapi.json", "/metrics", "/feedback", "/v2", "/v2/health/live", "/v2/health/ready",
    "/v2/models/sizes", "/v2/models/sizes/ready", "/v2/models/sizes/infer", PREDICT, LONG, "/nothing", "/ui",
]  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "tokens.json"


@pytest.fixture
def app(made: Path, start: Start, path: Path) -> App:
    return start(made / "tab", Access(loopback=False, token=None, keys=Keys(path)))


@pytest.fixture
def port(app: App) -> Iterator[int]:
    with listening(app) as port:
        yield port


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


def test_the_text_of_a_token_is_kept_nowhere_and_the_file_is_the_owners(path: Path) -> None:
    text, token = add_token(path, "shop", ["feedback", "predict"], parse_rate("10/s"))

    assert text not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_tokens(path) == (token,)
    assert token.scopes == ("predict", "feedback")
    assert find_token([token], text.encode()) == token
    assert find_token([token], text.encode()[:-1]) is None


def test_a_revoked_token_is_gone_and_the_others_stay(path: Path) -> None:
    for name in ("shop", "ops"):
        add_token(path, name, ["predict"])
    revoke_token(path, "shop")

    assert [each.name for each in read_tokens(path)] == ["ops"]
    with pytest.raises(NotFoundError, match="there is no token 'shop'"):
        revoke_token(path, "shop")


def test_tokens_made_at_once_are_all_there(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: add_token(path, f"t{i}", ["predict"]), range(24)))

    assert len(read_tokens(path)) == 24


@pytest.mark.parametrize(
    ("name", "scopes"), [("", ["predict"]), ("x" * 65, ["predict"]), ("a\nb", ["predict"]), ("x", []), ("x", ["root"])]
)
def test_what_cannot_be_a_token_is_refused(path: Path, name: str, scopes: list[str]) -> None:
    with pytest.raises(InputError):
        add_token(path, name, scopes)
    assert not path.exists()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"format": 2, "tokens": []}', b'{"format": 1, "tokens": [{}]}']
)
def test_a_broken_file_is_said_and_not_overwritten(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StorageError, match="holds no tokens"):
        add_token(path, "shop", ["predict"])
    assert path.read_bytes() == content


def test_each_scope_opens_its_addresses_and_no_other(made: Path, start: Start, path: Path) -> None:
    given = {scope: add_token(path, scope, [scope])[0] for scope in ("predict", "feedback", "admin")}
    app = start(made / "tab", Access(loopback=False, token=None, keys=Keys(path)))

    for where in EVERYWHERE:
        right = needed(where.partition("?")[0])
        for scope, text in given.items():
            status = app.request("POST", where, headers=bearer(text), content=BODY).status_code
            assert (status == 403) is (right not in (None, scope)), (where, scope, status)
        status = app.request("POST", where, content=BODY).status_code
        assert (status == 401) is (right is not None), (where, status)


def test_what_needs_which_scope() -> None:
    assert needed("/v2/health/ready") is None
    assert {needed(each) for each in (PREDICT, "/v2", "/v2/models/x/infer", "/openapi.json", "/ui/x")} == {"predict"}
    assert needed("/feedback") == "feedback"
    assert {needed(each) for each in ("/metrics", "/v2/repository/index", "/whatever/comes")} == {"admin"}


@WAYS
def test_a_running_server_notices_changes_within_two_seconds(port: int, path: Path, way: str) -> None:
    text, _ = add_token(path, "shop", ["predict"])
    asked = request("POST", way, bearer(text), BODY)

    assert _within_two_seconds(port, asked, 200)
    revoke_token(path, "shop")
    assert _within_two_seconds(port, asked, 401)


def test_a_file_that_breaks_while_a_server_runs_changes_nothing(
    port: int, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, _ = add_token(path, "shop", ["predict"])
    asked = request("POST", PREDICT, bearer(text), BODY)
    assert _within_two_seconds(port, asked, 200)
    path.write_text("{")
    time.sleep(1.1)

    assert ask(port, asked)[0] == 200
    assert "those known before stay" in capsys.readouterr().err


@WAYS
def test_past_its_rate_a_token_is_told_when_to_come_again(port: int, path: Path, way: str) -> None:
    text, _ = add_token(path, "shop", ["predict"], parse_rate("3/h"))
    other, _ = add_token(path, "other", ["predict"])
    time.sleep(1.1)
    url = f"http://localhost:{port}{way}"

    answers = [httpx.post(url, content=BODY, headers=bearer(text)) for _ in range(5)]

    assert [each.status_code for each in answers] == [200, 200, 200, 429, 429]
    assert 1000 < int(answers[3].headers["retry-after"]) <= 1201
    assert "3/h" in answers[3].text
    assert httpx.post(url, content=BODY, headers=bearer(other)).status_code == 200


def test_the_token_of_the_environment_goes_on_working_beside_those_of_the_project(
    made: Path, start: Start, path: Path
) -> None:
    text, _ = add_token(path, "shop", ["predict"])
    app = start(made / "tab", Access(loopback=False, token="one-for-everything", keys=Keys(path)))

    assert app.get("/metrics", headers=bearer("one-for-everything")).status_code == 200
    assert app.get("/metrics", headers=bearer(text)).status_code == 403
    assert app.get("/v2", headers=bearer(text)).status_code == 200
    assert app.get("/v2", headers=bearer("")).status_code == 401


@WAYS
@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
def test_the_scheme_is_heard_however_it_is_written(made: Path, start: Start, path: Path, way: str, scheme: str) -> None:
    text, _ = add_token(path, "shop", ["predict"])
    app = start(made / "tab", Access(loopback=False, token="one-for-everything", keys=Keys(path)))
    with listening(app) as port:
        for each in (text, "one-for-everything"):
            assert ask(port, request("POST", way, {"authorization": f"{scheme} {each}"}, BODY))[0] == 200


def test_who_is_not_known_is_told_how_to_say_who_they_are(app: App, path: Path) -> None:
    nobody, stranger = app.get("/v2"), app.get("/v2", headers=bearer("x" * 40))

    assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, "Bearer")
    assert "a token is needed" in nobody.json()["error"]
    assert "not known here" in stranger.json()["error"]


def test_beyond_loopback_one_token_at_least_is_needed(layout: Layout) -> None:
    with pytest.raises(ConfigError, match="tidemill tokens add"):
        tokens.access(layout, "0.0.0.0", None)  # noqa: S104 - asked about
    tokens.add(layout, "shop", ["predict"])

    assert tokens.access(layout, "0.0.0.0", None).loopback is False  # noqa: S104
    assert tokens.access(layout, "127.0.0.1", None).loopback is True


def test_the_commands_make_list_and_revoke(layout: Layout) -> None:
    made = _tidemill(layout, "tokens", "add", "shop", "--scope", "predict,feedback", "--rate", "100/s")
    listed = _tidemill(layout, "tokens", "list")
    twice = _tidemill(layout, "tokens", "add", "shop")
    gone = _tidemill(layout, "tokens", "revoke", "shop")

    assert find_token(tokens.known(layout), made.stdout.strip().encode()) is None
    assert made.stdout.startswith("tm_")
    assert listed.stdout.splitlines()[1].startswith("shop\tpredict,feedback\t100/s\t")
    assert made.stdout.strip() not in listed.stdout
    assert (twice.returncode, "there is a token 'shop' already" in twice.stderr) == (2, True)
    assert gone.stdout == "revoked: shop\n"


def _within_two_seconds(port: int, asked: bytes, status: int) -> bool:
    until = time.monotonic() + 2
    while ask(port, asked)[0] != status:
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _tidemill(layout: Layout, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tidemill", *arguments]
    environment = {**os.environ, "TIDEMILL_TOKEN": ""}
    return subprocess.run(
        command, cwd=layout.root, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
