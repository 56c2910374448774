"""Figures that a script prints, such as `epoch 3 loss: 0.25 acc=91.2%`: a plain training loop tells nobody else."""

from __future__ import annotations

import re
from collections.abc import Iterator

_WORDS = ("loss", "acc", "accuracy", "rmse", "mse", "mae", "r2", "f1", "auc", "roc_auc", "precision", "recall",
          "perplexity", "ppl", "mcc", "bleu", "error", "score", "iou", "psnr")  # fmt: skip
_WORD = f"(?:{'|'.join(_WORDS)})"
_FIGURE = re.compile(
    rf"(?<![\w.])((?:[A-Za-z][\w]*[ _/-])?{_WORD}(?:_score)?)\s*[\x27\x22]?\s*(?:[:=]|is)?\s*"
    r"([-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)(%?)(?![\w.]*\w)",
    re.IGNORECASE,
)
_STEP = re.compile(r"\b(?:epoch|step|iter(?:ation)?|round)\b[\x27\x22]?\s*[:=#\[]?\s*(\d+)", re.IGNORECASE)
_LONGEST_LINE, _MOST = 2000, 20_000
_NO_STEP = 2**63  # databases count no further; such a number is a time or an id


def figures(text: str) -> Iterator[tuple[str, float, int]]:
    """Name, value and step of each figure; the step is the epoch or step that the line names, else a count.

    Only figures beside a usual name of a loss or a score count; a value in percent becomes a fraction.
    """
    count: dict[str, int] = {}
    for line in re.split(r"[\r\n]+", text):
        if len(line) > _LONGEST_LINE:
            continue
        step = _STEP.search(line)
        for name, value, percent in _FIGURE.findall(line):
            key = re.sub(r"\W+", "_", name.lower())
            count[key] = count.get(key, -1) + 1
            at = int(step[1]) if step else count[key]
            if count[key] < _MOST and at < _NO_STEP:
                yield key, float(value) / (100 if percent else 1), at
