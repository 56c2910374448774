"""Near duplicates: what is found, what is not taken for one, and that the work is bounded."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from tidemill.dataset.checks.near import candidates, confirmed, grey, looks, small

from .conftest import jpeg, scene

Picture = NDArray[np.uint8]


def _opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def _pairs(pictures: list[Picture]) -> list[tuple[int, int]]:
    contents = [jpeg(picture) for picture in pictures]
    found = candidates(looks([grey(_opened(content)) for content in contents]))
    pairs, _ = confirmed(found, lambda places: [small(_opened(contents[at])) for at in places])
    return [(a, b) for a, b in pairs.tolist()]


def _again(picture: Picture) -> Picture:
    return np.asarray(_opened(jpeg(picture, 40)))


def _half(picture: Picture) -> Picture:
    return np.asarray(Image.fromarray(picture).resize((40, 40)))


def _cut(picture: Picture) -> Picture:
    return picture[2:-1, 1:-2]


def _brighter(picture: Picture) -> Picture:
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(picture)).enhance(1.2))


@pytest.mark.parametrize(("change", "least"), [(_again, 59), (_half, 59), (_brighter, 57), (_cut, 36)])
def test_the_same_picture_in_another_form_is_found(change: Callable[[Picture], Picture], least: int) -> None:
    pictures = [scene(seed) for seed in range(60)]
    found = _pairs([*pictures, *(change(picture) for picture in pictures)])
    assert {(at, at + 60) for at in range(60)} >= set(found)  # nothing else is taken for one
    assert len(found) >= least


def test_different_pictures_are_not_taken_for_the_same() -> None:
    assert _pairs([scene(seed) for seed in range(400)]) == []


def test_a_mirrored_picture_is_another() -> None:
    assert _pairs([scene(1), np.ascontiguousarray(scene(1)[:, ::-1])]) == []


def test_small_pictures_hold_too_little_to_tell() -> None:
    seen = grey(Image.fromarray(scene(1, side=28)))
    assert seen == b""
    assert len(candidates(looks([seen, seen]))) == 0


def test_of_many_equal_looks_each_is_paired_with_the_first() -> None:
    assert len(candidates(looks([grey(Image.fromarray(scene(3)))] * 3_000))) == 2_999


def test_pictures_that_are_gone_by_then_are_no_pair() -> None:
    pairs, alike = confirmed(np.array([[0, 1]]), lambda places: [None for _ in places])
    assert not len(pairs) and not len(alike)


def test_alike_from_afar_is_not_the_same() -> None:
    """Sky over sea, with another ship: the colours agree, the edges do not."""
    sea = np.zeros((32, 32, 3), np.uint8) + np.linspace(220, 60, 32, dtype=np.uint8)[:, None, None]
    one, other = sea.copy(), sea.copy()
    one[12:22, 4:12] = (200, 30, 30)
    other[12:22, 18:26] = (30, 30, 200)
    pictures = [one, other, scene(1, side=32), scene(2, side=32)]
    pairs, _ = confirmed(np.array([[0, 1], [2, 3]]), lambda places: [pictures[at] for at in places])
    assert not len(pairs)
    pairs, alike = confirmed(np.array([[2, 3], [0, 0]]), lambda places: [pictures[at] for at in places])
    assert pairs.tolist() == [[0, 0]] and alike[0] == pytest.approx(1)


def test_grey_and_palette_pictures_have_looks() -> None:
    image = Image.fromarray(scene(5))
    found = looks([grey(each) for each in (image, image.convert("L"), image.convert("P"))])
    assert found.shape == (3, 22) and found.any(axis=1).all()
    assert (found[0] == found[1]).all()
