"""The parts of the training loop: schedules, loss, averaging, freezing, precision, and the chain of weights."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from tidemill.backends.families._chain import Chain
from tidemill.backends.families.image import ImageFamily
from tidemill.backends.families.networks.averaging import Average
from tidemill.backends.families.networks.checkpoints import Checkpoints, State
from tidemill.backends.families.networks.freezing import Freezing
from tidemill.backends.families.networks.graphs import PictureGraph
from tidemill.backends.families.networks.meter import Meter, class_weights, loss_of
from tidemill.backends.families.networks.schedules import Course, Schedule, rate
from tidemill.backends.families.text import TextFamily
from tidemill.config.schema import LossConfig, SchedulerConfig
from tidemill.config.schema.trainer import ResumeConfig
from tidemill.dataset.read import PackedDataset
from tidemill.domain.chain import GENESIS, Link, next_link
from tidemill.domain.digest import Digest
from tidemill.errors import ConfigError, DataError, StateError
from tidemill.stages.chain import first_difference, read_chain

from .samples import Heard, settings
from .test_resume import trained

TINY = ("model.params.channels=4", "trainer.max_epochs=2", "trainer.batch_size=200", "trainer.resume.every_steps=2")


def rates(total: int, **chosen: object) -> list[float]:
    return [rate(SchedulerConfig(**chosen), step, total, 10) for step in range(total)]  # type: ignore[arg-type]  # as given


def test_one_cycle_is_torchs() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=100, pct_start=0.1, cycle_momentum=False
    )
    expected = []
    for _ in range(100):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step() if len(expected) < 100 else None
    assert rates(100, name="one_cycle") == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["none", "cosine", "linear", "exponential", "step", "plateau"])
def test_every_schedule_can_warm_up(name: str) -> None:
    found = rates(100, name=name, warmup_steps=9)
    assert found[:9] == pytest.approx([step / 10 for step in range(1, 10)])
    assert found[9] == pytest.approx(1.0)
    assert all(later <= earlier for earlier, later in pairwise(found[9:]))
    assert rates(100, name="step", factor=0.5, step_epochs=2)[::20] == [1.0, 0.5, 0.25, 0.125, 0.0625]


def test_cosine_begins_anew() -> None:
    found = rates(100, name="cosine", warmup=0.0, restarts=1)
    assert found[0] == found[50] == 1.0
    assert found[49] < 0.01
    assert rates(101, name="linear", warmup=0.0, lowest=0.2)[100] == pytest.approx(0.2, abs=0.01)


def test_after_the_frozen_steps_the_schedule_begins_anew_at_a_lower_rate() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = Schedule(optimizer, SchedulerConfig("cosine", warmup=0.0), Course(30, 10, frozen=10, factor=0.1))
    seen = []
    for _ in range(30):
        seen.append(optimizer.param_groups[0]["lr"])
        schedule.step()
    assert (seen[0], seen[10]) == (2.0, pytest.approx(0.2))
    assert max(seen[10:]) == seen[10]


def test_plateau_lowers_the_rate_after_its_patience() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = Schedule(optimizer, SchedulerConfig("plateau", factor=0.5, patience=1), Course(100, 10))
    for loss in (1.0, 0.9, 0.95, 0.96):
        schedule.close_epoch(loss)
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_balanced_classes_count_alike_whatever_their_rows() -> None:
    logits, targets = torch.randn(5, 4), torch.tensor([0, 0, 0, 1, -100])
    settings = LossConfig(class_weights="balanced")
    weights = class_weights(targets, settings)
    assert weights is not None and weights.tolist() == pytest.approx([2 / 3, 2])
    rows = nn.functional.cross_entropy(logits[:4], targets[:4], reduction="none")
    expected = (rows[:3].mean() + rows[3]) / 2
    assert torch.allclose(loss_of(logits, targets, settings, weights=weights), expected)
    assert class_weights(targets, LossConfig()) is None


def test_rows_that_do_not_count_do_not() -> None:
    logits, targets = torch.randn(6, 3), torch.tensor([0, 1, 2, 1, -100, 1])
    chosen = LossConfig(label_smoothing=0.1, ignore_index=1)
    counted = torch.tensor([0, 2])
    expected = nn.functional.cross_entropy(logits[counted], targets[counted], label_smoothing=0.1)
    assert torch.allclose(loss_of(logits, targets, chosen), expected)
    meter = Meter(chosen)
    meter.count(loss_of(logits, targets, chosen), logits, targets)
    assert meter.sums[2] == 2
    assert loss_of(logits, torch.full((6,), 1), chosen) == 0
    assert Meter(chosen).close("train") == {}


def test_the_average_follows_the_weights_and_gives_them_back() -> None:
    layer = nn.Linear(2, 2)
    average = Average(layer, 0.5)
    before = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.add_(1)
    average.update(100)
    with average.in_place():
        assert torch.allclose(layer.weight, before + 0.5)
    assert torch.allclose(layer.weight, before + 1)


def test_only_the_head_learns_while_the_rest_is_frozen() -> None:
    network = nn.Module()
    network.body, network.norm, network.head = nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2)
    graph = PictureGraph(network, [0.0], [1.0])
    freezing = Freezing(graph, 1)
    for epoch, learns in ((0, False), (1, True)):
        graph.train()
        freezing.enter(epoch)
        assert (network.body.weight.requires_grad, network.norm.training) == (learns, learns)
        assert network.head.weight.requires_grad
    with pytest.raises(ConfigError, match="no part called head"):
        Freezing(PictureGraph(nn.Linear(2, 2), [0.0], [1.0]), 1)


def test_half_precision_needs_a_gpu_and_bf16_does_not(digits: PackedDataset, heard: Heard, tmp_path: Path) -> None:
    ImageFamily().fit(
        settings("image", *TINY, "trainer.precision=bf16", "trainer.channels_last=true"), digits, heard, tmp_path
    )
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="precision=16 needs a GPU"):
            ImageFamily().fit(settings("image", *TINY, "trainer.precision=16"), digits, heard, tmp_path / "other")


@pytest.mark.parametrize(
    "overrides",
    [
        ("optimizer.name=sgd", "optimizer.nesterov=true", "optimizer.scheduler.name=plateau"),
        ("optimizer.name=nadam", "optimizer.scheduler.name=exponential"),
        ("optimizer.name=radam", "optimizer.scheduler.name=linear"),
        ("optimizer.name=adamax", "optimizer.scheduler.name=step"),
        ("optimizer.name=rmsprop", "optimizer.scheduler.name=cosine", "optimizer.scheduler.restarts=1"),
        ("optimizer.name=adagrad", "trainer.precision=bf16"),
    ],
    ids=lambda overrides: overrides[0],
)
def test_every_optimizer_goes_on_where_it_was(
    overrides: tuple[str, ...], digits: PackedDataset, tmp_path: Path
) -> None:
    config = settings("image", *TINY, *overrides)
    whole, cut = (trained(ImageFamily(), config, digits, tmp_path / str(len(cuts)), *cuts) for cuts in ((), (9,)))
    assert whole == cut


def test_an_encoder_goes_on_where_it_was(sentences: PackedDataset, tmp_path: Path) -> None:
    config = settings(
        "text", "model.params.hidden=16", "model.params.layers=1", "model.params.heads=2", "trainer.max_epochs=2",
        "trainer.resume.every_steps=2", "model.params.vocabulary=400",
    )  # fmt: skip
    whole, cut = (trained(TextFamily(), config, sentences, tmp_path / str(len(cuts)), *cuts) for cuts in ((), (5,)))
    assert whole == cut


def test_a_table_of_layers_is_kept(digits: PackedDataset, heard: Heard, tmp_path: Path) -> None:
    model = ImageFamily().fit(settings("image", *TINY), digits, heard, tmp_path)
    text = (tmp_path / "summary.txt").read_text()
    assert f"{model.params:,} parameters" in text
    assert "head" in text


def test_a_checkpoint_that_is_no_checkpoint_is_said_to_be_none(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, ResumeConfig())
    checkpoints.write(3, State({"a": torch.ones(2)}, {"step": 3}), {"w": torch.zeros(1)}, 1)
    read = checkpoints.read()
    assert read is not None
    assert (read[0].plain, read[1]) == ({"step": 3}, {"w": torch.zeros(1)})
    (tmp_path / "resume.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(StateError, match="cannot be read"):
        checkpoints.read()


def test_the_chain_names_the_first_step_that_differs(tmp_path: Path) -> None:
    chains = []
    for number, third in enumerate((b"c", b"x")):
        folder = tmp_path / str(number)
        folder.mkdir()
        chain = Chain(folder)
        for step, weights in enumerate((b"a", b"b", third, b"d"), 1):
            chain.add(step, (weights,))
        chains.append(read_chain(folder / "weights.jsonl"))
    one, other = chains
    assert first_difference(one, other) == one[2]
    assert first_difference(one, one) is None
    assert first_difference(one[:2], one) == one[2]
    assert one[0] == Link(1, Digest.of_bytes(bytes.fromhex(GENESIS.hex) + b"a"))
    assert next_link(one[0], 2, (b"b",)) == one[1]
    with (tmp_path / "0" / "weights.jsonl").open("a") as file:
        file.write('{"step": 5, "dig')
    assert read_chain(tmp_path / "0" / "weights.jsonl") == one
    (tmp_path / "0" / "weights.jsonl").write_text("nonsense\n")
    with pytest.raises(DataError, match="line 1"):
        read_chain(tmp_path / "0" / "weights.jsonl")
