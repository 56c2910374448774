"""An evaluation report and model card as one HTML file that needs nothing else: no script, no network, at most 2 MB."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from typing import NamedTuple

from tidemill.domain.bundle import Lineage, Signature
from tidemill.stages.evaluation import charts
from tidemill.stages.evaluation.classes import class_table, confused
from tidemill.stages.evaluation.figures import METRICS, interval, show
from tidemill.stages.evaluation.records import About, EvaluationReport, Mistake
from tidemill.stages.evaluation.style import STYLE

LARGEST = 2_000_000  # bytes
_LISTED = 8  # mistakes that take a line; further ones are folded
_UNWRITTEN = (
    ("intended_use", "Intended use", "Nobody wrote down what this model is for."),
    ("not_for", "Not for", "Nobody wrote down what it must not be used for."),
    ("limits", "Known limits", "Nobody wrote down what is known to go wrong."),
    ("contact", "Contact", "Nobody is named who answers for it."),
)


class Subject(NamedTuple):
    """What a page is about: a model under `name`, or a version of it; `served`: it was the graph that answered."""

    name: str
    signature: Signature
    lineage: Lineage
    served: bool = False


def render(subject: Subject, report: EvaluationReport) -> str:
    """The page; should it be larger than 2 MB, it is made without the pictures of mistakes."""
    page = _render(subject, report)
    if len(page.encode()) <= LARGEST:
        return page
    return _render(subject, replace(report, mistakes=tuple(replace(each, picture="") for each in report.mistakes)))


def _render(subject: Subject, report: EvaluationReport) -> str:
    title = escape(subject.name)
    parts = [
        _glance(report), _about(report.about), _splits(report), *_matrices(report), *_calibration(report),
        *_residuals(report), *_mistakes(report), *_classes(report), _served(subject),
        _lineage(subject.lineage, report),
    ]  # fmt: skip
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="content-security-policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f"<title>{title} · model card</title><style>{STYLE}</style></head><body>"
        f"<header><h1>{title} <span>· model card</span></h1>"
        f'<span class="pill">{report.task} {report.kind}</span>'
        f'<span class="pill">evaluated on {escape(report.dataset)}</span></header>'
        f"<main>{''.join(f'<section>{part}</section>' for part in parts)}</main></body></html>\n"
    )


def _glance(report: EvaluationReport) -> str:
    test = report.test
    tiles = [
        (METRICS.get(name, name), show(name, value), interval(name, test.intervals.get(name)))
        for name, value in test.metrics.items()
    ]
    if report.calibration is not None:
        tiles.append(("calibration error", f"{report.calibration.ece:.1%}", "ECE, 15 bins"))
    how = (
        "That of the accuracy is Wilson's score interval, the others are the percentiles of 1,000 bootstrap samples."
        if test.labels
        else "They are the percentiles of 1,000 bootstrap samples."
    )
    shown = "".join(
        f"<div><small>{escape(name)}</small><b>{escape(value)}</b><i>{escape(spread)}</i></div>"
        for name, value, spread in tiles
    )
    return (
        f'<h2>On {test.rows:,} test rows</h2><div class="tiles">{shown}</div>'
        f"<p>In brackets: 95 % confidence intervals, which say what other test rows might have shown. {how}</p>"
    )


def _about(about: About) -> str:
    lines = "".join(
        f"<dt>{name}</dt><dd{'' if (words := getattr(about, field)) else ' class=missing'}>"
        f"{escape(words[:4000]) or f'{missing} Set report.{field} in conf/config.yaml.'}</dd>"
        for field, name, missing in _UNWRITTEN
    )
    return f"<h2>What it is for</h2><dl>{lines}</dl>"


def _splits(report: EvaluationReport) -> str:
    names = list(report.test.metrics)
    rows = ""
    for split in report.splits:
        found = split.evaluation
        part = f"{found.rows:,}" + (f" of {split.rows:,}, drawn at random" if found.rows < split.rows else "")
        shown = [(show(name, found.metrics[name]), interval(name, found.intervals.get(name))) for name in names]
        cells = "".join(f'<td class="n">{value}<small>{spread}</small></td>' for value, spread in shown)
        rows += f'<tr><td><b>{split.name}</b></td><td class="n">{part}</td>{cells}</tr>'
    head = "".join(f'<th class="n">{escape(METRICS.get(name, name))}</th>' for name in names)
    return f'<h2>By split</h2><table class="wide"><tr><th>split</th><th class="n">rows</th>{head}</tr>{rows}</table>'


def _matrices(report: EvaluationReport) -> Iterator[str]:
    labels = report.test.labels
    if not labels:
        return
    widest = 120 + 34 * len(labels)  # so that the words in a small one are no larger than those around it
    drawn = "".join(
        f"<div><h3>{split.name} <small>{split.evaluation.metrics['accuracy']:.1%} right</small></h3>"
        f'<div style="max-width:{widest}px">{charts.matrix(split.evaluation, split.name)}</div></div>'
        for split in report.splits
    )
    least = 250 if len(labels) <= 12 else 360 if len(labels) <= charts.DRAWN else 300
    words = "Down what is true, across what was answered; stronger is a larger share of the row."
    if len(labels) > charts.DRAWN:
        words += f" One point for each pair of the {len(labels):,} classes, in the order of their names."
    yield (
        f'<h2>Confusion</h2><p>{words}</p><div class="matrices" style="--least:{least}px">{drawn}</div>'
        f"{confused(report.test)}"
    )


def _classes(report: EvaluationReport) -> Iterator[str]:
    if report.test.labels:
        yield class_table(report.test)


def _calibration(report: EvaluationReport) -> Iterator[str]:
    found = report.calibration
    if found is None:
        return
    gap = found.confidence - report.test.metrics["accuracy"]
    how = "It is about as sure as it is right." if abs(gap) < 0.01 else (
        f"It is {'surer' if gap > 0 else 'less sure'} than it should be, by {100 * abs(gap):.1f} points on average."
    )  # fmt: skip
    accuracy = report.test.metrics["accuracy"]
    yield (
        '<h2>What its confidence is worth</h2><div class="beside">'
        f'<div class="plot">{charts.calibration(found)}</div><div><p>Across: how sure the model is of its answer. '
        "Up: how often such answers are right, with 95 % intervals. On the dashed line the two agree; the bars show "
        f"where most answers are.</p><p><b>{how}</b></p><p>Mean confidence {found.confidence:.1%}, accuracy "
        f"{accuracy:.1%}, expected calibration error (ECE) {found.ece:.1%} over 15 bins of equal width.</p></div></div>"
    )


def _residuals(report: EvaluationReport) -> Iterator[str]:
    found = report.residuals
    if found is None:
        return
    target = escape(report.target[:60])
    drawn = (
        (f"answers against the truth: {target}", charts.scatter(found)),
        ("error against the answer", charts.errors_by_answer(found)),
        ("how the errors are spread", charts.errors(found)),
        ("error by decile of the truth", charts.deciles(found.deciles)),
    )
    plots = "".join(f'<div class="plot"><h3>{name}</h3>{plot}</div>' for name, plot in drawn)
    rows = "".join(
        f'<tr><td>{each.low:.5g} to {each.high:.5g}</td><td class="n">{each.rows:,}</td>'
        f'<td class="n">{each.bias:+.4g}</td><td class="n">{each.mae:.4g}</td><td class="n">{each.rmse:.4g}</td></tr>'
        for each in found.deciles
    )
    yield (
        f'<h2>Errors</h2><div class="plots">{plots}</div><p>An error is the answer minus the truth. The bars of the '
        f"last plot are mean absolute errors, its dots mean errors.</p><table><tr><th>{target}, tenths of the rows</th>"
        '<th class="n">rows</th><th class="n">mean error</th><th class="n">MAE</th><th class="n">RMSE</th></tr>'
        f"{rows}</table>"
    )


def _mistakes(report: EvaluationReport) -> Iterator[str]:
    if not report.mistakes:
        yield "<h2>Worst mistakes</h2><p>None: every row of the test split was answered right.</p>"
        return
    value = report.kind == "regression"
    layout = "pictures" if any(each.picture for each in report.mistakes) else "rows"
    which = (
        "The answers that are furthest off."
        if value
        else f"Of {report.wrong:,} wrong answers the {len(report.mistakes)} of which it was the surest."
    )
    first = len(report.mistakes) if layout == "pictures" else _LISTED
    shown, more = ("".join(_mistake(each, value) for each in part)
                   for part in (report.mistakes[:first], report.mistakes[first:]))  # fmt: skip
    rest = f'<details><summary>more</summary><div class="{layout}">{more}</div></details>' if more else ""
    yield f'<h2>Worst mistakes</h2><p>{which}</p><div class="{layout}">{shown}</div>{rest}'


def _mistake(found: Mistake, value: bool) -> str:
    answer, label, name = (escape(words[:60]) for words in (found.answer, found.label, found.name))
    said = (
        f"<b>{answer}</b>, and not {label} <small>{found.score:+.4g}</small>"
        if value
        else f"<b>{answer}</b> <small>{found.score:.0%}</small><br>is {label} <small>{found.truth_score:.0%}</small>"
    )
    if found.picture:
        image = f'<img src="{escape(found.picture, quote=True)}" alt="{name}">'
        name = escape(found.name.rpartition("/")[2])  # its folder is its class
    elif found.words:
        image = f"<blockquote>{escape(found.words)}</blockquote>"
    else:
        image = f'<p class="cells">{"".join(map(_cell, found.cells.items()))}</p>'
    return f"<figure>{image}<figcaption>{said}<small>{name}</small></figcaption></figure>"


def _cell(cell: tuple[str, str]) -> str:
    return f"<span><i>{escape(cell[0])}</i> {escape(cell[1])}</span>"


def _served(subject: Subject) -> str:
    signature = subject.signature
    inputs = ", ".join(f"{each.name[:60]} {each.dtype} {_shape(each.shape)}" for each in signature.inputs[:12])
    more = f", and {len(signature.inputs) - 12} more" if len(signature.inputs) > 12 else ""
    outputs = ", ".join(f"{each.name} {each.dtype} {_shape(each.shape)}" for each in signature.outputs)
    whose = (
        "The figures on this page are those of the graph that serves."
        if subject.served
        else "The figures on this page are those of the model that was trained; how the graph that serves compares "
        "with it is measured apart, when it is exported."
    )
    return f"<h2>As it is served</h2>{_facts([('takes', inputs + more), ('gives', outputs)])}<p>{whose}</p>"


def _shape(shape: Sequence[int]) -> str:
    return "[" + ", ".join("any" if size == -1 else str(size) for size in shape) + "]"


def _lineage(lineage: Lineage, report: EvaluationReport) -> str:
    made = report.made_with
    facts = [
        ("trained on", f"{lineage.dataset}  {lineage.dataset_digest}"),
        ("run", lineage.run), ("code", f"{lineage.commit}  {lineage.code}"), ("settings", str(lineage.config)),
        ("seed", str(lineage.seed)), ("environment", str(lineage.environment)),
        *([("made with", f"Python {made.python}, {made.platform}; "
            + ", ".join(f"{name} {version}" for name, version in made.packages.items()))] if made else []),
        ("because", lineage.decision or "somebody asked for it"),
    ]  # fmt: skip
    if (report.dataset, report.dataset_digest) != (lineage.dataset, lineage.dataset_digest):
        facts.insert(0, ("evaluated on", f"{report.dataset}  {report.dataset_digest}"))
    return f"<h2>Where it comes from</h2>{_facts(facts)}"


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    lines = "".join(f'<dt>{name}</dt><dd class="mono">{escape(words)}</dd>' for name, words in facts if words)
    return f"<dl>{lines}</dl>"
