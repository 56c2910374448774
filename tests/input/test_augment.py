"""Augmentation of whole batches: what each does to known pixels, and that it depends on seed, epoch and step alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tidemill.backends.families.networks.augment import alternating, augmentation
from tidemill.backends.families.networks.batches import Draw
from tidemill.config.schema import DataConfig
from tidemill.config.schema.data import AUGMENTATIONS
from tidemill.errors import ConfigError

N, H, W = 64, 16, 12


def pictures() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (N, H, W, 3), generator=generator, dtype=torch.uint8)


def augmented(image: Tensor, names: str, seed: int = 5, epoch: int = 0, **settings: float) -> Tensor:
    augment = augmentation(DataConfig("any", augment=names, **settings))  # type: ignore[arg-type]  # numbers all
    assert augment is not None
    draw = Draw(torch.Generator().manual_seed(seed), torch.arange(len(image)), epoch, 3)
    (changed,) = augment((image,), draw)
    return changed


@pytest.mark.parametrize("names", [*AUGMENTATIONS, "flip+shift", "alternate_flip+shift+crop+cutout+jitter"])
def test_shape_and_type_stay_and_the_seed_decides(names: str) -> None:
    image = pictures()
    before = image.clone()
    once, again, other = augmented(image, names), augmented(image, names), augmented(image, names, seed=6, epoch=1)
    assert (once.shape, once.dtype) == (image.shape, torch.uint8)
    assert once.is_contiguous()
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert torch.equal(image, before)  # the rows in memory are not written to


def test_flip_mirrors_some_and_leaves_the_others() -> None:
    image = pictures()
    changed = augmented(image, "flip")
    mirrored = (changed == image.flip(2)).all(3).all(2).all(1)
    same = (changed == image).all(3).all(2).all(1)
    assert bool((mirrored ^ same).all())
    assert 0.25 < float(mirrored.float().mean()) < 0.75


def test_shift_moves_each_picture_as_a_whole_and_repeats_its_border() -> None:
    image = pictures()
    changed = augmented(image, "shift", augment_pixels=2)
    wide = torch.cat([image[:, :1]] * 2 + [image] + [image[:, -1:]] * 2, 1)
    wide = torch.cat([wide[:, :, :1]] * 2 + [wide] + [wide[:, :, -1:]] * 2, 2)
    seen = set()
    for moved, padded in zip(changed, wide, strict=True):
        places = [(y, x) for y in range(5) for x in range(5) if torch.equal(moved, padded[y : y + H, x : x + W])]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) > 15


def test_alternating_flips_show_both_forms_in_two_epochs() -> None:
    rows = torch.arange(10_000)
    epochs = [alternating(Draw(torch.Generator(), rows, epoch, 7)) for epoch in range(3)]
    assert torch.equal(epochs[0], ~epochs[1])
    assert torch.equal(epochs[0], epochs[2])
    assert 0.45 < float(epochs[0].float().mean()) < 0.55
    assert not torch.equal(epochs[0], alternating(Draw(torch.Generator(), rows, 0, 8)))
    some = torch.tensor([17, 4, 9_999])
    assert torch.equal(alternating(Draw(torch.Generator(), some, 0, 7)), epochs[0][some])


def test_cutout_greys_one_square() -> None:
    image = torch.zeros(N, H, W, 3, dtype=torch.uint8)
    grey = (augmented(image, "cutout", augment_cutout=0.25) == 128).all(3)
    assert grey.sum((1, 2)).tolist() == [4 * 3] * N
    assert len({tuple(each.nonzero()[0].tolist()) for each in grey}) > 10


def test_a_crop_of_everything_is_the_picture_and_a_smaller_one_is_a_part() -> None:
    ramp = torch.arange(H, dtype=torch.uint8).mul(10).view(1, H, 1, 1).expand(N, H, W, 3).contiguous()
    cut = augmented(ramp, "crop", augment_crop=0.3)
    rise = (cut[:, -1, 0, 0].int() - cut[:, 0, 0, 0].int()).float()
    assert bool((rise <= 10 * H).all())
    assert float(rise.min()) < 0.75 * 10 * (H - 1)
    assert bool((cut[:, 1:].int() >= cut[:, :-1].int()).all())  # no fold, no wrap


def test_jitter_keeps_within_its_strength() -> None:
    image = torch.full((N, H, W, 1), 100, dtype=torch.uint8)
    means = augmented(image, "jitter", augment_jitter=0.2).float().mean((1, 2, 3))
    assert float(means.min()) >= 80
    assert float(means.max()) <= 120
    assert float(means.std()) > 5


def test_none_is_nothing_and_an_unknown_name_lists_the_nearest() -> None:
    assert augmentation(DataConfig("any")) is None
    with pytest.raises(ConfigError, match="no augmentation 'flop'") as raised:
        DataConfig("any", augment="shift+flop")
    assert "flip" in raised.value.remedy
