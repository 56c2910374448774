"""A small picture of an input, made anew from its pixels: no byte that somebody sent reaches the browser."""

from __future__ import annotations

import io
import warnings

from PIL import Image

from tidemill.domain.dataset import PICTURE_FORMATS, PICTURE_PIXELS

SIDE = 256


def thumbnail(content: bytes) -> bytes | None:
    """A PNG of at most 256 x 256 pixels; None for anything that does not wholly decode, or is larger than 25 Mpx."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as picture:
                if picture.width * picture.height > PICTURE_PIXELS:
                    return None
                picture.draft("RGB", (SIDE, SIDE))
                plain = picture.convert("L" if picture.mode in ("1", "L") else "RGBA" if _clear(picture) else "RGB")
    except Exception:  # Pillow's decoders raise nearly anything for a damaged file
        return None
    plain.thumbnail((SIDE, SIDE))
    target = io.BytesIO()
    plain.save(target, "PNG")
    return target.getvalue()


def _clear(picture: Image.Image) -> bool:
    return picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
