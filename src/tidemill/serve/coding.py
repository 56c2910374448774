"""Bodies that come compressed are unpacked as they are read, and never to more than a body may have."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from tidemill.serve.failure import refusal

_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # as zlib says it; deflate is zlib's format (RFC 9110, 8.4.1.2)

PORTION = 1 << 20  # bytes: unpacking so many takes some milliseconds


class Unpacker:
    """One body in gzip, of one member, or in deflate."""

    def __init__(self, window: int) -> None:
        self._stream = zlib.decompressobj(window)

    def feed(self, piece: bytes, most: int = PORTION) -> Iterator[bytes]:
        """What the next `piece` of the body holds, `most` bytes of it at a time, each unpacked when it is asked for.

        Raises InputError, 400.
        """
        full = False
        while piece or (full and not self._stream.eof):
            if self._stream.eof:
                raise _damaged()
            try:
                unpacked = self._stream.decompress(piece, most)
            except zlib.error:
                raise _damaged() from None
            if self._stream.unused_data:
                raise _damaged()
            piece, full = self._stream.unconsumed_tail, len(unpacked) == most  # more may lie in the stream itself
            if unpacked:
                yield unpacked

    def finish(self) -> None:
        """The body is whole. Raises InputError, 400, where it ends within what it holds."""
        if not self._stream.eof:
            raise _damaged()


def unpacker(coding: str) -> Unpacker | None:
    """What unpacks a body of this Content-Encoding; None for one that comes as it is. Raises InputError, 415."""
    name = coding.strip().lower()
    if name in ("", "identity"):
        return None
    if name not in _WINDOW:
        raise refusal(
            415, f"a body in Content-Encoding {coding[:40]!r} is not taken", "send it in gzip or deflate, or as it is"
        )
    return Unpacker(_WINDOW[name])


def _damaged() -> Exception:
    return refusal(400, "the compressed body is damaged or cut off", "compress it once, as one stream, and send it all")
