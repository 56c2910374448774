"""Copies of pictures with the answer drawn on them."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.dataset import PICTURE_FORMATS
from tidemill.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

    from tidemill.project.predicting.sources import Chunk
    from tidemill.stages.predict import Answers

_SMALLEST, _LARGEST = 192, 1600  # pixels of the longer side: a small picture is made larger, so that words can be read
_SUFFIXES = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}  # the others become PNG


class Annotator:
    """Writes a copy of each of `files` below `folder`, where `below` says, as PNG, JPEG or WebP.

    A band at the foot bears the answer and its score (regression: the value). A file without an answer gets no copy.
    """

    def __init__(self, folder: Path, files: Sequence[Path], below: Sequence[Path]) -> None:
        resolved = folder.resolve()
        if folder.is_file():
            raise InputError(f"--annotate {folder} is a file", "name a folder")
        if any(
            (resolved / each).resolve() == file.resolve() for each, file in zip(map(_copy, below), files, strict=True)
        ):
            raise InputError(f"--annotate {folder} is where the pictures are", "name another folder")
        self._folder, self._below = folder, below

    def look(self, row: int, chunk: Chunk, answers: Answers) -> None:
        """Write the copies of a chunk whose first row is `row`. Doing it again writes the same."""
        for index, output in enumerate(answers.outputs):
            content = chunk.inputs[index]
            if output is not None and isinstance(content, bytes):
                scores = answers.scores[index]
                said = f"{output}  {scores.max():.1%}" if len(scores) > 1 else output
                path = self._folder / _copy(self._below[row + index])
                _put(path, annotated(content, said, _SUFFIXES.get(path.suffix.lower(), "PNG")))


def _put(path: Path, content: bytes) -> None:
    """Whole or not at all; not synced, which would take longer than all the rest: a copy can be drawn again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_bytes(content)
    os.replace(beside, path)


def _copy(below: Path) -> Path:
    """a.gif becomes a.gif.png: beside an a.png it is another."""
    known = below.suffix.lower() in {*_SUFFIXES, ".png"}
    return below if known else below.with_name(f"{below.name}.png")


def annotated(content: bytes, text: str, kind: str) -> bytes:
    """The picture file `content` as a file of `kind`, with a band under it that says `text`."""
    from PIL import Image, ImageDraw, ImageFont, ImageOps

    with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as opened:
        picture = _sized(ImageOps.exif_transpose(opened).convert("RGB"))
    height = max(22, picture.height // 14)
    font = ImageFont.load_default(height * 0.62)
    drawn = Image.new("RGB", (picture.width, picture.height + height), (16, 24, 32))
    drawn.paste(picture)
    pen = ImageDraw.Draw(drawn)
    while len(text) > 4 and pen.textlength(text, font) > drawn.width - height // 2:
        text = text[:-2].rstrip("…") + "…"
    pen.text((height // 4, picture.height + height // 2), text, (255, 255, 255), font, anchor="lm")
    file = io.BytesIO()
    drawn.save(file, kind)
    return file.getvalue()


def _sized(picture: Image.Image) -> Image.Image:
    from PIL import Image

    side = max(picture.size)
    if side < _SMALLEST:
        factor = -(-_SMALLEST // side)
        return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    if side > _LARGEST:
        picture.thumbnail((_LARGEST, _LARGEST))
    return picture
