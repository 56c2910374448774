"""Picture files to pixels: formats, modes, orientation, and files that are damaged, hostile or none."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tidemill.bundle.preprocess import Preprocessor
from tidemill.domain.bundle import ImagePreprocessing
from tidemill.errors import InputError, ItemError

RGB = Preprocessor(ImagePreprocessing("RGB", 6, 8))
GREY = Preprocessor(ImagePreprocessing("L", 6, 8))


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def gradient(mode: str = "RGB", size: tuple[int, int] = (8, 6)) -> Image.Image:
    values = np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(size[1], size[0], 3)
    return Image.fromarray(values).convert(mode)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes whose header promises width x height pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def test_pixels_of_the_right_size_are_kept_as_they_are() -> None:
    feed = RGB.prepare([encoded(gradient())])
    assert feed["image"].dtype == np.uint8
    np.testing.assert_array_equal(feed["image"][0], np.asarray(gradient()))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_every_format_is_read(kind: str) -> None:
    assert RGB.prepare([encoded(gradient(), kind)])["image"].shape == (1, 6, 8, 3)
    assert GREY.prepare([encoded(gradient(), kind)])["image"].shape == (1, 6, 8, 1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_is_converted(mode: str) -> None:
    for preprocessor, channels in ((RGB, 3), (GREY, 1)):
        assert preprocessor.prepare([encoded(gradient(mode))])["image"].shape == (1, 6, 8, channels)


def test_a_palette_with_transparency_is_read_without_a_warning() -> None:
    content = encoded(gradient("P"), transparency=bytes(range(256)))
    assert RGB.prepare([content])["image"].shape == (1, 6, 8, 3)


def test_sixteen_bits_are_cut_to_the_upper_eight() -> None:
    values = np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000
    (pixels,) = GREY.prepare([encoded(Image.fromarray(values))])["image"]
    np.testing.assert_array_equal(pixels[..., 0], values >> 8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation: int) -> None:
    undo = {1: (0, False), 2: (0, True), 3: (2, False), 4: (2, True), 5: (1, True), 6: (1, False), 7: (3, True),
            8: (3, False)}  # fmt: skip
    upright = np.asarray(gradient(size=(8, 6)))
    turns, mirrored = undo[orientation]
    stored = np.rot90(np.fliplr(upright) if mirrored else upright, turns)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)
    np.testing.assert_array_equal(RGB.prepare([content])["image"][0], upright)


def test_the_filter_is_the_named_one() -> None:
    content = encoded(gradient(size=(40, 30)))
    for name in ("nearest", "bilinear", "bicubic", "lanczos"):
        preprocessor = Preprocessor(ImagePreprocessing("RGB", 6, 8, name))
        wanted = gradient(size=(40, 30)).resize((8, 6), Image.Resampling[name.upper()])
        np.testing.assert_array_equal(preprocessor.prepare([content])["image"][0], np.asarray(wanted))


def test_many_large_pictures_are_decoded_in_order() -> None:
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (150, 200, 3), np.uint8)) for _ in range(20)]
    together = RGB.prepare([encoded(picture) for picture in pictures])["image"]
    for index in (0, 7, 19):
        np.testing.assert_array_equal(together[index], np.asarray(pictures[index].resize((8, 6), 2)))


@pytest.mark.parametrize(
    "size", [(60_000, 60_000), (20_000, 20_000), (10_000, 10_000), (5_001, 5_000), (1, 25_000_001)]
)
def test_a_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    with pytest.raises(ItemError, match="more than 25 million pixels"):
        RGB.prepare([bomb(*size)])


def test_the_largest_picture_that_is_read() -> None:
    with pytest.raises(ItemError, match="truncated"):  # the size is allowed, the pixels are not there
        RGB.prepare([bomb(5_000, 5_000)])


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
WHOLE = {kind: encoded(NOISE, kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF")}


@pytest.mark.parametrize("kind", sorted(WHOLE))
@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
def test_a_truncated_file_is_refused(kind: str, share: float) -> None:
    content = WHOLE[kind]
    with pytest.raises(ItemError, match="input 0 is"):
        RGB.prepare([content[: int(share * len(content))]])


@pytest.mark.parametrize(
    "given", [b"", b"hello", b"%PDF-1.7", b"<svg/>", "text", None, 3, {"a": 1}, bytearray(b"x")], ids=range(9)
)
def test_what_is_no_picture_is_refused_and_named(given: Any) -> None:
    good = encoded(gradient())
    with pytest.raises(ItemError, match="input 2 is") as refused:
        RGB.prepare([good, good, given])
    assert refused.value.index == 2


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(InputError, match="empty"):
        RGB.prepare([])
