"""Checking pictures: whole, of a known format, not too large. Their bytes are kept as they are."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from tidemill.dataset.checks.near import LOOK, grey, looks, small
from tidemill.domain.dataset import PICTURE_FORMATS, PICTURE_PIXELS, picture_pixels
from tidemill.errors import DataError
from tidemill.process import bound_decoders

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BYTES = 32_000_000
bound_decoders()
_COLOURLESS = frozenset({"1", "L", "LA", "I", "I;16"})


class Checked(NamedTuple):
    """A picture that decodes: the SHA-256 of its bytes, its size, whether it has no colour, and `near.grey` of it."""

    digest: bytes
    height: int
    width: int
    grey: bool
    seen: bytes


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of pictures. `digests` uint8 [N, 32]: SHA-256 of the bytes; `shapes` int32 [N, 3]: height, width,
    and 1 for no colour; `looks` uint8 [N, 22]: see `checks.near`. All zeros for what is no picture."""

    digests: NDArray[np.uint8]
    shapes: NDArray[np.int32]
    looks: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.digests)

    @classmethod
    def none(cls, count: int) -> Self:
        """So many of which nothing is known."""
        return cls(np.zeros((count, 32), np.uint8), np.zeros((count, 3), np.int32), np.zeros((count, LOOK), np.uint8))

    @classmethod
    def of(cls, checked: Sequence[Checked | None]) -> Self:
        """The facts of each; None is no picture."""
        known = [each or _NOTHING for each in checked]
        digests = np.frombuffer(b"".join(each.digest for each in known), np.uint8).reshape(-1, 32)
        shapes = np.array([(each.height, each.width, each.grey) for each in known], np.int32).reshape(-1, 3)
        return cls(digests, shapes, looks([each.seen for each in known]))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All parts, one after the other."""
        every = [*parts, cls.none(0)]
        return cls(*(np.concatenate([getattr(each, name) for each in every]) for name in cls.__slots__))

    def at(self, places: NDArray[np.int64]) -> Self:
        """Those at some places, in that order."""
        return type(self)(self.digests[places], self.shapes[places], self.looks[places])

    def put(self, places: NDArray[np.int64], facts: Self) -> None:
        """Have those at some places be these."""
        for name in self.__slots__:
            getattr(self, name)[places] = getattr(facts, name)

    def digest(self, place: int) -> bytes:
        """The SHA-256 of one picture's bytes."""
        return bytes(self.digests[place])


_NOTHING = Checked(bytes(32), 0, 0, False, b"")


def check(content: bytes, name: str) -> Checked:
    """Raises DataError when `content` is no picture, is truncated, or has more than 25 million pixels."""
    from PIL import Image, UnidentifiedImageError

    if len(content) > MAX_BYTES:
        raise too_many_bytes(name)
    if not content:
        raise DataError(f"{name} is empty", "remove it or get it again")
    try:
        with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as image:
            width, height, plain = image.width, image.height, image.mode in _COLOURLESS
            if width * height > (limit := picture_pixels(image.format)):
                raise _too_large(name, f"{width} x {height} pixels", limit)
            if image.mode == "F":
                raise DataError(f"{name} holds numbers with fractions, not colours", "convert it to 8 or 16 bits")
            seen = grey(image)
            if not seen:
                image.load()
            return Checked(hashlib.sha256(content).digest(), height, width, plain, seen)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(name, "a picture") from None
    except UnidentifiedImageError:
        raise DataError(
            f"{name} is not a picture", f"remove it, or convert it to one of {', '.join(PICTURE_FORMATS)}"
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError) as error:  # what Pillow raises
        raise DataError(f"{name} is truncated or damaged: {error}", "remove it or get it again") from None


def read_small(content: bytes) -> NDArray[np.uint8] | None:
    """A picture that was checked, as `near.small` gives it; None when it cannot be read any more. For use inside
    `bombs_are_errors`."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as image:
            return small(image)
    except (OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError):  # another Pillow than checked it
        return None


def too_many_bytes(name: str) -> DataError:
    """The picture `name` is a larger file than is read."""
    return DataError(f"{name} is larger than {MAX_BYTES // 1_000_000} MB", "make it smaller or remove it")


def _too_large(name: str, what: str, limit: int = PICTURE_PIXELS) -> DataError:
    return DataError(
        f"{name} is too large: {what}, more than {limit // 1_000_000} million are not read",
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
