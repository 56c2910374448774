"""What is whole in the file of a spool, after a kill, a power cut or a failing disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from tidemill.journal.frames import Frame, frame, read_frames

_HEAD = len(frame(b""))


class Salvaged(NamedTuple):
    """The whole frames in order, and whether something between or behind them was altered, not merely cut short."""

    frames: Sequence[Frame]
    damaged: bool


def salvage(content: bytes, start: int) -> Salvaged:
    """Frames of JSON objects from `start` on, also those behind one that is not whole."""
    found: list[Frame] = []
    position, damaged = start, False
    while True:
        read = list(takewhile(lambda each: each.payload, read_frames(content, position).frames))  # NULs are no frames
        found += read
        position = frame_end(read[-1]) if read else position
        following = _next_frame(content, position + 1)
        if following is None:
            return Salvaged(found, damaged or not _is_torn(content[position:]))
        position, damaged = following, True


def frame_end(each: Frame) -> int:
    """Where the frame ends in its file."""
    return each.offset + _HEAD + len(each.payload)


def _next_frame(content: bytes, start: int) -> int | None:
    """Where the next whole frame begins: eight bytes before the brace of its object."""
    brace = content.find(b"{", start + _HEAD)
    while brace >= 0:
        if read_frames(content, brace - _HEAD).frames:
            return brace - _HEAD
        brace = content.find(b"{", brace + 1)
    return None


def _is_torn(rest: bytes) -> bool:
    """Whether this is what a kill leaves, the beginning of a frame, or a power cut, NULs where its bytes should be."""
    if len(rest) < _HEAD or not rest.strip(b"\0") or b"\0" in rest[_HEAD:]:
        return True
    try:
        json.loads(rest[_HEAD:])
    except ValueError:
        return int.from_bytes(rest[:4], "little") > len(rest) - _HEAD
    return False  # the object is whole, so that its length or checksum is not
