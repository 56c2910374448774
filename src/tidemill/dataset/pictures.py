"""Checking pictures: whole, of a known format, not too large. Their bytes are kept as they are."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tidemill.dataset.checks.near import look, small
from tidemill.domain.dataset import PICTURE_FORMATS, PICTURE_PIXELS
from tidemill.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_BYTES = 32_000_000
_GREY = frozenset({"1", "L", "LA", "I", "I;16"})


class Checked(NamedTuple):
    """A picture that decodes: the SHA-256 of its bytes, its size, whether it has no colour, and how it looks.

    `look` is for `checks.near`; empty for pictures that are too small to tell alike from the same.
    """

    digest: bytes
    height: int
    width: int
    grey: bool
    look: bytes = b""


def check(content: bytes, name: str) -> Checked:
    """Raises DataError when `content` is no picture, is truncated, or has more than 25 million pixels."""
    from PIL import Image, UnidentifiedImageError

    if len(content) > MAX_BYTES:
        raise too_many_bytes(name)
    if not content:
        raise DataError(f"{name} is empty", "remove it or get it again")
    try:
        with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as image:
            width, height, grey = image.width, image.height, image.mode in _GREY
            if width * height > PICTURE_PIXELS:
                raise _too_large(name, f"{width} x {height} pixels")
            if image.mode == "F":
                raise DataError(f"{name} holds numbers with fractions, not colours", "convert it to 8 or 16 bits")
            seen = look(image)
            image.load()
            return Checked(hashlib.sha256(content).digest(), height, width, grey, seen)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(name, "a picture") from None
    except UnidentifiedImageError:
        raise DataError(
            f"{name} is not a picture", f"remove it, or convert it to one of {', '.join(PICTURE_FORMATS)}"
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError) as error:  # what Pillow raises
        raise DataError(f"{name} is truncated or damaged: {error}", "remove it or get it again") from None


def read_small(content: bytes) -> NDArray[np.uint8] | None:
    """A picture that was checked, as `near.small` gives it; None when it cannot be read any more."""
    from PIL import Image

    try:
        with bombs_are_errors(), Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as image:
            return small(image)
    except (OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError):  # another Pillow than checked it
        return None


def too_many_bytes(name: str) -> DataError:
    """The picture `name` is a larger file than is read."""
    return DataError(f"{name} is larger than {MAX_BYTES // 1_000_000} MB", "make it smaller or remove it")


def _too_large(name: str, what: str) -> DataError:
    return DataError(
        f"{name} is too large: {what}, more than {PICTURE_PIXELS // 1_000_000} million are not read",
        "make it smaller or remove it",
    )


@contextmanager
def bombs_are_errors() -> Iterator[None]:
    """Inside, a picture that Pillow warns of is refused, and what it says about odd metadata is not heard."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield
