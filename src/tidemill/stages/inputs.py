"""Facts of raw inputs as columns, so that drift gets a name: a table's columns, length of text, light of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.domain.bundle import ImagePreprocessing, TabularPreprocessing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.bundle.preprocess import Preprocessor
    from tidemill.ports import Raw

MAX_DESCRIBED = 2000  # inputs that are decoded, drawn at random: even steps could miss a client with a rhythm
_BATCH = 256


def describe(preprocessor: Preprocessor, inputs: Sequence[Raw]) -> dict[str, NDArray[Any]]:
    """Facts by name, each [M], M = min(N, 2000): float32 with NaN for none, or text for categories.

    A table: its columns. Text: tokens, and tokens per word, which rises with words the tokenizer does not know.
    Pictures, after decoding and resizing: brightness, contrast (0..255) and sharpness (mean step between neighbours).
    Raises ItemError for an input that cannot be prepared.
    """
    if len(inputs) > MAX_DESCRIBED:
        drawn = np.random.default_rng(0).choice(len(inputs), MAX_DESCRIBED, replace=False)
        inputs = [inputs[i] for i in np.sort(drawn)]
    if not inputs:
        return {}
    preprocessing = preprocessor.preprocessing
    if isinstance(preprocessing, TabularPreprocessing):
        prepared = preprocessor.prepare(inputs)
        return {name: values[:, 0].astype(str if values.dtype == object else np.float32)
                for name, values in prepared.items()}  # fmt: skip
    describe_batch = _pictures if isinstance(preprocessing, ImagePreprocessing) else _sentences
    parts = [describe_batch(preprocessor, inputs[i : i + _BATCH]) for i in range(0, len(inputs), _BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _pictures(preprocessor: Preprocessor, inputs: Sequence[Raw]) -> dict[str, NDArray[Any]]:
    pixels = preprocessor.prepare(inputs)["image"].astype(np.float32)
    across, down = np.abs(np.diff(pixels, axis=2)), np.abs(np.diff(pixels, axis=1))
    return {
        "brightness": pixels.mean(axis=(1, 2, 3)),
        "contrast": pixels.std(axis=(1, 2, 3)),
        "sharpness": (across.mean(axis=(1, 2, 3)) + down.mean(axis=(1, 2, 3))) / 2,
    }


def _sentences(preprocessor: Preprocessor, inputs: Sequence[Raw]) -> dict[str, NDArray[Any]]:
    tokens = preprocessor.prepare(inputs)["attention_mask"].sum(axis=1).astype(np.float32)
    words = np.array([max(1, len(str(text).split())) for text in inputs], np.float32)
    return {"tokens": tokens, "tokens per word": tokens / words}
