"""Tables by class: which are confused, and how each one does, the worst first."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from tidemill.stages.evaluation.figures import interval
from tidemill.stages.evaluation.intervals import wilson
from tidemill.stages.evaluation.matrix import cut

if TYPE_CHECKING:
    from tidemill.stages.evaluate import Evaluation

PAIRS = 12
ROWS = 150
_NAME = 60  # characters


def confused(evaluation: Evaluation) -> str:
    """The pairs that are taken for each other most often; nothing where there are but two classes, or no mistakes."""
    counts = np.array(evaluation.confusion)
    np.fill_diagonal(counts, 0)
    if len(counts) < 3 or not counts.any():
        return ""
    support = np.array(evaluation.confusion).sum(axis=1)
    pairs = [divmod(int(at), len(counts)) for at in np.argsort(-counts, axis=None, kind="stable")[:PAIRS]]
    rows = "".join(
        f"<tr><td>{_name(evaluation.labels[truth])}</td><td>{_name(evaluation.labels[answer])}</td>"
        f'<td class="n">{counts[truth, answer]:,}</td>'
        f'<td class="n">{counts[truth, answer] / support[truth]:.1%}</td></tr>'
        for truth, answer in pairs
        if counts[truth, answer]
    )
    return (
        "<details open><summary>Most often confused, in the test split</summary><table><tr><th>is</th>"
        f'<th>was answered</th><th class="n">rows</th><th class="n">of its class</th></tr>{rows}</table></details>'
    )


def class_table(evaluation: Evaluation) -> str:
    """Precision, recall and F1 of each class of the test split, the lowest recall first; of many the worst."""
    lines = sorted(evaluation.per_class.items(), key=lambda line: (not line[1]["support"], line[1]["recall"]))
    shown = lines[:ROWS]
    rest = f"The {ROWS} worst of {len(lines):,}; report/per_class.csv has them all. " if len(lines) > ROWS else ""
    rows = "".join(_row(label, figures) for label, figures in shown)
    return (
        f"<h2>Classes, the worst first</h2><p>{rest}Recall is the share of a class's rows that were answered right, "
        "with Wilson's 95 % interval; precision the share of its answers that were right.</p>"
        '<table class="wide"><tr><th>class</th><th>recall</th><th class="n">95 %</th><th class="n">precision</th>'
        f'<th class="n">F1</th><th class="n">rows</th></tr>{rows}</table>'
    )


def _row(label: str, figures: Mapping[str, float]) -> str:
    recall, support = figures["recall"], figures["support"]
    if not support:
        return f'<tr><td>{_name(label)}</td><td colspan="4">not in the test split</td><td class="n">0</td></tr>'
    spread = interval("recall", wilson(recall * support, support))
    return (
        f'<tr><td>{_name(label)}</td><td><span class="meter"><i style="width:{100 * recall:.0f}%"></i></span> '
        f'{recall:.1%}</td><td class="n">{spread}</td><td class="n">{figures["precision"]:.1%}</td>'
        f'<td class="n">{figures["f1"]:.1%}</td><td class="n">{support:,.0f}</td></tr>'
    )


def _name(label: str) -> str:
    return escape(cut(label, _NAME))
