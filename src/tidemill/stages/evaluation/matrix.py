"""A confusion matrix as a picture: a PNG file for people and trackers. Drawn in milliseconds, without matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

LABELLED = 60  # classes: the names of more cannot be read
COUNTED = 30  # classes: the counts of more cannot be read
BLOCKS = 256  # classes: more are shown together, neighbours in one block
_CELL, _FONT, _MARGIN = 34, 13, 18
_LONGEST = 20  # characters of a name


def shares(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each row's shares, [K, K]; of more than BLOCKS classes the mean over blocks of neighbours."""
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    if len(share) <= BLOCKS:
        return np.asarray(share)
    edges = np.linspace(0, len(share), BLOCKS + 1).astype(np.int64)[:-1]
    sizes = np.diff(np.append(edges, len(share)))[:, None]
    return np.asarray(np.add.reduceat(np.add.reduceat(share, edges, axis=0), edges, axis=1) / sizes)


def heat_map(confusion: NDArray[np.int64], colour: tuple[int, int, int] = (30, 146, 137)) -> bytes:
    """A pixel a cell as PNG; what is empty is transparent, so that it suits a light page and a dark one."""
    from PIL import Image

    share = shares(confusion)
    pixels = np.empty((*share.shape, 4), np.uint8)
    pixels[..., :3] = colour
    pixels[..., 3] = np.round(255 * np.sqrt(share.clip(0, 1)))  # the root: a few in a hundred are to be seen
    target = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(target, "PNG", optimize=True)
    return target.getvalue()


def picture(labels: Sequence[str], confusion: NDArray[np.int64], title: str) -> bytes:
    """The matrix [K, K] as PNG, each row shaded by its share: counts up to 30 classes, names up to 60."""
    from PIL import Image, ImageDraw, ImageFont

    share = shares(confusion)
    cell = _CELL if len(labels) <= COUNTED else 18 if len(labels) <= LABELLED else max(2, 900 // len(share))
    font = ImageFont.load_default(_FONT)
    names = [cut(label, _LONGEST) for label in labels] if len(labels) <= LABELLED else []
    left = _MARGIN * 2 + round(max((font.getlength(name) for name in names), default=0)) + 8
    top = _MARGIN * 2 + 8
    side = cell * len(share)
    width = max(left + side + _MARGIN, left + round(font.getlength(title)) + _MARGIN)
    image = Image.new("RGB", (width, top + side + left), "white")
    image.paste(_shaded(share, cell), (left, top))
    draw = ImageDraw.Draw(image)
    draw.text((left, _MARGIN - 6), title, fill="black", font=font)
    draw.rectangle((left - 1, top - 1, left + side, top + side), outline=(150, 160, 158))
    _write_names(image, names, font, (left, top, cell))
    if len(labels) <= COUNTED:
        _write_counts(draw, confusion, share, font, (left, top, cell))
    draw.text((left + side / 2, image.height - 6), "answered", fill="black", font=font, anchor="ms")
    _upright(image, "true", font, (4, top + side // 2), middle=True)
    target = io.BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


def cut(words: str, longest: int) -> str:
    """`words` on one line, shortened to `longest` characters."""
    flat = " ".join(words[: 4 * longest].split())
    return flat if len(flat) <= longest else flat[: longest - 1] + "…"


def _shaded(share: NDArray[np.float64], cell: int) -> Picture:
    from PIL import Image

    white, tide = np.array([255, 255, 255]), np.array([11, 110, 105])
    pixels = white + np.sqrt(share.clip(0, 1))[..., None] * (tide - white)
    return Image.fromarray(pixels.round().astype(np.uint8).repeat(cell, axis=0).repeat(cell, axis=1))


def _write_names(image: Picture, names: Sequence[str], font: Font, at: tuple[int, int, int]) -> None:
    """To the left of the rows, and below the columns from top to bottom."""
    from PIL import ImageDraw

    draw, (left, top, cell) = ImageDraw.Draw(image), at
    for index, name in enumerate(names):
        middle = cell * index + cell // 2
        draw.text((left - 8, top + middle), name, fill="black", font=font, anchor="rm")
        _upright(image, name, font, (left + middle - _FONT // 2 - 2, top + cell * len(names) + 8))


def _upright(image: Picture, words: str, font: Font, place: tuple[int, int], *, middle: bool = False) -> None:
    """Words that are read from below, their end (or their middle) at `place`."""
    from PIL import Image, ImageDraw

    length = max(1, round(font.getlength(words)))
    line = Image.new("RGB", (length, _FONT + 4), "white")
    ImageDraw.Draw(line).text((0, 0), words, fill="black", font=font)
    x, y = place
    image.paste(line.rotate(90, expand=True), (x, y - length // 2 if middle else y))


def _write_counts(
    draw: ImageDraw, confusion: NDArray[np.int64], share: NDArray[np.float64], font: Font, at: tuple[int, int, int]
) -> None:
    left, top, cell = at
    for row, column in zip(*confusion.nonzero(), strict=True):
        centre = (left + cell * column + cell // 2, top + cell * row + cell // 2)
        colour = "white" if share[row, column] > 0.3 else "black"
        draw.text(centre, short(int(confusion[row, column])), fill=colour, font=font, anchor="mm")


def short(count: int) -> str:
    """At most four characters."""
    return str(count) if count < 10_000 else f"{count / 1000:.0f}k" if count < 999_500 else f"{count / 1e6:.0f}M"
