"""Checking one picture file: whole, of a known format, not too large. Its bytes are kept as they are."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tidemill.domain.dataset import PICTURE_FORMATS, PICTURE_PIXELS
from tidemill.errors import DataError
from tidemill.process import usable_cores

MAX_BYTES = 32_000_000
_GREY = frozenset({"1", "L", "LA", "I", "I;16"})
_CHUNK = 256


class Checked(NamedTuple):
    """A picture that decodes: the SHA-256 of its bytes, its size, and whether it has no colour."""

    digest: bytes
    height: int
    width: int
    grey: bool


def check_all(files: Sequence[Path], progress: Callable[[int, int], None]) -> list[Checked]:
    """Decode every file, in threads (Pillow lets go of the interpreter while it decodes).

    Raises DataError naming the first file that cannot be used.
    """
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    found: list[Checked] = []
    with _bombs_are_errors(), ThreadPoolExecutor(usable_cores()) as pool:
        try:
            for part in pool.map(_check_chunk, chunks):
                found.extend(part)
                progress(len(found), len(files))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found


def _check_chunk(files: Sequence[Path]) -> list[Checked]:
    return [check(file) for file in files]


def check(file: Path) -> Checked:
    """Raises DataError when `file` is no picture, is truncated, or has more than 25 million pixels."""
    import io

    from PIL import Image, UnidentifiedImageError

    if file.stat().st_size > MAX_BYTES:
        raise DataError(f"{file} is larger than {MAX_BYTES // 1_000_000} MB", "make it smaller or remove it")
    content = file.read_bytes()
    if not content:
        raise DataError(f"{file} is empty", "remove it or get it again")
    try:
        with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as image:
            if image.width * image.height > PICTURE_PIXELS:
                raise _too_large(file, f"{image.width} x {image.height} pixels")
            image.load()
            if image.mode == "F":
                raise DataError(f"{file} holds numbers with fractions, not colours", "convert it to 8 or 16 bits")
            return Checked(hashlib.sha256(content).digest(), image.height, image.width, image.mode in _GREY)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(file, "a picture") from None
    except UnidentifiedImageError:
        raise DataError(
            f"{file} is not a picture", f"remove it, or convert it to one of {', '.join(PICTURE_FORMATS)}"
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError) as error:  # what Pillow raises
        raise DataError(f"{file} is truncated or damaged: {error}", "remove it or get it again") from None


def _too_large(file: Path, what: str) -> DataError:
    return DataError(
        f"{file} is too large: {what}, more than {PICTURE_PIXELS // 1_000_000} million are not read",
        "make it smaller or remove it",
    )


@contextmanager
def _bombs_are_errors() -> Iterator[None]:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", module=r"PIL\.")  # a file's odd metadata does not matter here
        yield
