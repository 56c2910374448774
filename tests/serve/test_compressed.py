"""Bodies in gzip and deflate: taken as what they hold, and never unpacked to more than a body may have."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.errors import InputError
from tidemill.serve.coding import PORTION, unpacker
from tidemill.serve.limits import MAX_BODY, Bodies

from .bundles import ROW, picture
from .conftest import App, load
from .sockets import PREDICT, ask, listening, request

BODY = json.dumps({"inputs": [ROW]}).encode()
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "GZip": gzip.compress,
}


@pytest.fixture(scope="module")
def app(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    app = App(load(made / "tab"), tmp_path_factory.mktemp("log"))
    yield app
    app.close()


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("path", [PREDICT, "/v2/models/sizes/infer"])
def test_a_compressed_body_is_answered_as_it_would_be_plain(app: App, path: str, coding: str) -> None:
    body = BODY
    if "infer" in path:
        body = json.dumps(
            {"inputs": [{"name": n, "datatype": "FP32", "shape": [1], "data": [v]} for n, v in ROW.items()]}
        ).encode()
    before = app.logged().num_rows
    plain = app.post(path, content=body)
    packed = app.post(path, content=CODINGS[coding](body), headers={"content-encoding": coding})

    assert packed.status_code == plain.status_code == 200, packed.text
    answers = [json.loads(each.content) for each in (plain, packed)]
    for each in answers:
        each.pop("parameters", None)
        for prediction in each.get("predictions", ()):
            prediction.pop("id")
    assert answers[0] == answers[1]
    inputs = app.logged().column("input").to_pylist()
    assert len(inputs) == before + 2 and inputs[-1] == inputs[-2]  # the log keeps what was in it


def test_a_compressed_body_on_a_socket_takes_the_long_way(app: App) -> None:
    with listening(app) as port:
        packed = gzip.compress(BODY)
        assert ask(port, request("POST", PREDICT, {"content-encoding": "gzip"}, packed))[0] == 200
        status, said = ask(port, request("POST", PREDICT, {"content-encoding": "br"}, packed))
    assert (status, b"br" in said, b"gzip" in said) == (415, True, True)


def test_tensors_behind_the_document_may_be_compressed_with_it(made: Path, tmp_path: Path) -> None:
    """The header that says where they begin means the body as it was before."""
    app = App(load(made / "img"), tmp_path)
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 8, 8, 1], "parameters": {"binary_data_size": 64}}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"inference-header-content-length": str(len(head)), "content-encoding": "gzip"}
    try:
        answer = app.post("/v2/models/digits/infer", content=gzip.compress(head + bytes(64)), headers=headers)
        refused = app.post(
            "/v2/models/digits/infer", content=head + bytes(64), headers={**headers, "content-encoding": "zstd"}
        )
        image = {"content-type": "image/png", "content-encoding": "deflate"}
        file = app.post("/v1/models/digits:predict", content=zlib.compress(picture(1)), headers=image)
    finally:
        app.close()
    assert (answer.status_code, refused.status_code, file.status_code) == (200, 415, 200)
    assert "'zstd' is not taken" in refused.json()["error"]


GZIP = gzip.compress(BODY)
WRONG: dict[str, tuple[str, bytes, int]] = {
    "an unknown coding": ("br", GZIP, 415),
    "two codings": ("gzip, gzip", gzip.compress(GZIP), 415),
    "a coding that is none": ("\u00e9", GZIP, 415),
    "cut off": ("gzip", GZIP[:-3], 400),
    "nothing": ("gzip", b"", 400),
    "not compressed": ("gzip", BODY, 400),
    "another coding": ("deflate", GZIP, 400),
    "altered": ("gzip", GZIP[:12] + bytes([GZIP[12] ^ 255]) + GZIP[13:], 400),
    "a wrong sum": ("gzip", GZIP[:-6] + b"\0\0" + GZIP[-4:], 400),
    "something behind it": ("gzip", GZIP + b"x", 400),
    "a second one behind it": ("gzip", GZIP + GZIP, 400),
    "no JSON in it": ("gzip", gzip.compress(b"{"), 400),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_unpacked_is_refused(app: App, name: str) -> None:
    coding, content, status = WRONG[name]
    for path in (PREDICT, "/v2/models/sizes/infer", "/feedback"):
        answer = app.post(path, content=content, headers={"content-encoding": coding.encode("latin-1")})
        assert answer.status_code == status, (path, answer.text)
        assert "Traceback" not in answer.text


def test_identity_is_no_coding(app: App) -> None:
    assert app.post(PREDICT, content=BODY, headers={"content-encoding": "identity"}).status_code == 200


@pytest.mark.parametrize("pieces", [1, 50])
def test_a_bomb_is_refused_and_little_of_it_is_unpacked(pieces: int) -> None:
    """128 MB of spaces in 128 KB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(128)) + packer.flush()
    size = -(-len(bomb) // pieces)
    sent: list[Any] = [
        {"type": "http.request", "body": bomb[at : at + size], "more_body": at + size < len(bomb)}
        for at in range(0, len(bomb), size)
    ]
    bodies, scope = Bodies(), {"headers": [(b"content-encoding", b"gzip")]}

    async def receive() -> Any:
        return sent.pop(0)

    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="larger than 32 MB") as refused:
            asyncio.run(bodies.read(scope, receive))
        assert refused.value.http_status == 413
        assert tracemalloc.get_traced_memory()[1] < 3 * MAX_BODY
    finally:
        tracemalloc.stop()
    bodies.release(scope)
    assert bodies._held == 0


def test_others_have_their_turns_while_much_is_unpacked() -> None:
    """32 MB in one piece of 32 KB."""
    body = gzip.compress(bytes(MAX_BODY))
    turns = 0

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def read() -> bytes:
        task = asyncio.create_task(others())
        try:
            return await Bodies().read({"headers": [(b"content-encoding", b"gzip")]}, receive)
        finally:
            task.cancel()

    assert asyncio.run(read()) == bytes(MAX_BODY)
    assert turns >= MAX_BODY // PORTION - 1
    unpack = unpacker("gzip")
    assert unpack is not None
    assert {len(each) for each in unpack.feed(body)} == {PORTION}


def test_what_is_unpacked_counts_as_held(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.serve.limits.MAX_HELD", 1000)
    large = gzip.compress(b" " * 2000)
    headers = {"content-encoding": "gzip"}

    assert len(large) < 100
    assert app.post(PREDICT, content=large, headers=headers).status_code == 503
    assert app.post(PREDICT, content=gzip.compress(BODY), headers=headers).status_code == 200  # it is held no longer


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(st.binary(max_size=3000), st.integers(0, 3000).map(bytes)),
    st.sampled_from(["gzip", "deflate"]),
    st.lists(st.integers(0, 3000), max_size=6),
    st.integers(1, 4000),
)
def test_in_whatever_pieces_a_body_comes_it_is_the_same(
    content: bytes, coding: str, cuts: list[int], most: int
) -> None:
    packed = CODINGS[coding](content)
    unpack = unpacker(coding)
    assert unpack is not None
    ends = sorted(min(cut, len(packed)) for cut in cuts)
    pieces = [packed[start:stop] for start, stop in zip([0, *ends], [*ends, len(packed)], strict=True)]

    portions = [portion for piece in pieces for portion in unpack.feed(piece, most)]
    assert b"".join(portions) == content
    assert all(0 < len(portion) <= most for portion in portions)
    unpack.finish()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]), st.integers(1, 50))
def test_any_bytes_are_unpacked_or_one_refusal(content: bytes, coding: str, most: int) -> None:
    unpack = unpacker(coding)
    assert unpack is not None
    try:
        assert all(len(portion) <= most for portion in unpack.feed(content, most))
        unpack.finish()
    except InputError as error:
        assert error.http_status == 400
