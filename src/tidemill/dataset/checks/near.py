"""Near duplicates among pictures: the same picture re-encoded, resized, cut a little, or with other colours.

Three steps, each cheap for what the one before leaves over. A picture's *look* is 22 bytes: the signs of its 64 lowest
DCT frequencies (a perceptual hash after Zauner, 2010) and of 112 brightness differences between neighbours (a
difference hash). Two looks are compared only when two of the eight bytes of the first part are equal: 28 sorted lists
instead of all pairs (multi-index hashing after Norouzi et al., 2012). What is left is decoded again and compared pixel
by pixel, after taking the mean colour away: correlation of 32 x 32 pixels and of the gradients of 16 x 16.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    Pictures = Callable[[Sequence[int]], Sequence[NDArray[np.uint8] | None]]
    """Gives the pictures at some places, which ascend, as `small` does; None for what cannot be read any more."""

SIDE = 32
"""Pictures are compared at this size; smaller ones hold too little to tell alike from the same."""
LOOK = 22
ALIKE, ALIKE_EDGES = 0.93, 0.85
"""Least correlation of colours and of gradients: chosen by eye on CIFAR-10, where all sampled pairs above are true."""
_FAR, _FAR_EDGES = 14, 24  # most bits that candidates may differ in
_NEIGHBOURS = 64  # in each sorted list; bounds the work where thousands of pictures look the same
_BLOCK = 16_384  # pairs whose pictures are in memory at once
_AT_ONCE = 128  # … that are compared at once, in the processor's own memory


def grey(image: Image.Image) -> bytes:
    """What the look of an opened picture is made of: its brightness, uint8 [32, 32]; empty when it is too small.

    Decodes it, a large JPEG at a part of its size.
    """
    from PIL import Image

    if min(image.size) < SIDE:
        return b""
    image.draft("L", (2 * SIDE, 2 * SIDE))
    found = image if image.mode == "L" else image.convert("L")
    if found.size != (SIDE, SIDE):
        found = found.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return found.tobytes()


def looks(greys: Sequence[bytes]) -> NDArray[np.uint8]:
    """How pictures look, uint8 [N, 22], from what `grey` says of each: zeros for those that are too small."""
    found = np.zeros((len(greys), LOOK), np.uint8)
    places = [at for at, each in enumerate(greys) if each]
    for start in range(0, len(places), _AT_ONCE):
        some = places[start : start + _AT_ONCE]
        pixels = np.frombuffer(b"".join(greys[at] for at in some), np.uint8).reshape(-1, SIDE, SIDE).astype(np.float32)
        products = _BASIS @ (pixels @ _BASIS.T)
        found[some] = np.packbits(products.reshape(len(some), -1)[:, _PLACES] > 0, axis=1)
    return found


def small(image: Image.Image) -> NDArray[np.uint8]:
    """An opened picture as uint8 [32, 32, 3]."""
    from PIL import Image

    image.draft("RGB", (2 * SIDE, 2 * SIDE))
    return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def candidates(found: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pairs of places [P, 2], first below second, whose looks, uint8 [N, 22], are near; zeros are near to none.

    Of many equal looks each is paired with the first alone.
    """
    places = np.flatnonzero(found.any(axis=1))
    if len(places) < 2:
        return np.empty((0, 2), np.int64)
    codes = found[places]
    _, own, twins = np.unique(codes.view(f"S{LOOK}")[:, 0], return_index=True, return_inverse=True)
    again = np.flatnonzero(own[twins] != np.arange(len(codes)))
    equal = np.sort(np.stack([own[twins[again]], again], axis=1), axis=1)
    near = own[_alike(codes[own])]
    return np.asarray(places[np.unique(np.concatenate([equal, np.sort(near, axis=1)]), axis=0)])


def _alike(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pairs of places [P, 2] of different looks, uint8 [N, 22], that are near."""
    signs = np.ascontiguousarray(codes[:, :8])
    whole = signs.view(np.uint64)[:, 0]
    edges = np.ascontiguousarray(np.pad(codes[:, 8:], ((0, 0), (0, 2)))).view(np.uint64)
    sorted_once = np.argsort(whole, kind="stable")
    parts = []
    for one, other in itertools.combinations(range(8), 2):
        key = signs[:, one].astype(np.uint16) << 8 | signs[:, other]
        order = sorted_once[np.argsort(key[sorted_once], kind="stable")]  # of 16 bits, in linear time
        ordered = key[order]
        for step in range(1, _NEIGHBOURS):
            at = np.flatnonzero(ordered[step:] == ordered[:-step])
            if not len(at):
                break
            a, b = order[at], order[at + step]
            near = np.bitwise_count(whole[a] ^ whole[b]) <= _FAR
            a, b = a[near], b[near]
            near = np.bitwise_count(edges[a] ^ edges[b]).sum(axis=1) <= _FAR_EDGES
            parts.append(np.stack([np.minimum(a, b)[near], np.maximum(a, b)[near]], axis=1))
    return np.unique(np.concatenate(parts), axis=0) if parts else np.empty((0, 2), np.int64)


def confirmed(pairs: NDArray[np.int64], pictures: Pictures) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The pairs that are the same picture, [P, 2], and how alike, float64 [P] up to 1, the most alike first."""
    return most_alike(pairs, likeness(pairs, pictures))


def most_alike(pairs: NDArray[np.int64], alike: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The pairs whose likeness is above 0, and it, the most alike first."""
    order = np.argsort(-alike, kind="stable")
    order = order[alike[order] > 0]
    return pairs[order], alike[order]


def likeness(pairs: NDArray[np.int64], pictures: Pictures) -> NDArray[np.float64]:
    """The correlation of the colours of each of `pairs` [P, 2]; 0 where it or that of the gradients is too low, NaN
    where one cannot be read any more. A pair has the same likeness in both orders."""
    parts = [_likeness(pairs[start : start + _BLOCK], pictures) for start in range(0, len(pairs), _BLOCK)]
    return np.concatenate(parts) if parts else np.empty(0)


def _likeness(pairs: NDArray[np.int64], pictures: Pictures) -> NDArray[np.float64]:
    places, inverse = np.unique(pairs, return_inverse=True)
    blank = np.zeros((SIDE, SIDE, 3), np.uint8)
    found = pictures(places.tolist())
    pixels = np.stack([blank if each is None else each for each in found])
    gone = np.array([each is None for each in found])
    inverse = inverse.reshape(pairs.shape)
    alike = np.empty(len(pairs))
    for part in np.array_split(np.arange(len(pairs)), max(1, len(pairs) // _AT_ONCE)):
        a, b = (pixels[inverse[part, side]].astype(np.float32) for side in (0, 1))
        colours, edges = _correlation(_centred(a), _centred(b)), _correlation(_gradients(a), _gradients(b))
        alike[part] = np.where((colours >= ALIKE) & (edges >= ALIKE_EDGES), colours, 0.0)
    alike[gone[inverse].any(axis=1)] = np.nan
    return alike


def _centred(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((pixels - pixels.mean((1, 2), keepdims=True)).reshape(len(pixels), -1))


def _gradients(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    half = pixels.reshape(len(pixels), SIDE // 2, 2, SIDE // 2, 2, 3).mean((2, 4))
    across, down = np.diff(half, axis=2), np.diff(half, axis=1)
    return np.concatenate([across.reshape(len(half), -1), down.reshape(len(half), -1)], axis=1)


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / np.maximum(norms, 1.0), np.float64)


def _lowest(count: int) -> list[tuple[int, int]]:
    """The places of the lowest frequencies but the mean, ordered so that each byte of signs mixes low and high ones."""
    every = [(k * k + m * m, k, m) for k in range(16) for m in range(16) if k + m]
    low = [(k, m) for _, k, m in sorted(every)[:count]]
    return [low[8 * (at % 8) + at // 8] for at in range(count)]


def _basis() -> NDArray[np.float32]:
    """Rows for both sides of a picture: 16 cosines, 8 means of four neighbours, 7 differences of such means."""
    cosines = np.cos(np.pi * np.arange(16)[:, None] * (2 * np.arange(SIDE) + 1) / (2 * SIDE))
    means = np.repeat(np.eye(8), SIDE // 8, axis=1)
    return np.concatenate([cosines, means, np.diff(means, axis=0)]).astype(np.float32)


_BASIS = _basis()
_PLACES = np.array(
    [31 * row + column for row, column in _lowest(64)]
    + [31 * (16 + row) + 24 + column for row in range(8) for column in range(7)]
    + [31 * (24 + row) + 16 + column for row in range(7) for column in range(8)]
)
"""Where in the product of picture and basis the 176 numbers lie whose signs are the look."""
