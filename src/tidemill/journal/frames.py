"""The byte format of a spool: a header, then frames of length, CRC-32 and payload. A torn tail is told from a frame."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import BinaryIO, NamedTuple

from tidemill.errors import StorageError

MAGIC = b"TMSPOOL"
VERSION = 3  # 1 had single rows only, 2 batches with another head
HEADER = MAGIC + bytes([VERSION])
_HEAD = struct.Struct("<II")


class Frame(NamedTuple):
    """A whole frame: where it begins, and its payload."""

    offset: int
    payload: bytes


class Frames(NamedTuple):
    """What a piece of a spool holds: whole frames, where the last one ends, and how many bytes behind it are none."""

    frames: list[Frame]
    end: int
    ignored: int


def frame(payload: bytes) -> bytes:
    """Length and CRC-32 of `payload`, each 32 bits, little-endian, and the payload."""
    return _head(payload) + payload


def _head(payload: bytes) -> bytes:
    return _HEAD.pack(len(payload), zlib.crc32(payload))


def join_frames(payloads: Iterable[bytes]) -> bytes:
    """The frames of `payloads`, in order, as one piece to write at once."""
    return b"".join([piece for payload in payloads for piece in (_head(payload), payload)])


def check_header(content: bytes, name: str) -> None:
    """Raises StorageError when `content` is no spool, or one that a newer Tidemill wrote."""
    if content[: len(MAGIC)] == MAGIC and len(content) >= len(HEADER) and 0 < content[len(MAGIC)] <= VERSION:
        return
    if content[: len(MAGIC)] == MAGIC and len(content) >= len(HEADER):
        raise StorageError(
            f"the spool {name} has format {content[len(MAGIC)]}, this Tidemill reads {VERSION}", "upgrade Tidemill"
        )
    raise StorageError(f"{name} is not a spool of the prediction log", "move the file out of the log's spool folder")


def read_frames(content: bytes, start: int = len(HEADER)) -> Frames:
    """Frames from `start` to the first that is not whole; what follows it is counted as ignored."""
    found: list[Frame] = []
    position, size = start, len(content)
    while position + _HEAD.size <= size:
        length, crc = _HEAD.unpack_from(content, position)
        end = position + _HEAD.size + length
        if end > size:
            break
        payload = content[position + _HEAD.size : end]
        if not length or zlib.crc32(payload) != crc:  # zeros, as a loss of power may leave, have the CRC of nothing
            break
        found.append(Frame(position, payload))
        position = end
    return Frames(found, position, max(0, size - position))


def read_frame_at(file: BinaryIO, offset: int) -> bytes:
    """The payload of the frame that begins at `offset`. Raises StorageError when it is not whole."""
    file.seek(offset)
    head = file.read(_HEAD.size)
    length, crc = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, -1)
    payload = file.read(length)
    if zlib.crc32(payload) != crc:
        raise StorageError("a frame of the prediction log was altered", "check the disk that holds the log")
    return payload
