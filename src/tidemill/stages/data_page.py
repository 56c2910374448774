"""What changed between two data versions as one HTML file that needs nothing else: no script, no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

import numpy as np

from tidemill.dataset.diff.records import ColumnDiff, DatasetDiff, RowSample, SplitDiff, What
from tidemill.dataset.profile import DISTINCT, QUANTILES, ColumnProfile
from tidemill.stages.page_style import STYLE
from tidemill.stages.report_charts import bars, histogram

_MAX_CHARTS = 24
_MAX_CLASSES = 60
_WORDS = ("added", "removed", "changed", "relabelled", "renamed")
_KINDS: tuple[What, ...] = ("relabelled", "added", "removed", "changed")
_PER_KIND = 36
_OWN_STYLE = """
.key{display:inline-block;width:.8rem;height:.8rem;border-radius:3px;vertical-align:-1px;margin:0 .3rem 0 .8rem}
.key.a{background:var(--wash);border:1px solid var(--tide2)}.key.b{background:var(--sand)}
.pictures{display:grid;gap:.8rem;grid-template-columns:repeat(auto-fill,minmax(104px,1fr))}
figure{margin:0;min-width:0}figure img{width:100%;aspect-ratio:1;object-fit:contain;border-radius:8px;
background:var(--wash)}figcaption{font-size:.78rem;line-height:1.3;overflow-wrap:anywhere;margin-top:.25rem}
figcaption small{color:var(--soft);display:block}.was{text-decoration:line-through;color:var(--soft)}
.pair{display:grid;gap:2px}.pair i{display:block;height:.5rem;border-radius:3px;min-width:1px}
.pair .a{background:var(--wash);border:1px solid var(--tide2)}.pair .b{background:var(--sand)}
.legend{text-transform:none;letter-spacing:0;font-weight:400}
.up{color:var(--tide)}.down{color:var(--coral)}td.wide{width:45%}
"""


def render(diff: DatasetDiff, pictures: Mapping[RowSample, str]) -> str:
    """The page of `diff`; `pictures` gives the data address of a small picture of a sample."""
    sections = [_rows(diff), *_classes(diff), *_columns(diff), *_charts(diff), *_samples(diff, pictures)]
    title = f"{diff.old} → {diff.new}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{_OWN_STYLE}</style></head><body>"
        f"<header><h1>{escape(title)} <span>· what changed</span></h1>{_pills(diff)}</header>"
        f"<main>{''.join(f'<section>{section}</section>' for section in sections)}"
        f'<p class="mono">{escape(str(diff.old_digest))} → {escape(str(diff.new_digest))}</p></main></body></html>\n'
    )


def _pills(diff: DatasetDiff) -> str:
    if diff.equal:
        return '<span class="pill">equal</span>'
    totals = {word: sum(getattr(split, word) for split in diff.splits) for word in _WORDS}
    pills = [f'<span class="pill{" warn" if word in ("removed", "relabelled") else ""}">{count:,} {word}</span>'
             for word, count in totals.items() if count]  # fmt: skip
    columns = len(diff.columns_added) + len(diff.columns_removed) + len(diff.columns_retyped)
    if columns:
        pills.append(f'<span class="pill warn">{columns} column{"" if columns == 1 else "s"} changed</span>')
    return "".join(pills)


def _legend(diff: DatasetDiff) -> str:
    keys = zip("ab", (diff.old, diff.new), strict=True)
    shown = "".join(f'<span class="key {key}"></span>{escape(tag)}' for key, tag in keys)
    return f'<span class="legend">{shown}</span>'


def _rows(diff: DatasetDiff) -> str:
    heads = "".join(f'<th class="n">{word}</th>' for word in ("before", "after", *_WORDS))
    lines = "".join(
        f"<tr><td>{escape(split.name)}</td>"
        + "".join(_count(split, word) for word in ("before", "after", *_WORDS))
        + "</tr>"
        for split in diff.splits
    )
    return f"<h2>Rows</h2><table><tr><th>split</th>{heads}</tr>{lines}</table>"


def _count(split: SplitDiff, word: str) -> str:
    value = getattr(split, word)
    return f'<td class="n">{value:,}</td>' if value else '<td class="n">·</td>'


def _classes(diff: DatasetDiff) -> Iterator[str]:
    counts: dict[str, tuple[int, int]] = {}
    for split in diff.splits:
        for label, (before, after) in split.classes.items():
            known = counts.get(label, (0, 0))
            counts[label] = known[0] + before, known[1] + after
    if not counts:
        return
    most = max(max(pair) for pair in counts.values()) or 1
    shown = list(counts.items())
    if len(shown) > _MAX_CLASSES:
        shown = sorted(shown, key=lambda entry: -abs(entry[1][1] - entry[1][0]))[:_MAX_CLASSES]
    rows = "".join(
        f'<tr><td>{escape(label)}</td><td class="wide"><span class="pair"><i class="a" style="width:'
        f'{100 * before / most:.1f}%"></i><i class="b" style="width:{100 * after / most:.1f}%"></i></span></td>'
        f'<td class="n">{before:,}</td><td class="n">{after:,}</td>{_change(after - before)}</tr>'
        for label, (before, after) in shown
    )
    rest = f"<p>{len(shown)} of {len(counts)} classes, those that changed most.</p>" if len(shown) < len(counts) else ""
    yield (
        f'<h2>Classes {_legend(diff)}</h2><table><tr><th>class</th><th></th><th class="n">before</th>'
        f'<th class="n">after</th><th class="n">change</th></tr>{rows}</table>{rest}'
    )


def _change(amount: int) -> str:
    tone = "up" if amount > 0 else "down" if amount < 0 else ""
    return f'<td class="n {tone}">{f"{amount:+,}" if amount else "·"}</td>'


def _shift(column: ColumnDiff) -> float:
    """How far the distributions are apart: total variation of what the chart shows, 0 to 1."""
    return float(np.abs(np.array(column.shares[0]) - np.array(column.shares[1])).sum() / 2)


def _columns(diff: DatasetDiff) -> Iterator[str]:
    if not diff.columns:
        return
    heads = ("column", "type", "missing", "mean", "sd", "5 %", "median", "95 %", "distinct", "apart")
    lines = "".join(
        f"<tr><td>{escape(column.name)}</td><td>{_type(column)}</td>"
        + "".join(_both(column, what) for what in ("missing", "mean", "sd", "0.05", "0.5", "0.95", "distinct"))
        + f'<td class="n">{_shift(column):.0%}</td></tr>'
        for column in diff.columns
    )
    head = "".join(f"<th{'' if at < 2 else ' class=n'}>{name}</th>" for at, name in enumerate(heads))
    yield (
        f"<h2>Columns</h2><table><tr>{head}</tr>{lines}</table><p>Where a value changed, the one before stands above. "
        "“Apart” is the share of the rows that would have to change for the two distributions below to be equal.</p>"
    )


def _type(column: ColumnDiff) -> str:
    before, after = (each.type if each is not None else None for each in (column.before, column.after))
    if before is None:
        return f'{escape(str(after))} <b class="up">new</b>'
    if after is None:
        return f'<span class="was">{escape(before)}</span> <b class="down">gone</b>'
    return escape(after) if before == after else f'<span class="was">{escape(before)}</span> {escape(after)}'


def _both(column: ColumnDiff, what: str) -> str:
    before, after = (_figure(each, what) for each in (column.before, column.after))
    if before == after or not before:
        return f'<td class="n">{escape(after)}</td>'
    return f'<td class="n"><small class="soft">{escape(before)}</small><br>{escape(after)}</td>'


def _figure(profile: ColumnProfile | None, what: str) -> str:
    if profile is None:
        return ""
    if what == "missing":
        return f"{profile.nulls / max(1, profile.rows):.1%}" if profile.nulls else "·"
    if what == "distinct":
        return ("≥ " if profile.distinct >= DISTINCT else "") + f"{profile.distinct:,}" if profile.distinct else "·"
    value = {"mean": profile.mean, "sd": profile.sd}.get(what)
    if what[0] == "0" and profile.quantiles:
        value = profile.quantiles[QUANTILES.index(float(what))]
    return "" if value is None else f"{value:.4g}"


def _charts(diff: DatasetDiff) -> Iterator[str]:
    drawn = [column for column in diff.columns if column.values and (column.before or column.after)]
    shown = sorted(drawn, key=lambda column: -_shift(column))[:_MAX_CHARTS]
    if not shown:
        return
    charts = "".join(
        f"<div><h3>{escape(column.name)} <small>{_shift(column):.0%} apart</small></h3>{_chart(column, diff)}</div>"
        for column in shown
    )
    yield f'<h2>Distributions {_legend(diff)}</h2><div class="charts">{charts}</div>'


def _chart(column: ColumnDiff, diff: DatasetDiff) -> str:
    shares = np.array(column.shares[0]), np.array(column.shares[1])
    if column.values and isinstance(column.values[0], str):
        return bars(column.name, [str(value) for value in column.values], shares, (diff.old, diff.new))
    edges, sides = np.array(column.values, np.float64), (diff.old, diff.new)
    types = [each.type for each in (column.before, column.after) if each is not None]
    if types[-1].startswith(("timestamp", "date")):
        return histogram(column.name, edges, shares, sides, _day)
    return histogram(column.name, edges, shares, sides)


def _day(seconds: float) -> str:
    return str(np.datetime64(int(seconds), "s"))[:10]


def _samples(diff: DatasetDiff, pictures: Mapping[RowSample, str]) -> Iterator[str]:
    for kind in _KINDS:
        every = [sample for sample in diff.samples if sample.what == kind]
        if not every:
            continue
        total = sum(getattr(split, kind) for split in diff.splits)
        chosen = [every[at] for at in np.linspace(0, len(every) - 1, min(len(every), _PER_KIND)).astype(int)]
        some = f"{len(chosen)} of {total:,}" if len(chosen) < total else f"{total:,}"
        if any(sample in pictures for sample in chosen):
            shown = "".join(_picture(sample, pictures.get(sample, "")) for sample in chosen)
            body = f'<div class="pictures">{shown}</div>'
        else:
            body = f"<table>{''.join(_line(sample) for sample in chosen)}</table>"
        yield f"<h2>{kind}: {some}</h2>{body}"


def _label(sample: RowSample) -> str:
    was = f'<span class="was">{escape(sample.was)}</span> → ' if sample.was else ""
    return was + f"<b>{escape(sample.label)}</b>"


def _picture(sample: RowSample, address: str) -> str:
    name = escape(sample.name, quote=True)
    image = f'<img src="{address}" alt="{name}">' if address else ""
    return f"<figure>{image}<figcaption>{_label(sample)}<small>{name}</small></figcaption></figure>"


def _line(sample: RowSample) -> str:
    return (
        f'<tr><td>{_label(sample)}</td><td>{escape(sample.text)}</td><td class="mono">{escape(sample.name)}</td></tr>'
    )
