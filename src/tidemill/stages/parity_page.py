"""The parity of an export as one HTML file that needs nothing else: the figures, and the worst rows with inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING

from tidemill.bundle.decide import decide
from tidemill.stages.page_style import STYLE
from tidemill.stages.small_picture import small_picture

if TYPE_CHECKING:
    from tidemill.dataset.read import Examples
    from tidemill.domain.bundle import Parity, Signature
    from tidemill.ports import Raw
    from tidemill.stages.parity import Comparison

PAGE = "parity.html"
_SHOWN = 24
_SIDE = 96  # pixels of a picture's longer side
_TEXT = 400  # characters of a sentence, and of a row


def parity_page(name: str, signature: Signature, comparison: Comparison, examples: Examples) -> str:
    """The page; everything that came from data is escaped."""
    parity = comparison.parity
    verdict = '<span class="pill">parity held</span>' if parity.held else '<span class="pill warn">refused</span>'
    past = "".join(f'<p class="bad">{escape(line)}</p>' for line in parity.exceeded)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(name)} · export parity</title><style>{STYLE}"
        "td img{max-width:96px;max-height:96px;display:block;border-radius:4px}</style></head>"
        f"<body><header><h1>{escape(name)} <span>· {parity.precision} export against its source</span></h1>"
        f"{verdict}</header><main><section><h2>On {parity.rows:,} test rows</h2>{past}{_figures(parity)}</section>"
        f"<section><h2>Largest differences</h2>{_rows(signature, comparison, examples)}</section>"
        "</main></body></html>\n"
    )


def _figures(parity: Parity) -> str:
    kept = parity.source_latency
    worst = f"accuracy lost by {parity.worst_class!r}, the worst class" if parity.worst_class else ""
    lines = [
        ("decisions changed", "", f"{parity.changed:,} ({parity.share:.2%})", f"{parity.limit:.2%}"),
        ("largest difference of a score", "", f"{parity.largest_difference:.3g}", ""),
        ("accuracy lost" if worst else "R² lost", "", f"{parity.loss:.2%}", f"{parity.loss_limit:.2%}"),
        *([(worst, "", f"{parity.class_loss:.2%}", f"{parity.class_loss_limit:.2%}")] if worst else []),
        ("size", f"{parity.source_bytes / 1e6:.2f} MB", f"{parity.bytes / 1e6:.2f} MB", ""),
        ("latency of one request", f"{kept.one_ms:.3g} ms", f"{parity.latency_ms:.3g} ms", ""),
        ("latency of 32 requests", f"{kept.batch_ms:.3g} ms", f"{parity.batch_latency_ms:.3g} ms", ""),
    ]
    rows = "".join(
        f'<tr><td>{escape(what)}</td><td class="n">{before}</td><td class="n">{after}</td>'
        f'<td class="n">{limit}</td></tr>'
        for what, before, after, limit in lines
    )
    return (
        '<table><tr><th></th><th class="n">source</th><th class="n">export</th><th class="n">at most</th></tr>'
        f"{rows}</table>"
    )


def _rows(signature: Signature, comparison: Comparison, examples: Examples) -> str:
    order = comparison.order[:_SHOWN].tolist()
    answers = [decide(signature, each.scores[order]) for each in (comparison.source, comparison.exported)]
    rows = "".join(
        f"<tr><td>{shown_input(examples.inputs[index])}</td><td>{escape(examples.names[index])}</td>"
        f"<td>{escape(_truth(examples, index))}</td><td>{escape(before)}</td>"
        f"<td{'' if before == after else ' class=bad'}>{escape(after)}</td>"
        f'<td class="n">{comparison.difference[index]:.3g}</td></tr>'
        for index, before, after in zip(order, *answers, strict=True)
    )
    return (
        "<table><tr><th>input</th><th>row</th><th>truth</th><th>source</th><th>export</th>"
        f'<th class="n">difference</th></tr>{rows}</table>'
    )


def _truth(examples: Examples, index: int) -> str:
    return examples.labels[index] if examples.values is None else f"{float(examples.values[index]):.6g}"


def shown_input(raw: Raw) -> str:
    """An input as inert HTML: a small copy of the picture, the sentence, or the row's values."""
    if isinstance(raw, bytes):
        address = small_picture(raw, _SIDE, enlarge=True)
        return f'<img alt="" src="{address}">' if address else "a picture that cannot be shown"
    text = raw if isinstance(raw, str) else ", ".join(_cells(raw))
    return escape(text[:_TEXT] + ("…" if len(text) > _TEXT else ""))


def _cells(row: Mapping[str, object]) -> Iterator[str]:
    for name, value in row.items():
        yield f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}"
