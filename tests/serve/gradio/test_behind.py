"""What stands between a request and the page's process: a socket that may be reset, and a folder that must be ours."""

from __future__ import annotations

import asyncio
import socket
import threading
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tidemill.errors import InputError
from tidemill.serve.limits import Access, Bodies
from tidemill.serve.playground import place
from tidemill.serve.playground.behind import Behind, NotThereError
from tidemill.serve.playground.door import Door
from tidemill.serve.playground.keeper import Keeper

Message = MutableMapping[str, Any]
TOKEN = "a-token-of-a-test-only"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"


class Page:
    """Listens as the page's process does: takes one request and answers with `says`. One that `stays` is not done."""

    def __init__(self, path: Path, says: bytes, stays: bool = False) -> None:
        self.heard = b""
        self._says, self._stays = says, stays
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it was closed before anybody asked
            return
        with connection:
            self.heard = connection.recv(65536)
            connection.sendall(self._says)
            while self._stays and connection.recv(65536):
                pass

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    found = place.choose()
    place.make(found)
    yield found
    (found / "page").unlink(missing_ok=True)
    found.rmdir()


def scope(path: str = "/ui/", *headers: tuple[bytes, bytes], method: str = "GET") -> Message:
    return {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "scheme": "http", "headers": list(headers),
    }  # fmt: skip


async def silent() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("nobody waits so long")


async def never(message: Message) -> None:
    raise AssertionError("something was sent")


def ask(call: Callable[[Callable[[Message], Awaitable[None]]], Awaitable[None]]) -> list[Message]:
    """What is sent."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def run() -> None:
        await asyncio.wait_for(asyncio.ensure_future(_awaited(call(send))), 20)

    asyncio.run(run())
    return sent


async def _awaited(what: Awaitable[None]) -> None:
    await what


def asked(folder: Path, given: Message, own: tuple[tuple[bytes, bytes], ...] = ()) -> list[Message]:
    behind = Behind(folder / "page", lambda: False)
    return ask(lambda send: behind(given, silent, send, b"", own, ()))


class Reset(Behind):
    """A connection that is reset, in the way asyncio tells it, when `reset` is called."""

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._reader, writer = await super()._connect()
        return self._reader, writer

    def reset(self) -> None:
        self._reader.set_exception(ConnectionResetError())


@pytest.mark.parametrize("says", [STREAM, WHOLE[:-1]], ids=["a stream", "an answer with a length"])
def test_a_reset_within_an_answer_breaks_it_off(folder: Path, says: bytes) -> None:
    page = Page(folder / "page", says, stays=True)
    behind = Reset(folder / "page", lambda: False)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        behind.reset()

    asyncio.run(asyncio.wait_for(behind(scope(), silent, send, b"", (), ()), 20))
    page.close()
    assert [each["type"] for each in sent] == ["http.response.start", "http.response.body"]
    assert sent[1]["more_body"], "it is not said to be whole"


def test_a_reset_before_an_answer_is_as_if_nobody_listened(folder: Path) -> None:
    page = Page(folder / "page", b"", stays=True)
    behind = Reset(folder / "page", lambda: False)

    async def soon() -> None:
        asyncio.get_running_loop().call_later(0.2, behind.reset)
        await asyncio.wait_for(behind(scope(), silent, never, b"", (), ()), 20)

    with pytest.raises(NotThereError):
        asyncio.run(soon())
    page.close()


def test_a_whole_answer_is_said_to_be_whole(folder: Path) -> None:
    page = Page(folder / "page", WHOLE)
    sent = asked(folder, scope())
    page.close()
    assert b"".join(each.get("body", b"") for each in sent) == b"abc"
    assert not sent[-1].get("more_body")


@pytest.mark.parametrize(
    ("given", "own"),
    [
        (scope("/ui/\r\nx: y"), ()),
        (scope("/ui/\n"), ()),
        (scope("/ui/", (b"accept", b"a\r\nx: y")), ()),
        (scope("/ui/"), ((b"authorization", b"Bearer a\r\nx: y"),)),
        ({**scope(), "query_string": b"a\r\nb"}, ()),
    ],
)
def test_a_line_break_is_not_handed_on(folder: Path, given: Message, own: tuple[tuple[bytes, bytes], ...]) -> None:
    page = Page(folder / "page", WHOLE)
    with pytest.raises(InputError, match="line break"):
        asked(folder, given, own)
    assert page.heard == b""
    page.close()


def cookie(token: bytes) -> tuple[bytes, bytes]:
    return b"cookie", b"tidemill-page=" + urlsafe_b64encode(token)


async def nothing(scope: Message, receive: object, send: object) -> None:
    raise AssertionError("the server's own page was asked")


def door(folder: Path) -> Door:
    return Door(folder / "page", nothing, Access(True, TOKEN), Bodies(), lambda: False)


def waiting(*pieces: bytes) -> Callable[[], Awaitable[Message]]:
    """What gives these pieces of a body, and then waits."""
    left = list(pieces)

    async def give() -> Message:
        if not left:
            return await silent()
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return give


@pytest.mark.parametrize(
    "header",
    [cookie(TOKEN.encode() + b"\r\n"), cookie(b" " + TOKEN.encode()), (b"authorization", f"BEARER  {TOKEN} ".encode())],
)
def test_the_page_is_given_the_token_as_it_was_checked(folder: Path, header: tuple[bytes, bytes]) -> None:
    page = Page(folder / "page", WHOLE)
    sent = ask(lambda send: door(folder)(scope("/ui/config", header), waiting(b""), send))
    page.close()
    assert sent[0]["status"] == 200
    assert page.heard.endswith(f"authorization: Bearer {TOKEN}\r\n\r\n".encode())


def sign_in(folder: Path, *pieces: bytes, length: int | None = None) -> list[Message]:
    headers = [] if length is None else [(b"content-length", str(length).encode())]
    given = scope("/ui/sign-in", *headers, method="POST")
    return ask(lambda send: door(folder)(given, waiting(*pieces), send))


def test_a_form_that_is_larger_than_one_with_a_token_is_not_read(folder: Path) -> None:
    with pytest.raises(InputError, match="larger than 4 KB"):
        sign_in(folder, length=4097)  # there is no body to read
    with pytest.raises(InputError, match="larger than 4 KB"):
        sign_in(folder, b"x" * 4097)
    with pytest.raises(InputError, match="larger than 4 KB"):
        sign_in(folder, b"x" * 4000, b"x" * 97, b"and so on")


def test_a_form_of_many_fields_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="not the form") as refused:
        sign_in(folder, b"a=b&" * 10)
    assert "open /ui" in refused.value.remedy
    assert sign_in(folder, b"token=" + TOKEN.encode() + b"&a=b")[0]["status"] == 303


def test_a_folder_that_is_a_link_or_open_to_others_is_not_asked(folder: Path, tmp_path: Path) -> None:
    page = Page(folder / "page", WHOLE)
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(NotThereError):
        asked(link, scope())
    with pytest.raises(OSError, match="somebody else's"):
        place.make(link)
    folder.chmod(0o777)
    with pytest.raises(NotThereError):
        asked(folder, scope())
    folder.chmod(0o700)
    assert asked(folder, scope())[0]["status"] == 200
    page.close()


def test_nothing_is_made_before_the_page_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Keeper():
        assert list(tmp_path.iterdir()) == []


def test_a_long_path_is_no_place_for_a_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    assert len(str(place.choose() / "page")) < 100
