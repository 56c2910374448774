"""Picture files to pixels."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from tidemill.domain.bundle import ImagePreprocessing
from tidemill.domain.dataset import PICTURE_FORMATS, PICTURE_PIXELS
from tidemill.errors import ItemError
from tidemill.process import usable_cores

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
    try:
        with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as picture:
            _check_size(picture.size, index)
            upright = _turn(picture)
            plain = _convert(upright, preprocessing.mode)
            size = (preprocessing.width, preprocessing.height)
            if plain.size != size:
                plain = plain.resize(size, Image.Resampling[preprocessing.filter.upper()])
            return np.asarray(plain, np.uint8)
    except ItemError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(index) from None
    except UnidentifiedImageError:
        raise ItemError(
            index, f"input {index} is not a picture that can be read", "PNG, JPEG, WebP, BMP, GIF and TIFF are known"
        ) from None
    except Exception as error:  # Pillow's decoders raise nearly anything for a damaged file
        raise ItemError(
            index, f"input {index} is a damaged or truncated picture: {error}", "send the whole file again"
        ) from None


def _check_size(size: tuple[int, int], index: int) -> None:
    if size[0] * size[1] > PICTURE_PIXELS:
        raise _too_large(index, f" ({size[0]} x {size[1]})")
    if not size[0] * size[1]:
        raise ItemError(index, f"input {index} is a picture without pixels", "send another")


def _too_large(index: int, size: str = "") -> ItemError:
    limit = f"{PICTURE_PIXELS // 1_000_000} million pixels"
    return ItemError(index, f"input {index} is a picture of more than {limit}{size}", f"make it smaller than {limit}")


def _turn(picture: Image.Image) -> Image.Image:
    try:
        turn = _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # EXIF that cannot be read says nothing about the pixels
        turn = None
    return picture if turn is None else picture.transpose(turn)


def _convert(picture: Image.Image, mode: str) -> Image.Image:
    """`picture` in `mode`; what is transparent keeps the colour behind it; 16 bits are cut to the upper 8."""
    if picture.mode.startswith("I"):
        values = np.asarray(picture).astype(np.int64).clip(0, 65535)
        picture = Image.fromarray((values >> 8).astype(np.uint8))
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no agreed range")
    if "transparency" in picture.info and picture.mode in ("P", "L", "RGB"):
        picture = picture.convert("RGBA")
    return picture if picture.mode == mode else picture.convert(mode)


def _kind(value: object) -> str:
    return {"str": "text", "dict": "a row", "list": "a list", "NoneType": "null"}.get(
        type(value).__name__, type(value).__name__
    )
