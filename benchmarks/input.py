"""Training images/s: (a) random tensors in memory, (b) tidemill, (c) a folder with Pillow, transforms and a DataLoader.

.venv/bin/python benchmarks/input.py --data FOLDER [--quick] [--json FILE]

FOLDER holds cifar10/*.parquet (columns image, label) and food101_10class/*.parquet. CIFAR-10 is trained at 32 x 32,
Food-101 at 224 x 224, each with a small network and with one like ResNet-18, all by the same loop: only where batches
come from differs. (a) has its batch ready and augments nothing. (b) is the mapped cache of decoded pictures, mirrored
and moved in batch. (c) opens, decodes, resizes, mirrors and crops each picture in the workers of a DataLoader, one for
each core, as tutorials do. Rounds are interleaved, a b c a b c; figures are medians. (b) must reach 0.95 of (a). Making
the cache is timed apart; "streamed" is (b) without the cache, one worker for four cores. What lies ready when a round
begins is in favour of (c) and of streaming.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tidemill.process import limit_threads, usable_cores, wait_without_spinning

wait_without_spinning()
limit_threads()

# ruff: noqa: E402 - threads are limited before numeric libraries are imported
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from tidemill.backends.families.models.pictures import picture_network
from tidemill.backends.families.networks.augment import augmentation
from tidemill.backends.families.networks.batches import Batches, BatchSource, Rows
from tidemill.backends.families.networks.graphs import PictureGraph
from tidemill.backends.families.pictures.cache import decoded
from tidemill.backends.families.pictures.pool import Decoding
from tidemill.backends.families.pictures.stream import StreamedPictures
from tidemill.config.schema import DataConfig
from tidemill.dataset.read import PackedDataset
from tidemill.dataset.slices import slices
from tidemill.dataset.write import pack
from tidemill.domain.bundle import ImagePreprocessing
from tidemill.domain.dataset import Column

BAR = 0.95
COLUMNS = (Column("name", "string", "path"), Column("label", "string", "target"), Column("data", "binary", "image"))
AUGMENT = "flip+shift"


class Case(NamedTuple):
    name: str
    files: str
    side: int
    model: str
    params: Mapping[str, Any]
    batch: int
    steps: int  # clocked in each round
    rounds: int
    rows: int  # of the set that are used


def cases(quick: bool) -> list[Case]:
    small, resnet = ("small_cnn", {"channels": 16, "dropout": 0.1}), ("resnet18", {"channels": 64})
    thin = ("small_cnn", {"channels": 8, "dropout": 0.1})
    cifar, food = "cifar10/*train*.parquet", "food101_10class/*training*.parquet"
    if quick:
        return [
            Case("CIFAR-10, small CNN", cifar, 32, *small, 128, 6, 5, 12_500),
            Case("CIFAR-10, ResNet-18", cifar, 32, *resnet, 32, 2, 3, 12_500),
            Case("Food-101 at 224, small CNN", food, 224, *thin, 16, 3, 3, 1_000),
            Case("Food-101 at 224, ResNet-18", food, 224, *resnet, 8, 2, 3, 1_000),
        ]
    return [
        Case("CIFAR-10, small CNN", cifar, 32, *small, 128, 30, 7, 50_000),
        Case("CIFAR-10, ResNet-18", cifar, 32, *resnet, 64, 6, 5, 50_000),
        Case("Food-101 at 224, small CNN", food, 224, *thin, 32, 8, 7, 3_000),
        Case("Food-101 at 224, ResNet-18", food, 224, *resnet, 16, 4, 5, 3_000),
    ]


class Quiet:
    def metrics(self, values: Mapping[str, float], step: int) -> None: ...

    def progress(self, done: int, total: int, note: str) -> None: ...


class Folder(Dataset[tuple[Tensor, int]]):
    """A folder of class folders, a picture at a time: decode, resize, flip, padded crop, scale."""

    def __init__(self, root: Path, side: int) -> None:
        classes = sorted(each.name for each in root.iterdir())
        self._files = [
            (file, number) for number, name in enumerate(classes) for file in sorted((root / name).iterdir())
        ]
        self._side, self._pad = side, max(1, side // 8)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        file, label = self._files[index]
        with Image.open(file) as opened:
            picture = opened.convert("RGB")
        if picture.size != (self._side, self._side):
            picture = picture.resize((self._side, self._side), Image.Resampling.BILINEAR)
        if random.random() < 0.5:  # noqa: S311 - augmentation
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = np.pad(np.asarray(picture), ((self._pad,) * 2, (self._pad,) * 2, (0, 0)), mode="edge")
        top, left = (random.randrange(2 * self._pad + 1) for _ in range(2))  # noqa: S311 - augmentation
        cut = pixels[top : top + self._side, left : left + self._side]
        return torch.from_numpy(cut.transpose(2, 0, 1).copy()).float().div_(255), label


class Learner:
    """The steps that (a), (b) and (c) share: forward, backward, SGD. Bytes are normalised in the graph."""

    def __init__(self, case: Case) -> None:
        torch.manual_seed(0)
        shape = {"channels": 3, "height": case.side, "width": case.side}
        network = picture_network({"kind": case.model, "params": dict(case.params), "shape": shape}, 10, Path())
        self._graph = PictureGraph(network, [0.5] * 3, [0.25] * 3)
        self._optimizer = torch.optim.SGD(self._graph.parameters(), 0.01, momentum=0.9)

    def step(self, pixels: Tensor, targets: Tensor) -> None:
        if pixels.dtype == torch.uint8:
            logits, _ = self._graph.logits(pixels)
        else:  # what a DataLoader's transforms give: floats, channels first
            logits, _ = self._graph.network((pixels - self._graph.mean) / self._graph.std)
        loss = nn.functional.cross_entropy(logits, targets)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        self._optimizer.step()
        self._optimizer.zero_grad()


Batch = tuple[Tensor, Tensor]


def forever(source: BatchSource) -> Iterator[Batch]:
    while True:
        for (pixels,), targets in source:
            yield pixels, targets


def loaded(loader: DataLoader[Any]) -> Iterator[Batch]:
    while True:
        yield from loader


def ready(case: Case) -> Iterator[Batch]:
    pixels = torch.randint(0, 256, (case.batch, case.side, case.side, 3), dtype=torch.uint8)
    targets = torch.randint(0, 10, (case.batch,))
    while True:
        yield pixels, targets


def clock(case: Case, learner: Learner, batches: Iterator[Batch]) -> float:
    """Images per second over the steps of a round."""
    learner.step(*next(batches))
    began = time.perf_counter()
    for _ in range(case.steps):
        learner.step(*next(batches))
    return case.steps * case.batch / (time.perf_counter() - began)


def rows_of(case: Case, data: Path) -> pa.Table | None:
    files = sorted(data.glob(case.files))
    if not files:
        return None
    table = pa.concat_tables([pq.read_table(file, columns=["image", "label"]) for file in files])
    return table.slice(0, case.rows)


def packed(table: pa.Table, root: Path) -> PackedDataset:
    """The pictures as `data add` packs them."""
    root.mkdir(parents=True)
    names = pa.array([f"{number:06}.jpg" for number in range(len(table))])
    columns = {"name": names, "label": table["label"].cast("string"), "data": table["image"].cast("binary")}
    batches = pa.table(columns).combine_chunks().to_batches(max_chunksize=8192)
    rows = (("train", batch) for batch in batches)
    version = pack(root, rows, name="bench", version="1.0.0", task="image", kind="classification", columns=COLUMNS)
    return PackedDataset(version, root)


def unpacked(table: pa.Table, root: Path) -> Path:
    """The same pictures as a folder of class folders."""
    for number, row in enumerate(table.to_pylist()):
        folder = root / str(row["label"])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:06}.jpg").write_bytes(row["image"])
    return root


def measure(case: Case, table: pa.Table, scratch: Path) -> dict[str, float]:
    data, folder = packed(table, scratch / "packed"), unpacked(table, scratch / "folder")
    decoding = Decoding("data", ImagePreprocessing("RGB", case.side, case.side), usable_cores())
    began = time.perf_counter()
    cache = decoded(data, "train", decoding, scratch / "cache", limit=-1, report=Quiet())
    made = time.perf_counter() - began
    assert cache is not None
    targets = torch.from_numpy(table["label"].to_numpy().astype(np.int64))
    augment = augmentation(DataConfig("bench", augment=AUGMENT))
    mapped = Batches(Rows((torch.from_numpy(cache.pixels),), targets), case.batch, shuffle=True, augment=augment)
    workers = max(1, usable_cores() // 4)
    beside = Decoding("data", decoding.preprocessing, workers)
    streamed = StreamedPictures(
        slices(data, "train"), beside, targets, case.batch, window=64_000_000, shuffle=True, augment=augment
    )
    plain: DataLoader[Any] = DataLoader(
        Folder(folder, case.side), case.batch, shuffle=True, num_workers=usable_cores(), persistent_workers=True,
        multiprocessing_context="spawn", drop_last=True,
    )  # fmt: skip
    sources: dict[str, Callable[[], Iterator[Batch]]] = {
        "a": lambda: ready(case), "b": lambda: forever(mapped), "stream": lambda: forever(streamed),
        "c": lambda: loaded(plain),
    }  # fmt: skip
    learner = Learner(case)
    for _ in range(2):
        learner.step(*next(ready(case)))
    rates: dict[str, list[float]] = {name: [] for name in sources}
    for number in range(case.rounds):
        order = list(sources) if number % 2 == 0 else ["b", "a", "stream", "c"]
        for name in order:
            batches = sources[name]()
            next(batches)
            rates[name].append(clock(case, learner, batches))
            del batches  # ends workers and threads: they are not to disturb the next
            time.sleep(0.5 if name == "c" else 0.0)  # its workers fill their queues before they rest
    found = {name: statistics.median(seen) for name, seen in rates.items()}
    ratios = [b / a for a, b in zip(rates["a"], rates["b"], strict=True)]
    return {**found, "b/a": statistics.median(ratios), "b/c": found["b"] / found["c"], "cache seconds": made,
            "cache images/s": len(table) / made}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TIDEMILL_DATA"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", help="part of a case's name")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(
        f"{usable_cores()} cores usable, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, torch "
        f"{torch.__version__}, {torch.get_num_threads()} threads, augmented by {AUGMENT}"
    )
    if options.data is None or not Path(options.data).is_dir():
        print("no data: give --data FOLDER with cifar10/ and food101_10class/ in it")
        return 0
    print(
        f"{'images/s':<28} {'(a) ready':>10} {'(b) tidemill':>13} {'(c) folder':>11} {'b/a':>6} {'b/c':>6}   ", end=""
    )
    print(f"{'streamed':>9} {'cache made':>11}")
    results: dict[str, Any] = {}
    for case in cases(options.quick):
        if options.only not in case.name:
            continue
        table = rows_of(case, options.data)
        if table is None:
            print(f"{case.name:<28} skipped: {options.data / case.files} is not there")
            continue
        scratch = Path(tempfile.mkdtemp(prefix="tidemill-input-"))
        try:
            found = results[case.name] = measure(case, table, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        held = "" if found["b/a"] >= BAR else f"  below {BAR}"
        print(
            f"{case.name:<28} {found['a']:>10,.0f} {found['b']:>13,.0f} {found['c']:>11,.0f} {found['b/a']:>6.3f} "
            f"{found['b/c']:>6.2f}   {found['stream']:>9,.0f} {found['cache seconds']:>9.1f} s{held}", flush=True,
        )  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))
    return 0 if all(each["b/a"] >= BAR for each in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
