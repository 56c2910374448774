"""The models that are served, trained on the spot, and what they are asked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.serving.machine import environment

COLUMNS = [f"c{number}" for number in range(8)]


def train(place: Path, task: str) -> Path:
    """The bundle of a project's first model."""
    project = place / task
    kind = {"table": "tabular", "image": "image", "text": "text"}[task]
    tidemill(place, "init", task, "--task", kind, *(["--empty"] if task != "text" else []))
    more = []
    if task == "table":
        rows = table(20_000)
        lines = [
            ",".join([*COLUMNS, "target"]),
            *(",".join(map(str, [*row, int(row[0] + row[1] > row[2])])) for row in rows),
        ]
        (place / "table.csv").write_text("\n".join(lines))
        tidemill(project, "data", "add", str(place / "table.csv"), "--name", "table", "--kind", "classification")
        more = ["data=table", "model=xgboost", "model.params.trees=200", "model.params.patience=200"]
    if task == "image":
        folder = place / "pictures"
        for seed, (split, number) in enumerate((("train", 2000), ("val", 200), ("test", 200)), 1):
            for at, picture in enumerate(pictures(number, seed)):
                file = folder / split / str(at % 10) / f"{at}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                save(picture, file)
        tidemill(project, "data", "add", str(folder), "--name", "pictures")
        more = ["data=pictures", "model=small_cnn", "trainer.max_epochs=1"]
    if task == "text":
        more = ["trainer.max_epochs=1"]
    tidemill(project, "train", *more)
    return next((project / ".tidemill/bundles").iterdir())


def table(rows: int) -> Any:
    return np.random.default_rng(0).normal(size=(rows, 8)).round(4)


def pictures(number: int, seed: int = 0) -> Iterator[Any]:
    generator = np.random.default_rng(seed)
    for _ in range(number):
        yield generator.integers(0, 256, (32, 32, 3), np.uint8)


def save(picture: Any, file: Path) -> None:
    from PIL import Image

    Image.fromarray(picture).save(file)


def tidemill(folder: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tidemill", *words], cwd=folder, capture_output=True, text=True, check=False,
        env=environment(),
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"tidemill {' '.join(words)} failed:\n{done.stdout[-1000:]}{done.stderr[-3000:]}")


def document(plain: Any) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode()


def rows_as_json() -> list[bytes]:
    return [document({"inputs": [dict(zip(COLUMNS, map(float, row), strict=True))]}) for row in table(64)]


def sentences() -> list[str]:
    words = ["the", "a", "film", "plot", "was", "and", "but", "never", "quite", "good", "bad", "dull", "slow", "story"]
    generator = np.random.default_rng(2)
    return [" ".join(generator.choice(words, generator.integers(5, 20))) for _ in range(64)]
