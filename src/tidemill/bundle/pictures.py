"""Picture files to pixels."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from tidemill.bundle.room import Room
from tidemill.domain.bundle import ImagePreprocessing
from tidemill.domain.dataset import PICTURE_FORMATS, PICTURE_PIXELS, picture_pixels
from tidemill.errors import ItemError
from tidemill.process import bound_decoders, usable_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

_POOL_FROM = 16  # pictures, and their mean size in bytes: below it a pool costs more than it saves
_POOL_BYTES = 32 << 10
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow only warns between its own limit and twice that; a picture so large is refused here in any case.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
bound_decoders()

# The largest picture takes 200 MB while it is decoded; pictures that are decoded at once take no more together.
_ROOM = Room(PICTURE_PIXELS)
_SMALL = 1_000_000  # pixels; of these, as many at once as there are threads
_PASSES = 12_000_000  # pixels from which the passes of a JPEG may take more than is allowed
_STRIP = 64


def prepare_pictures(
    preprocessing: ImagePreprocessing, inputs: Sequence[Any], threads: int | None = None
) -> NDArray[np.uint8]:
    """uint8 [N, H, W, C], C 1 for "L" and 3 for "RGB". `threads` None: as many as pay. Raises ItemError."""
    channels = 1 if preprocessing.mode == "L" else 3
    pixels = np.empty((len(inputs), preprocessing.height, preprocessing.width, channels), np.uint8)

    def prepare(index: int) -> None:
        pixels[index] = _decode(preprocessing, inputs[index], index).reshape(pixels.shape[1:])

    workers = min(usable_cores(), 8) if threads is None else threads
    size = sum(len(each) for each in inputs if isinstance(each, bytes))
    if len(inputs) < _POOL_FROM or size < _POOL_BYTES * len(inputs) or workers == 1:
        for index in range(len(inputs)):
            prepare(index)
    else:  # made anew each time: a pool kept across a fork would hang
        with ThreadPoolExecutor(workers, "decode") as pool:
            for _ in pool.map(prepare, range(len(inputs))):
                pass
    return pixels


def _decode(preprocessing: ImagePreprocessing, content: object, index: int) -> NDArray[np.uint8]:
    if not isinstance(content, bytes):
        raise ItemError(
            index,
            f"input {index} is {_kind(content)}, not a picture file",
            "send the bytes of a PNG, JPEG or WebP file",
        )
    picture = _open(content, index)
    large = picture.width * picture.height > _SMALL
    try:
        with _ROOM.take(picture.width * picture.height) if large else nullcontext():
            for step in (_turn, _eight_bits, _with_alpha, _coloured, partial(_in_mode, preprocessing.mode)):
                picture = step(picture)  # lets go of what it was made from: there is room for two copies
            size = (preprocessing.width, preprocessing.height)
            if picture.size != size:
                picture = picture.resize(size, Image.Resampling[preprocessing.filter.upper()])
            return np.asarray(picture, np.uint8)
    except MemoryError:
        raise ItemError(
            index, f"input {index} is a picture for which there is not enough memory", "make it smaller"
        ) from None
    except Exception as error:  # Pillow's decoders raise nearly anything for a damaged file
        raise _damaged(picture, index, error) from None


def _open(content: bytes, index: int) -> Image.Image:
    """The picture before it is decoded, small enough to be. Raises ItemError."""
    try:
        picture = Image.open(io.BytesIO(content), formats=PICTURE_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(index, PICTURE_PIXELS) from None
    except UnidentifiedImageError:
        raise ItemError(
            index, f"input {index} is not a picture that can be read", "PNG, JPEG, WebP, BMP, GIF and TIFF are known"
        ) from None
    except Exception as error:  # as above
        raise ItemError(
            index, f"input {index} is a damaged or truncated picture: {error}", "send the whole file again"
        ) from None
    limit = picture_pixels(picture.format)
    if picture.width * picture.height > limit:
        raise _too_large(index, limit, f" ({picture.width} x {picture.height})")
    if not picture.width * picture.height:
        raise ItemError(index, f"input {index} is a picture without pixels", "send another")
    return picture


def _too_large(index: int, limit: int, size: str = "") -> ItemError:
    most = f"{limit // 1_000_000} million pixels"
    return ItemError(index, f"input {index} is a picture of more than {most}{size}", f"make it smaller than {most}")


def _damaged(picture: Image.Image, index: int, error: Exception) -> ItemError:
    if picture.format == "JPEG" and picture.width * picture.height > _PASSES:
        return ItemError(
            index,
            f"input {index} is a damaged JPEG, or one of several passes that takes more than 200 MB",
            "make it smaller, or save it without passes (not progressive)",
        )
    return ItemError(index, f"input {index} is a damaged or truncated picture: {error}", "send the whole file again")


def _turn(picture: Image.Image) -> Image.Image:
    try:
        turn = _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # EXIF that cannot be read says nothing about the pixels
        turn = None
    return picture if turn is None else picture.transpose(turn)


def _eight_bits(picture: Image.Image) -> Image.Image:
    """16 bits and more are cut to the upper 8 of 16."""
    picture.load()  # some files of 16 bits say what they are only then
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no agreed range")
    if not picture.mode.startswith("I"):
        return picture
    cut = np.empty((picture.height, picture.width), np.uint8)
    for top in range(0, picture.height, _STRIP):
        strip = picture.crop((0, top, picture.width, min(top + _STRIP, picture.height)))
        cut[top : top + _STRIP] = np.asarray(strip).astype(np.int64).clip(0, 65535) >> 8
    return Image.fromarray(cut)


def _with_alpha(picture: Image.Image) -> Image.Image:
    """What is transparent keeps the colour behind it."""
    transparent = "transparency" in picture.info and picture.mode in ("P", "L", "RGB")
    return picture.convert("RGBA") if transparent else picture


def _coloured(picture: Image.Image) -> Image.Image:
    """As Pillow itself does on the way from these modes to grey, but then it holds three copies."""
    return picture.convert("RGB") if picture.mode in ("CMYK", "YCbCr", "LAB", "HSV") else picture


def _in_mode(mode: str, picture: Image.Image) -> Image.Image:
    return picture if picture.mode == mode else picture.convert(mode)


def _kind(value: object) -> str:
    return {"str": "text", "dict": "a row", "list": "a list", "NoneType": "null"}.get(
        type(value).__name__, type(value).__name__
    )
