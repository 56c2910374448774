"""The contract of batch sources, on rows that lie in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from tidemill.backends.families.networks.ahead import ahead
from tidemill.backends.families.networks.augment import augmentation
from tidemill.backends.families.networks.batches import Batches, Rows, mixed
from tidemill.config.schema import DataConfig


def source(lengths: bool = False) -> Batches:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (50, 8, 8, 1), generator=generator, dtype=torch.uint8)
    rows = Rows((image,), torch.arange(50))
    if lengths:
        words = torch.arange(50).view(-1, 1).expand(50, 9).contiguous()
        return Batches(Rows((words,), torch.arange(50)), 8, shuffle=True, seed=3, lengths=torch.arange(50) % 9 + 1)
    return Batches(rows, 8, shuffle=True, seed=3, augment=augmentation(DataConfig("any", augment="flip+shift")))


@pytest.mark.parametrize("lengths", [False, True])
def test_an_epoch_begun_at_any_step_is_the_rest_of_that_epoch(lengths: bool) -> None:
    whole = source(lengths)
    epochs = [list(whole) for _ in range(3)]
    for epoch, step in ((0, 0), (2, 3), (1, 6), (0, 5)):
        again = source(lengths)
        again.set_epoch(epoch)
        again.start_at(step)
        rest = list(again)
        assert len(rest) == len(again) - step
        for (inputs, targets), (inputs2, targets2) in zip(epochs[epoch][step:], rest, strict=True):
            assert torch.equal(targets, targets2)
            assert torch.equal(inputs[0], inputs2[0])
        assert len(list(again)) == len(again)  # the start counts once
    assert not torch.equal(epochs[0][0][1], epochs[1][0][1])


def test_batches_abandoned_halfway_change_nothing_after() -> None:
    one, other = source(), source()
    next(iter(one))
    next(iter(one))
    one.set_epoch(1)
    list(other)
    for (inputs, _), (inputs2, _) in zip(one, other, strict=True):
        assert torch.equal(inputs[0], inputs2[0])


def test_every_batch_draws_anew() -> None:
    """Of one picture 64 times over: no two batches of two epochs are augmented alike."""
    image = torch.arange(64, dtype=torch.uint8).view(1, 8, 8, 1).expand(64, -1, -1, -1).contiguous()
    augment = augmentation(DataConfig("any", augment="flip+shift"))
    batches = Batches(Rows((image,), torch.zeros(64, dtype=torch.int64)), 16, shuffle=True, augment=augment)
    seen = [inputs[0] for _ in range(2) for inputs, _ in batches]
    assert len(seen) == 8
    assert not any(torch.equal(one, other) for number, one in enumerate(seen) for other in seen[:number])


def test_mixed_seeds_do_not_meet() -> None:
    seeds = {mixed(seed, epoch, step) for seed in range(20) for epoch in range(20) for step in range(20)}
    assert len(seeds) == 20**3
    assert all(0 <= seed < 1 << 64 for seed in seeds)
    assert mixed(1, 2) != mixed(2, 1)


def test_working_ahead_keeps_order_and_raises_at_its_place() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise ValueError("the sixth")

    got: list[int] = []
    with pytest.raises(ValueError, match="the sixth"):
        got.extend(ahead(items()))
    assert got == [0, 1, 2, 3, 4]
    partly = ahead(items())
    assert [next(partly) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="the sixth"):
        next(partly)


def test_a_consumer_that_leaves_ends_the_thread() -> None:
    def forever() -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1

    before = threading.active_count()
    batches = ahead(forever())
    assert next(batches) == 0
    batches.close()  # type: ignore[attr-defined]  # a generator
    assert threading.active_count() == before
