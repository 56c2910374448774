"""What the chain of weight digests costs: seconds of hashing against seconds of training, for small and large networks.

.venv/bin/python benchmarks/chain.py [--quick] [--json FILE]

Trains on random pictures held in memory, once with a digest each `trainer.digest_every` steps (the default) and at each
epoch's end, once with a single digest, in turn; prints the share of hashing within the first, as the training itself
clocked it, and the ratio of the two wall times. The bar: hashing takes less than 0.5 %.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidemill.process import limit_threads, wait_without_spinning

wait_without_spinning()  # before torch is imported
limit_threads()

BAR = 0.005
# name, settings, pictures, pixels
CASES = (
    ("small_cnn, 8 pixels", ("model=small_cnn",), 1280, 8),
    ("small_cnn, 32 pixels", ("model=small_cnn", "model.params.channels=16"), 1280, 32),
    ("resnet18, 32 pixels", ("model=resnet18", "model.params.channels=16"), 1280, 32),
    ("resnet18 (64), 32 pixels", ("model=resnet18",), 1280, 32),
)


class Nobody:
    def metrics(self, values: Mapping[str, float], step: int) -> None:
        pass

    def progress(self, done: int, total: int, note: str) -> None:
        pass


def once(settings: tuple[str, ...], pictures: int, pixels: int, *, every: int, epochs: int) -> tuple[float, float]:
    """Seconds of training, and of hashing within them."""
    import torch

    from tidemill.backends.families.models.pictures import picture_network
    from tidemill.backends.families.networks.batches import Batches, Rows
    from tidemill.backends.families.networks.fit import Splits, seeded
    from tidemill.backends.families.networks.graphs import PictureGraph
    from tidemill.backends.families.networks.modes import deterministic, fabric_for, quiet
    from tidemill.backends.families.networks.training import Training
    from tidemill.config.compose import compose

    config = compose(
        None, (*settings, f"trainer.digest_every={every}", f"trainer.max_epochs={epochs}", "callbacks=none"),
        name="chain", task="image",
    )  # fmt: skip
    seeded(config)
    shape = {"channels": 3, "height": pixels, "width": pixels}
    architecture: dict[str, Any] = {"kind": config.model.kind, "params": config.model.params, "shape": shape}
    graph = PictureGraph(picture_network(architecture, 10, Path()), [0.5] * 3, [0.25] * 3)
    rows = Rows(
        (torch.randint(0, 256, (pictures, pixels, pixels, 3), dtype=torch.uint8),), torch.randint(0, 10, (pictures,))
    )
    batches = Batches(rows, config.trainer.batch_size, shuffle=True, seed=1)
    with tempfile.TemporaryDirectory() as folder, quiet(), deterministic(True):
        training = Training(graph, config, Splits(batches, None), fabric_for(config.trainer), Nobody(), Path(folder))
        began = time.perf_counter()
        training.run()
        return time.perf_counter() - began, training.hashing_seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", type=Path, help="not needed: the pictures are random")
    chosen = parser.parse_args()
    cases, rounds, epochs = (CASES[:2], 3, 1) if chosen.quick else (CASES, 3, 1)
    import torch

    print(f"torch {torch.__version__}, Python {platform.python_version()}, {limit_threads()} threads")
    print(f"{'network':<25} {'step ms':>8} {'hashing':>9} {'with/without':>13}   bar {BAR:.1%}")
    found = []
    for name, settings, pictures, pixels in cases:
        linked, plain = [], []
        for _ in range(rounds):
            linked.append(once(settings, pictures, pixels, every=200, epochs=epochs))
            plain.append(once(settings, pictures, pixels, every=1_000_000, epochs=epochs))
        share = statistics.median(hashing / wall for wall, hashing in linked)
        ratio = statistics.median(one[0] / other[0] for one, other in zip(linked, plain, strict=True))
        step = 1000 * statistics.median(wall for wall, _ in linked) / (epochs * -(-pictures // 64))
        print(f"{name:<25} {step:>8.1f} {share:>9.3%} {ratio:>13.3f}   {'holds' if share < BAR else 'MISSED'}")
        found.append({"case": name, "step_ms": step, "share": share, "ratio": ratio, "bar": BAR})
    if chosen.json:
        chosen.json.write_text(json.dumps({"torch": torch.__version__, "cases": found}, indent=2))


if __name__ == "__main__":
    main()
