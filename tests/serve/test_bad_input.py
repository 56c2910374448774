"""Whatever is sent: one clear refusal, no traceback, no path of the server's machine, and nothing in the log."""

from __future__ import annotations

import asyncio
import gzip
import struct
import zlib
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from tidemill.domain.prediction import new_prediction_id
from tidemill.errors import BusyError

from .bundles import ROW, picture
from .conftest import App, Start

JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=x"}
CUT_FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="x.png"\r\n\r\nabc'
PNG = {"content-type": "image/png"}


def _bomb() -> bytes:
    """The header of a PNG of 60,000 x 60,000 pixels, with hardly any data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
    )


def _inputs(*items: Any) -> dict[str, Any]:
    return {"json": {"inputs": list(items)}}


TABULAR: dict[str, tuple[dict[str, Any], int, str]] = {
    "empty body": ({"content": b""}, 400, "empty"),
    "broken JSON": ({"content": b'{"inputs": [', "headers": JSON}, 400, "not JSON"),
    "NaN in JSON": ({"content": b'{"inputs": [{"width": NaN, "height": 1}]}', "headers": JSON}, 400, "not JSON"),
    "deep JSON": ({"content": b"[" * 100_000, "headers": JSON}, 400, "not JSON"),
    "bad UTF-8": ({"content": b'{"inputs": ["\xff"]}', "headers": JSON}, 400, "not JSON"),
    "a list": ({"json": [1]}, 422, '"inputs"'),
    "no inputs": ({"json": {"input": [ROW]}}, 422, '"inputs"'),
    "unknown field": ({"json": {"inputs": [ROW], "version": 1}}, 422, "'version'"),
    "inputs no list": ({"json": {"inputs": ROW}}, 422, "not a list"),
    "inputs empty": (_inputs(), 422, "empty"),
    "too many": (_inputs(*[ROW] * 16_385), 422, "16,385"),
    "wrong column": (_inputs({"width": 1, "hight": 2}), 422, "hight"),
    "missing column": (_inputs({"width": 1}), 422, "'height'"),
    "null": (_inputs({"width": 1, "height": None}), 422, "'height'"),
    "text in a number": (_inputs(ROW, {"width": "1.5", "height": 2}), 422, "row 1, column 'width'"),
    "bool in a number": (_inputs({"width": True, "height": 2}), 422, "'width'"),
    "list in a number": (_inputs({"width": [1], "height": 2}), 422, "'width'"),
    "too large a number": (_inputs({"width": 1e300, "height": 2}), 422, "'width'"),
    "a sentence": (_inputs("good"), 422, "not a row"),
    "a picture": ({"content": picture(1), "headers": PNG}, 415, "image/png"),
    "an upload": ({"files": {"file": b"x"}}, 415, "multipart"),
}
IMAGE: dict[str, tuple[dict[str, Any], int, str]] = {
    "not a picture": ({"content": b"no picture at all", "headers": PNG}, 422, "not a picture"),
    "empty picture": ({"content": b"", "headers": PNG}, 422, "not a picture"),
    "truncated": ({"content": picture(1, 64)[:300], "headers": PNG}, 422, "truncated"),
    "bomb": ({"content": _bomb(), "headers": PNG}, 422, "pixels"),
    "SVG": ({"content": b"<svg xmlns='http://www.w3.org/2000/svg'/>", "headers": PNG}, 422, "not a picture"),
    "one bad of two": ({"files": [("file", picture(1)), ("file", b"nothing")]}, 422, "input 1"),
    "form without file": ({"data": {"a": "b"}, "files": {}}, 400, "not JSON"),
    "no boundary": ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "boundary"),
    "broken form": ({"content": b"--x\r\nnonsense", "headers": FORM}, 400, "damaged"),
    "cut form": ({"content": CUT_FORM, "headers": FORM}, 400, "cut off"),
    "not base64": (_inputs({"b64": "***"}), 422, "base64"),
    "no b64": (_inputs({"b65": "aa"}), 422, "b64"),
    "base64 of no picture": (_inputs({"b64": b64encode(b"hello").decode()}), 422, "not a picture"),
    "a sentence": (_inputs("good"), 422, "b64"),
    "a picture without its type": ({"content": picture(1)}, 415, "Content-Type"),
    "a data address": (_inputs({"b64": "data:image/png;base64,aGVsbG8="}), 422, "data: address"),
    "compressed": ({"content": gzip.compress(b"{}")}, 415, "compressed"),
    "sound": ({"content": b"x", "headers": {"content-type": "audio/wav"}}, 415, "audio"),
}  # fmt: skip
TEXT: dict[str, tuple[dict[str, Any], int, str]] = {
    "a number": (_inputs(3), 422, "not text"),
    "XML": ({"content": b'{"inputs": ["a"]}', "headers": {"content-type": "text/xml"}}, 415, "text/xml"),
    "CSV": ({"content": b"a,b", "headers": {"content-type": "text/csv"}}, 415, "said to be"),
    "null": (_inputs("good", None), 422, "input 1"),
    "empty text": (_inputs(""), 422, "input 0"),
    "endless text": (_inputs("a " * 60_000), 422, "characters"),
}
CASES = [
    pytest.param(task, *case, id=f"{task} {name}")
    for task, cases in (("tab", TABULAR), ("img", IMAGE), ("txt", TEXT))
    for name, case in cases.items()
]


@pytest.fixture(scope="module")
def apps(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from .conftest import load

    started = {task: App(load(made / task), tmp_path_factory.mktemp("log")) for task in ("tab", "img", "txt")}
    yield started
    for app in started.values():
        app.close()


@pytest.mark.parametrize(("task", "given", "status", "said"), CASES)
def test_bad_requests(
    apps: dict[str, App], task: str, given: dict[str, Any], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    app = apps[task]

    answer = app.post(f"/v1/models/{app.model.name}:predict", **given)

    error = answer.json()["error"]
    assert (answer.status_code, said in error["message"]) == (status, True), answer.text
    assert error["remedy"]
    assert "Traceback" not in answer.text
    assert "/tmp" not in answer.text
    assert len(answer.content) < 1000
    assert capsys.readouterr().err == ""
    assert app.logged().num_rows == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/models/other:predict", 404),
        ("POST", "/v1/models/%2e%2e%2fetc:predict", 404),
        ("GET", "/v1/models/sizes:predict", 405),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/nothing", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/sizes/versions/2", 404),
        ("GET", "/v2/models/sizes/versions/..;", 404),
        ("POST", "/v2/models/sizes/versions/9/infer", 404),
        ("DELETE", "/feedback", 405),
    ],
)
def test_unknown_addresses(apps: dict[str, App], method: str, path: str, status: int) -> None:
    answer = apps["tab"].request(method, path, **({"json": {"inputs": [ROW]}} if method == "POST" else {}))

    assert answer.status_code == status
    assert answer.json()["error"]


@pytest.mark.parametrize("sent", [[], [b'{"inputs"']])
def test_a_body_that_does_not_come_is_refused(
    apps: dict[str, App], sent: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidemill.serve.limits.BODY_SECONDS", 0.05)

    async def pieces() -> Any:
        for each in sent:
            yield each
        await asyncio.sleep(10)

    answer = apps["tab"].post("/v1/models/sizes:predict", content=pieces())

    assert (answer.status_code, "took longer" in answer.text) == (408, True), answer.text


def test_a_body_that_is_too_large_is_refused_by_its_length_and_by_its_bytes(apps: dict[str, App]) -> None:
    async def pieces() -> Any:
        for _ in range(33):
            yield b" " * (1 << 20)

    sized = apps["tab"].post("/v1/models/sizes:predict", content=b" " * (33 << 20))
    chunked = apps["tab"].post("/v1/models/sizes:predict", content=pieces())

    assert [sized.status_code, chunked.status_code] == [413, 413]
    assert "32 MB" in sized.json()["error"]["message"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "localhost.evil.example"},
        {"host": "192.168.1.5:8080"},
        {"host": ""},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:9999"},
        {"origin": "http://localhost:8080.evil.example"},
    ],
)
def test_foreign_hosts_and_origins_are_refused_for_every_method(
    apps: dict[str, App], method: str, headers: dict[str, str]
) -> None:
    for path in ("/v1/models/sizes:predict", "/feedback", "/metrics", "/v2/health/live"):
        assert apps["tab"].request(method, path, headers=headers).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST:1"])
def test_names_of_this_machine_are_heard(apps: dict[str, App], host: str) -> None:
    assert apps["tab"].get("/v2/health/live", headers={"host": host, "origin": f"http://{host}"}).status_code == 200


FEEDBACK: dict[str, tuple[Any, int, str]] = {
    "unknown id": ({"prediction_id": new_prediction_id(), "label": "small"}, 404, "no prediction"),
    "no id at all": ({"prediction_id": "'; DROP TABLE", "label": "small"}, 404, "no prediction"),
    "unknown label": ({"prediction_id": new_prediction_id(), "label": "smal"}, 422, "'smal'"),
    "no label": ({"prediction_id": new_prediction_id()}, 422, "item 0"),
    "label null": ({"prediction_id": new_prediction_id(), "label": None}, 422, "item 0"),
    "unknown field": ({"prediction_id": "x", "label": "small", "extra": 1}, 422, "item 0"),
    "empty list": ([], 422, "0 labels"),
    "second is wrong": ([{"prediction_id": "x", "label": "small"}, 3], 422, "item 1"),
    "text": ("small", 422, "item 0"),
}


@pytest.mark.parametrize(("body", "status", "said"), FEEDBACK.values(), ids=FEEDBACK.keys())
def test_bad_feedback(apps: dict[str, App], body: Any, status: int, said: str) -> None:
    answer = apps["tab"].post("/feedback", json=body)

    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]


def test_large_bodies_together_are_bounded(apps: dict[str, App], monkeypatch: pytest.MonkeyPatch) -> None:
    from tidemill.serve import limits

    monkeypatch.setattr(limits, "MAX_HELD", 1000)

    async def pieces(size: int) -> Any:
        for _ in range(size):
            yield b" " * 100

    path = "/v1/models/sizes:predict"
    assert apps["tab"].post(path, content=pieces(9)).status_code == 400
    refused = apps["tab"].post(path, content=pieces(20))
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert apps["tab"].post(path, content=pieces(9)).status_code == 400  # what was refused is held no longer


def test_a_full_queue_says_when_to_come_again(made: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio
    import time

    from tidemill.serve import room
    from tidemill.serve.inputs import rows

    monkeypatch.setattr(room, "WAITING_ROWS", 40)
    app = start(made / "reg")

    async def flood() -> list[Any]:
        asked = [
            app.service.slots[0].ask(rows("tabular", [ROW] * 8), time.perf_counter()) for _ in range(30)
        ]  # in one turn
        return [*await asyncio.gather(*asked, return_exceptions=True)]

    outcomes = app.call(flood)

    refused = [each for each in outcomes if isinstance(each, BusyError)]
    assert refused
    assert app.logged().num_rows == 8 * (30 - len(refused))
    assert app.predict([ROW]).status_code == 200
