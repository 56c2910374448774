"""What the page says in HTML. Whatever comes from a model or a client is escaped here."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from tidemill.serve.playground.gradio_page.asking import Answer, RefusedError

INVITATION = '<p class="tm-soft">Give an input, or choose an example.</p>'
EXAMPLES = "<h3>Examples, with their true labels</h3>"
UNSAID = '<p class="tm-soft">Say first what is right.</p>'
FOOT = '<p class="tm-soft">Each answer is logged like any other request, and so is what you say about it.</p>'
_TASKS = {"image": "pictures", "text": "sentences", "tabular": "rows of a table"}


def head(model: Mapping[str, Any], version: int, host: str) -> str:
    """The page's head: what is served, by which version, and where."""
    about = " · ".join(
        (f"answers about {_TASKS[model['task']]}", model["reads"], f"trained on {model['dataset']}", f"at {host}")
    )
    number = f'<span class="tm-pill">version {version}</span>' if version else ""
    return (
        f'<div class="tm-head"><div><h1>{escape(model["name"])} {number}</h1>'
        f'<p class="tm-soft">{escape(about)}</p></div><nav><a href="../docs">How programs ask</a></nav></div>'
    )


def facts(answer: Answer, opened: int) -> str:
    """Where an answer comes from; `opened` is the version that the page was opened on."""
    name = f"{answer.model}, version {answer.version}" if answer.version else answer.model
    rows = {
        "Model": escape(name),
        "Took": f"{_milliseconds(answer.seconds)} ms, there and back",
        "Prediction": f"<code>{escape(answer.id)}</code>",
    }
    listed = "".join(f"<dt>{title}</dt><dd>{value}</dd>" for title, value in rows.items())
    news = f'<p class="tm-good">Version {answer.version} answers now.</p>' if answer.version != opened else ""
    return f'<dl class="tm-facts">{listed}</dl>{news}'


def compared(answer: Answer, truth: str | None) -> str:
    """Whether the answer is what the reference says, where the input is one of its rows."""
    if truth is None:
        return ""
    if not answer.scores:
        return f'<p class="tm-soft">The reference says {escape(brief(truth))}.</p>'
    if answer.said == truth:
        return '<p class="tm-good">✓ as the reference says</p>'
    return f'<p class="tm-bad">✗ the reference says {escape(truth)}</p>'


def kept(label: str, fresh: bool) -> str:
    """A label has arrived."""
    how = "Kept" if fresh else "Kept already"
    thanks = f"{how}: <b>{escape(label)}</b> is the label of this prediction. Thank you."
    return f'<p class="tm-good" role="status">{thanks}</p>'


def failure(error: RefusedError) -> str:
    """The server said no."""
    remedy = f"<p>{escape(error.remedy)}</p>" if error.remedy else ""
    return f'<div class="tm-failure" role="alert"><strong>{escape(error.message)}</strong>{remedy}</div>'


def brief(number: str | float) -> str:
    """A number as people read it; what is none, or beyond all bounds, as it is."""
    try:
        return f"{float(number):,.5g}"
    except (ValueError, OverflowError):
        return str(number)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f}" if seconds < 0.01 else f"{seconds * 1000:.0f}"
