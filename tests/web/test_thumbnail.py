"""Only pixels reach the browser, never the bytes that somebody sent."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

from tidemill.web.thumbnail import thumbnail


def encoded(mode: str, size: tuple[int, int], form: str) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize(
    ("mode", "form"), [("L", "PNG"), ("RGB", "JPEG"), ("RGBA", "PNG"), ("P", "GIF"), ("I;16", "PNG")]
)
def test_pictures_become_small_png_files(mode: str, form: str) -> None:
    small = thumbnail(encoded(mode, (600, 300), form))
    assert small is not None
    with Image.open(io.BytesIO(small)) as picture:
        assert (picture.format, picture.size) == ("PNG", (256, 128))


def test_what_follows_the_picture_is_left_behind() -> None:
    small = thumbnail(encoded("L", (8, 8), "PNG") + b"<script>alert(1)</script>")
    assert small is not None
    assert b"script" not in small


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"GIF89a<script>",
        encoded("RGB", (64, 64), "PNG")[:-30],
        b"\x00" * 99,
    ],
)
def test_what_does_not_wholly_decode_is_no_picture(content: bytes) -> None:
    assert thumbnail(content) is None


def test_a_bomb_is_no_picture() -> None:
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    assert thumbnail(b"\x89PNG\r\n\x1a\n" + chunk + encoded("L", (8, 8), "PNG")[33:]) is None
