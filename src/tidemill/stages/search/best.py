"""The head of a study's page: what was found, and how to train with it."""

from __future__ import annotations

from html import escape

import optuna

from tidemill.stages.search.table import Row
from tidemill.stages.search.words import short, spell

_FRONT = 5  # trials of a front that are shown


def best_card(study: optuna.Study, rows: list[Row], metrics: list[str], commands: list[str]) -> str:
    """The best trial as HTML, or the first of a front: value, settings, command. Nothing before one is complete."""
    done = [row for row in rows if row.state == "complete"]
    if not done:
        return ""
    front = {trial.number for trial in study.best_trials}
    chosen = [row for row in done if row.number in front][: 1 if len(metrics) == 1 else _FRONT]
    shown = [_one(row, metrics, commands[place] if place < len(commands) else "") for place, row in enumerate(chosen)]
    title = "Best so far" if len(metrics) == 1 else "Best so far: no other is better in every metric"
    return f"<section><h2>{title}</h2>{''.join(shown)}</section>"


def _one(row: Row, metrics: list[str], command: str) -> str:
    words = short(row.settings)
    values = " · ".join(f"{metric} {value:.5g}" for metric, value in zip(metrics, row.values, strict=True))
    settings = "".join(
        f"<div><dt>{escape(words[name])}</dt><dd>{escape(spell(value))}</dd></div>"
        for name, value in row.settings.items()
    )
    code = f"<pre>{escape(command)}</pre>" if command else ""
    return f"<p><strong>{escape(values)}</strong> trial {row.number}</p><dl>{settings}</dl>{code}"
