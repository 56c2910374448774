"""A study as one HTML file that needs nothing else: plotly's code is in it once, and nothing is fetched."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.trial import TrialState

from tidemill.stages.search.best import best_card
from tidemill.stages.search.table import Row, ranked
from tidemill.stages.search.words import short, spell

if TYPE_CHECKING:
    import plotly.graph_objects as go

_MOST_ROWS = 200
_TELLING = 10  # trials that importance can be read from
_SCALE = [[0, "#8cc3bb"], [0.5, "#2f8f86"], [1, "#123f3b"]]  # no end of it fades into the page
_INK = "#5d6b68"
_COLOURS = ["#2f8f86", "#c98a2b", "#c2453d", "#6b7fb3", "#8a6d9e", "#7d8f3a", "#4fb3a9", "#a0764f"]
_STYLE = """
:root{--bg:#f7f8f7;--card:#fff;--ink:#17211f;--soft:#5d6b68;--line:#dfe5e2;--tide:#0b6e69;--coral:#c2453d;
--wash:#e6f2f0}
@media(prefers-color-scheme:dark){:root{--bg:#0e1615;--card:#15201e;--ink:#e5efec;--soft:#93a6a1;--line:#263532;
--tide:#4fc0b4;--coral:#ec7a70;--wash:#16302d}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);
font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
header,main{max-width:1200px;margin:auto;padding:1.1rem 1.6rem .3rem}
header{display:flex;gap:.6rem 1rem;align-items:baseline;flex-wrap:wrap}h1{font-size:1.25rem;margin:0}
h1 span{color:var(--soft);font-weight:400}
h2{font-size:.8rem;margin:0 0 .55rem;color:var(--soft);font-weight:600;letter-spacing:.04em;text-transform:uppercase}
.pill{border-radius:99px;padding:.12rem .6rem;background:var(--wash);color:var(--tide);font-size:.85rem;font-weight:600}
.pill.warn{color:var(--coral)}main{display:grid;gap:1rem;grid-template-columns:minmax(0,1fr)}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1rem 1.1rem;overflow-x:auto}
table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums}
td,th{padding:.32rem .5rem;text-align:right;border-bottom:1px solid var(--line);font-size:.88rem;white-space:nowrap}
th{color:var(--soft);font-weight:500}.l{text-align:left}.w{white-space:normal}tr.best td{color:var(--tide);
font-weight:600}tr.dim td{color:var(--soft)}.bad{color:var(--coral)}
strong{font-size:1.5rem;color:var(--tide);margin-right:.6rem}pre{background:var(--wash);padding:.6rem .8rem;
border-radius:8px;overflow-x:auto;margin:.6rem 0}dl{display:flex;flex-wrap:wrap;gap:.3rem 2rem;margin:.5rem 0}
dt{color:var(--soft);font-size:.8rem}dd{margin:0;font-weight:600}p{color:var(--soft);margin:.2rem 0}
"""
# Plotly draws on whatever lies below, in colours that are read on light and dark.
_FIT = """
for (const each of document.querySelectorAll('.plotly-graph-div')) {
  const ink = getComputedStyle(document.body).getPropertyValue('--soft');
  Plotly.relayout(each, {'font.color': ink, 'paper_bgcolor': 'rgba(0,0,0,0)', 'plot_bgcolor': 'rgba(0,0,0,0)'});
}
"""


def render(study: optuna.Study, rows: list[Row], metrics: list[str], commands: Iterable[str] = ()) -> str:
    """The page of `study`, whose trials are `rows`; `commands` train with the settings of the best ones."""
    from plotly.offline import get_plotlyjs

    drawn = _figures(_renamed(study), metrics)
    best = best_card(study, rows, metrics, list(commands))
    figures = [f"<section><h2>{escape(title)}</h2>{_div(figure)}</section>" for title, figure in drawn]
    code = f"<script>{get_plotlyjs()}</script>" if figures else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(study.study_name)} · search</title><style>{_STYLE}</style>{code}</head><body>"
        f"<header><h1>{escape(study.study_name)} <span>· search</span></h1>{_pills(rows)}</header>"
        f"<main>{best}{''.join(figures)}{_table(study, rows, metrics)}</main><script>{_FIT if figures else ''}</script>"
        "</body></html>\n"
    )


def _renamed(study: optuna.Study) -> optuna.Study:
    """The same trials under the settings' last words, where these are clear, so that they fit on axes."""
    trials = study.get_trials(deepcopy=True)
    names = short([name for trial in trials for name in trial.params])
    copy = optuna.create_study(directions=study.directions)
    for trial in trials:
        if trial.state.is_finished():
            trial.distributions = {names[name]: each for name, each in trial.distributions.items()}
            trial.params = {names[name]: value for name, value in trial.params.items()}
            copy.add_trial(trial)
    return copy


def _pills(rows: list[Row]) -> str:
    states = [row.state for row in rows]
    shown = [(name, states.count(name)) for name in ("complete", "pruned", "failed", "lost", "running", "waiting")]
    return "".join(
        f'<span class="pill{" warn" if name in ("failed", "lost") else ""}">{count} {name}</span>'
        for name, count in shown
        if count
    )


def _figures(study: optuna.Study, metrics: list[str]) -> Iterator[tuple[str, go.Figure]]:
    """Those that the study has enough trials for."""
    from optuna import visualization as draw

    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not finished:
        return
    enough = len(finished) > 1 and len({tuple(trial.values) for trial in finished}) > 1
    if len(metrics) > 1:
        if len(metrics) <= 3:
            yield "Front: no other trial is better in every metric", draw.plot_pareto_front(study, target_names=metrics)
    else:
        yield "History", draw.plot_optimization_history(study, target_name=metrics[0])
    for index, metric in enumerate(metrics):
        about: dict[str, Any] = {"target_name": metric}
        if len(metrics) > 1:
            about["target"] = _nth(index)
        of = f" for {metric}" if len(metrics) > 1 else ""
        if enough and len(finished) >= _TELLING and (importance := _importance(study, about)) is not None:
            yield f"Importance of each setting{of}", importance
        yield f"Parallel coordinates{of}", draw.plot_parallel_coordinate(study, **about)
        yield f"Slices{of}", draw.plot_slice(study, **about)
    if len(metrics) == 1 and any(trial.intermediate_values for trial in study.get_trials(deepcopy=False)):
        yield "Values on the way", draw.plot_intermediate_values(study)


def _nth(index: int) -> Callable[[optuna.trial.FrozenTrial], float]:
    return lambda trial: float(trial.values[index])


def _importance(study: optuna.Study, about: dict[str, Any]) -> go.Figure | None:
    """None where the trials do not tell: all alike, or only one setting that varies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return optuna.visualization.plot_param_importances(study, **about)
        except (RuntimeError, ValueError):
            return None


def _div(figure: go.Figure) -> str:
    figure.update_layout(
        title=None, template="none", font={"family": "system-ui, sans-serif", "color": _INK, "size": 12},
        margin={"l": 64, "r": 32, "t": 28, "b": 72}, paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
    )  # fmt: skip
    figure.update_layout(width=None, colorway=_COLOURS)
    figure.update_xaxes(gridcolor="rgba(120,140,135,.2)", zeroline=False, automargin=True)
    figure.update_yaxes(gridcolor="rgba(120,140,135,.2)", zeroline=False, automargin=True)
    _tidy(figure)
    html = figure.to_html(full_html=False, include_plotlyjs=False, config={"displayModeBar": False, "responsive": True})
    return str(html).replace("</script><", "</script>\n<")


def _tidy(figure: go.Figure) -> None:
    """Whole numbers where there are no others, colours that are seen, and titles that do not lie over ticks."""
    figure.update_xaxes(title_standoff=12)
    figure.update_yaxes(title_standoff=12)
    on: dict[str, list[Any]] = {}  # all that lies on each axis
    for trace in figure.data:
        if trace.type == "parcoords":
            trace.line.update(colorscale=_SCALE)
        elif trace.type == "scatter" and trace.x is not None:
            on.setdefault((trace.xaxis or "x").replace("x", "xaxis", 1), []).extend(trace.x)
            if trace.marker.colorscale is not None:
                trace.marker.update(colorscale=_SCALE)
            if trace.marker.showscale and _few_whole(trace.marker.color):
                trace.marker.colorbar.update(dtick=1)
    figure.update_layout({axis: {"dtick": 1, "type": "linear"} for axis, values in on.items() if _few_whole(values)})


def _few_whole(values: Iterable[Any] | None) -> bool:
    """Whether all are whole numbers, so near to each other that each can have a tick."""
    numbers = list(values) if values is not None and not isinstance(values, str) else []
    whole = all(isinstance(each, int | float | np.number) and float(each).is_integer() for each in numbers)
    return bool(numbers) and whole and max(numbers) - min(numbers) <= _TELLING


def _table(study: optuna.Study, rows: list[Row], metrics: list[str]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row.settings))
    shown = ranked(rows, maximize=study.directions[0].name == "MAXIMIZE")[:_MOST_ROWS]
    words = short(names)
    head = "".join(f"<th>{escape(name)}</th>" for name in ("trial", *metrics, *(words[name] for name in names), "s"))
    best = {trial.number for trial in study.best_trials} if any(row.state == "complete" for row in rows) else set()
    body = "".join(_line(row, names, len(metrics), best=row.number in best) for row in shown)
    more = f"<p>the first {_MOST_ROWS} of {len(rows)}; all are in trials.csv</p>" if len(rows) > _MOST_ROWS else ""
    table = f'<table><tr>{head}<th class="l">state</th></tr>{body}</table>'
    return f"<section><h2>Trials, best first</h2>{table}{more}</section>"


def _line(row: Row, names: list[str], width: int, *, best: bool) -> str:
    values = [f"{value:.5g}" for value in row.values] + [""] * (width - len(row.values))
    settings = [spell(row.settings.get(name, "")) for name in names]
    seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
    cells = "".join(f"<td>{escape(each)}</td>" for each in (str(row.number), *values, *settings, seconds))
    state = row.state + (f": {row.reason}" if row.reason else "")
    bad = " bad" if row.state == "failed" else ""
    kind = "best" if best else "" if row.state == "complete" else "dim"
    return f'<tr class="{kind}">{cells}<td class="l w{bad}">{escape(state)}</td></tr>'
