"""Files fetched by their address: whole, once, and from where the user said."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tidemill.dataset.download import download, file_name
from tidemill.domain.digest import Digest
from tidemill.errors import DataError, InputError, StorageError
from tidemill.files import write_atomic

from .site import Site


def fetch(site: Site, path: str, folder: Path, pinned: Digest | None = None, **named: Any) -> tuple[Path, Digest]:
    return download(site.address(path), folder, pinned=pinned, allow_http=True, progress=lambda *_: None, **named)


def test_a_cut_connection_goes_on_where_it_was(site: Site, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    site.files["t.bin"], site.cuts, site.busy = content, [100_000, 50_000], 1
    path, digest = fetch(site, "t.bin", tmp_path)
    assert path.read_bytes() == content
    assert digest == Digest.of_bytes(content)
    assert site.asked == [None, None, "bytes=100000-", "bytes=150000-"]
    assert sorted(each.name for each in tmp_path.iterdir()) == [".lock", "t.bin"]


def test_a_file_that_changes_in_between_is_begun_again(site: Site, tmp_path: Path) -> None:
    site.files["t.bin"], site.cuts = b"a" * 100_000, [10] * 10
    with pytest.raises(StorageError, match="cannot be had"):
        fetch(site, "t.bin", tmp_path)
    site.files["t.bin"], site.cuts = b"b" * 100_000, []
    assert fetch(site, "t.bin", tmp_path)[0].read_bytes() == b"b" * 100_000


def test_pinned_bytes_are_held_to_their_digest(site: Site, tmp_path: Path) -> None:
    site.files["t.bin"] = b"one"
    one = Digest.of_bytes(b"one")
    fetch(site, "t.bin", tmp_path, one)
    asked = len(site.asked)
    fetch(site, "t.bin", tmp_path, one)
    assert len(site.asked) == asked  # what is pinned and there is not asked for
    site.files["u.bin"] = b"two"
    with pytest.raises(DataError, match="other bytes than pinned"):
        fetch(site, "u.bin", tmp_path, one)
    assert not (tmp_path / "u.bin").exists()


@pytest.mark.parametrize(
    "place", ["http://localhost:{port}/t", "http://169.254.169.254/latest/meta-data", "http://10.0.0.1/"]
)
def test_redirects_into_private_networks_are_refused(site: Site, tmp_path: Path, place: str) -> None:
    site.redirects["go"] = place.format(port=site.port)
    site.files["t"] = b"secret"
    with pytest.raises(InputError, match="private network"):
        fetch(site, "go", tmp_path)
    assert not [each for each in tmp_path.iterdir() if each.name != ".lock"]
    site.redirects["near"] = "/t"
    assert fetch(site, "near", tmp_path)[0].read_bytes() == b"secret"


@pytest.mark.parametrize(
    ("address", "headline"),
    [
        ("http://example.org/t.csv", "not encrypted"),
        ("file:///etc/passwd", "no address that can be fetched"),
        ("ftp://example.org/t.csv", "no address that can be fetched"),
        ("https://user:secret@example.org/t.csv", "user name or password"),
        ("https:///t.csv", "no address that can be fetched"),
        ("https://example.org:port/t.csv", "is no address"),
        (f"https://{'a' * 64}.org/t.csv", "is no address"),
        ("https://a..b/t.csv", "is no address"),
    ],
)
def test_addresses_that_are_not_followed(tmp_path: Path, address: str, headline: str) -> None:
    with pytest.raises(InputError, match=headline):
        download(address, tmp_path, pinned=None, allow_http=False, progress=lambda *_: None)


def test_what_is_too_large_or_not_there(site: Site, tmp_path: Path) -> None:
    site.files["t.bin"] = b"a" * 1_000
    with pytest.raises(StorageError, match="more than 999"):
        fetch(site, "t.bin", tmp_path, limit=999)
    with pytest.raises(StorageError, match="404"):
        fetch(site, "gone", tmp_path)
    site.redirects["loop"] = "/loop"
    with pytest.raises(StorageError, match="redirects"):
        fetch(site, "loop", tmp_path)


def test_names_of_files_are_plain() -> None:
    assert file_name("https://x.org/a/b%2F..%2Fc.csv?x=1") == "c.csv"
    assert file_name("https://x.org/") == "data"
    assert file_name("https://x.org/.%00hidden") == "hidden"


def test_two_that_want_one_address_take_turns(site: Site, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    site.files["t.bin"] = content
    site.gate.clear()
    heard: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(fetch, site, "t.bin", tmp_path)
        _until(lambda: bool(site.asked))
        second = pool.submit(fetch, site, "t.bin", tmp_path, note=heard.append)
        try:
            _until(lambda: bool(heard))
        finally:
            site.gate.set()
        assert first.result() == second.result() == (tmp_path / "t.bin", Digest.of_bytes(content))
    assert heard == [f"another command is fetching {site.address('t.bin')}: waiting for it"]
    assert (tmp_path / "t.bin").read_bytes() == content
    assert site.asked == [None, None]


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        threading.Event().wait(0.01)


def test_an_end_between_the_mark_and_the_first_byte_mixes_nothing(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path, content: bytes) -> None:
        write_atomic(path, content)
        raise KeyboardInterrupt

    site.files["t.bin"], site.cuts = b"a" * 100_000, [40_000] * 6
    with pytest.raises(StorageError, match="cannot be had"), monkeypatch.context() as patched:
        patched.setattr("tidemill.dataset.download._TRIES", 1)
        fetch(site, "t.bin", tmp_path)
    site.files["t.bin"], site.cuts = b"b" * 100_000, []
    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patched:
        patched.setattr("tidemill.dataset.download.write_atomic", killed)
        fetch(site, "t.bin", tmp_path)
    assert fetch(site, "t.bin", tmp_path)[0].read_bytes() == b"b" * 100_000


def test_a_part_that_is_less_than_the_rest_is_not_the_rest(site: Site, tmp_path: Path) -> None:
    content = os.urandom(100_000)
    site.files["t.bin"], site.cuts, site.shortest = content, [1_000], True
    assert fetch(site, "t.bin", tmp_path)[0].read_bytes() == content
    assert site.asked == [None, "bytes=1000-", None]


def test_an_answer_without_a_length_must_be_pinned(site: Site, tmp_path: Path) -> None:
    content = os.urandom(1_000)
    site.files["t.bin"], site.lengths, site.cuts = content, False, [500]
    with pytest.raises(StorageError, match="does not say how long it is"):
        fetch(site, "t.bin", tmp_path)
    site.cuts = []
    assert fetch(site, "t.bin", tmp_path, Digest.of_bytes(content))[0].read_bytes() == content


@pytest.mark.parametrize(("path", "sent"), [("a b.csv", "a%20b.csv"), ("d\u00e4t\u00e4.csv", "d%C3%A4t%C3%A4.csv")])
def test_names_with_spaces_and_other_letters(site: Site, tmp_path: Path, path: str, sent: str) -> None:
    site.files[sent] = b"data"
    found, _ = fetch(site, path, tmp_path)
    assert found == tmp_path / path and found.read_bytes() == b"data"
    assert fetch(site, sent, tmp_path)[0] == found
    site.redirects["go"] = f"/{path.encode().decode('latin-1')}"
    assert fetch(site, "go", tmp_path)[0].read_bytes() == b"data"


def test_a_name_that_means_another_private_place_after_a_redirect(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        place = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, port))]

    site.redirects["go"], site.files["t"] = "/t", b"secret"
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(InputError, match=r"127\.0\.0\.2 is in a private network"):
        download(f"http://rebind.test:{site.port}/go", tmp_path, pinned=None, allow_http=True, progress=lambda *_: None)
