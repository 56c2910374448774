"""Views to HTML: one environment, everything from outside escaped."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tidemill import __version__
from tidemill.project.viewing.records import Frame
from tidemill.web import formats

HERE = Path(__file__).parent
PAGES = (
    ("/", "Loop"),
    ("/models", "Models"),
    ("/predictions", "Predictions"),
    ("/drift", "Drift"),
    ("/ledger", "Ledger"),
)
THEMES = ("light", "dark")
FILTERS = (
    formats.number, formats.measure, formats.difference, formats.interval, formats.p_value, formats.duration,
    formats.since, formats.clock, formats.precise, formats.short, formats.cut, formats.digest,
)  # fmt: skip


@cache
def environment() -> Environment:
    """Templates with autoescape; a name that a template asks for and nobody gave is an error."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update({each.__name__: each for each in FILTERS})
    return made


def render(template: str, frame: Frame, here: str, query: Mapping[str, str], **values: Any) -> str:
    """The page; with `part=live` in `query` only what the page refreshes."""
    theme = query.get("theme", "")
    kept = {"theme": theme} if theme in THEMES else {}
    if query.get("model") and len(frame.models) > 1:
        kept["model"] = frame.model

    def link(path: str, **changes: str) -> str:
        asked = urlencode(kept | changes)
        return f"{path}?{asked}" if asked else path

    return (
        environment()
        .get_template(template)
        .render(
            frame=frame,
            here=here,
            pages=PAGES,
            part=query.get("part", ""),
            theme=kept.get("theme", ""),
            version=__version__,
            link=link,
            **values,
        )
    )


def render_failure(headline: str, remedy: str) -> str:
    """A page that says what is wrong and what to do."""
    return environment().get_template("error.html").render(headline=headline, remedy=remedy, version=__version__)
