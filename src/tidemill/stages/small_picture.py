"""A small picture inside a page, made anew from its pixels: no byte that somebody gave reaches the browser."""

from __future__ import annotations

import base64
import io

from tidemill.dataset.pictures import bombs_are_errors
from tidemill.domain.dataset import PICTURE_FORMATS


def small_picture(content: bytes, side: int, *, enlarge: bool = False) -> str:
    """A data address of the picture, at most `side` pixels wide and high; empty for what cannot be decoded.

    `enlarge`: one of less than half of that is shown with whole pixels, so that a browser does not blur it.
    """
    from PIL import Image

    try:
        with bombs_are_errors(), Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as picture:
            picture.draft("RGB", (2 * side, 2 * side))
            plain = picture.convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError):  # it decoded when it was added
        return ""
    target = io.BytesIO()
    times = side // max(plain.size)
    if enlarge and times > 1:
        plain.resize((plain.width * times, plain.height * times), Image.Resampling.NEAREST).save(target, "PNG")
        return "data:image/png;base64," + base64.b64encode(target.getvalue()).decode()
    plain.thumbnail((side, side))
    plain.save(target, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(target.getvalue()).decode()
